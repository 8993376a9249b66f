import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Breaker } from '../../../adapters/llm/breaker.ts'

function opened() {
  const clock = { at: 0 }
  const changes: [boolean, string | undefined][] = []
  const breaker = new Breaker<Error>({
    after: 3,
    lookAgainMs: 100,
    longestMs: 300,
    now: () => clock.at,
    onChange: (isOpen, cause) => changes.push([isOpen, cause?.message]),
  })
  return { breaker, clock, changes }
}
const failure = new Error('down')

test('only failures in a row open it', () => {
  const { breaker, changes } = opened()
  for (let i = 0; i < 5; i++) {
    breaker.failed(failure)
    breaker.failed(failure)
    breaker.succeeded()
  }
  assert.equal(breaker.refuses(), undefined)
  assert.deepEqual(changes, [])
})

test('open, it lets one look through at a time, each after twice as long, up to the longest', () => {
  const { breaker, clock, changes } = opened()
  for (let i = 0; i < 3; i++) breaker.failed(failure)
  assert.deepEqual(changes, [[true, 'down']])
  for (const wait of [100, 200, 300, 300]) {
    clock.at += wait - 1
    assert.equal(breaker.refuses(), failure)
    clock.at += 1
    assert.equal(breaker.refuses(), undefined)
    assert.equal(breaker.refuses(), failure, 'a look is under way')
    breaker.failed(failure)
  }
  assert.equal(changes.length, 1)
})

test('a look that told nothing leaves it open, and the next may look at once', () => {
  const { breaker, clock, changes } = opened()
  for (let i = 0; i < 3; i++) breaker.failed(failure)
  clock.at = 100
  assert.equal(breaker.refuses(), undefined)
  breaker.toldNothing()
  assert.equal(changes.length, 1)
  assert.equal(breaker.refuses(), undefined)
  breaker.succeeded()
  assert.deepEqual(changes.at(-1), [false, undefined])
  assert.equal(breaker.refuses(), undefined)
  assert.equal(breaker.refuses(), undefined)
})
