import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTurns } from '../../../adapters/local-model/turns.ts'

const never = new AbortController().signal

test('no more than are allowed run at a time, the others in the order in which they came', async () => {
  const turns = openTurns(2, 4)
  const log: string[] = []
  const work = (name: string) => async () => {
    log.push(`+${name}`)
    await null
    assert.ok(turns.running <= 2)
    log.push(`-${name}`)
    return name
  }
  const done = await Promise.all(['a', 'b', 'c', 'd'].map((name) => turns.take(work(name), never)))
  assert.deepEqual(done, ['a', 'b', 'c', 'd'])
  assert.deepEqual(
    log.filter((line) => line.startsWith('+')),
    ['+a', '+b', '+c', '+d'],
  )
  assert.equal(turns.room, 6)
})

test('work that fails gives its turn to the next', async () => {
  const turns = openTurns(1, 1)
  const failed = turns.take(() => Promise.reject(new Error('on purpose')), never)
  const next = turns.take(async () => 'next', never)
  await assert.rejects(failed, /on purpose/)
  assert.equal(await next, 'next')
})

test('who gives up while waiting makes room, and is never started', async () => {
  const turns = openTurns(1, 1)
  let end: () => void = () => {}
  const first = turns.take(() => new Promise<void>((resolve) => (end = resolve)), never)
  const leaving = new AbortController()
  const second = turns.take(() => assert.fail('was started'), leaving.signal)
  assert.equal(turns.room, 0)
  leaving.abort(new Error('left'))
  await assert.rejects(second, /left/)
  assert.equal(turns.room, 1)
  end()
  await first
  assert.equal(turns.running, 0)
})

test('who waits is refused, who runs is not', async () => {
  const turns = openTurns(1, 1)
  let end: (text: string) => void = () => {}
  const first = turns.take(() => new Promise<string>((resolve) => (end = resolve)), never)
  const second = turns.take(() => assert.fail('was started'), never)
  turns.refuse(new Error('closing'))
  await assert.rejects(second, /closing/)
  end('done')
  assert.equal(await first, 'done')
})
