import assert from 'node:assert/strict'
import { test } from 'node:test'
import { retryDelayMs } from '../../../runtime/retry.ts'

const policy = { maxAttempts: 10, baseMs: 100, maxMs: 1_000 }

test('the wait doubles with each try and stops at its bound', () => {
  const waits = [1, 2, 3, 4, 5, 60].map((attempt) => retryDelayMs(policy, attempt, () => 1))
  assert.deepEqual(waits, [100, 200, 400, 800, 1_000, 1_000])
})

test('jitter takes off at most half of the wait', () => {
  assert.equal(
    retryDelayMs(policy, 3, () => 0),
    200,
  )
  assert.equal(
    retryDelayMs(policy, 3, () => 0.5),
    300,
  )
})

test('the wait is never shorter than the other side asked for', () => {
  assert.equal(
    retryDelayMs(policy, 1, () => 0, 5_000),
    5_000,
  )
})
