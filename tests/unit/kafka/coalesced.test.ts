import assert from 'node:assert/strict'
import { test } from 'node:test'
import { coalesced } from '../../../adapters/kafka/coalesced.ts'
import { signal } from '../../conformance/deadline.ts'

test('however often it is asked for while it hangs, one more run follows, and all who asked wait for no more than that', async () => {
  const runs = [signal(), signal(), signal()]
  let begun = 0
  const run = coalesced(() => runs[begun++]!.promise)
  const first = run()
  const others = Array.from({ length: 100 }, () => run())
  assert.equal(begun, 1, 'two ran at once')
  runs[0]!.resolve()
  await first
  runs[1]!.resolve()
  await Promise.all(others)
  assert.equal(begun, 2)
})

test('who asks while a run waits for its turn and when all have ended gets a run that begins afterwards', async () => {
  let value = 0
  const seen: number[] = []
  const run = coalesced(async () => {
    await null
    seen.push(value)
  })
  const first = run()
  value = 1
  await Promise.all([first, run()])
  value = 2
  await run()
  assert.deepEqual(seen, [1, 1, 2])
})
