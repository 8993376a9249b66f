import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bestFor, sharedPrefix } from '../../../adapters/local-model/prefixes.ts'

test('the shared beginning ends at the first difference or where the shorter list ends', () => {
  assert.equal(sharedPrefix([1, 2, 3], [1, 2, 4]), 2)
  assert.equal(sharedPrefix([1, 2], [1, 2, 3]), 2)
  assert.equal(sharedPrefix([], [1]), 0)
})

test('a prompt goes to the sequence that keeps the longest beginning of it', () => {
  const free = [{ kept: [1] }, { kept: [1, 2, 9] }, { kept: [1, 2, 3] }, { kept: [4, 5, 6, 7] }]
  assert.equal(bestFor(free, [1, 2, 3, 4]), free[2])
})

test('of sequences that keep as much of it, to the one that lay idle longest', () => {
  const free = [{ kept: [7] }, { kept: [8] }]
  assert.equal(bestFor(free, [1, 2]), free[0])
  assert.equal(bestFor([], [1, 2]), undefined)
})
