import assert from 'node:assert/strict'
import { test } from 'node:test'
import { targetsOf } from '../../../trainer/loss.ts'

const round = (values: Float32Array) => [...values].map((value) => Number(value.toFixed(4)))

test('each query has its own track where all tracks differ', () => {
  const { rows, columns } = targetsOf(['a', 'b'])
  assert.deepEqual(round(rows), [0.5, 0, 0, 0.5])
  assert.deepEqual(columns, rows)
})

test('a track that accompanies two videos of the batch is right for both, and shares its weight', () => {
  const { rows, columns } = targetsOf(['a', 'b', 'a', 'c'])
  assert.deepEqual(round(rows.subarray(0, 4)), [0.125, 0, 0.125, 0])
  assert.deepEqual(round(rows.subarray(8, 12)), [0.125, 0, 0.125, 0])
  assert.deepEqual(round(columns), round(rows))
})

test('a pair that weighs more counts for more, and all weigh 1 together', () => {
  const { rows, columns } = targetsOf(['a', 'b', 'a'], [2, 1, 1])
  assert.deepEqual(round(rows), [0.25, 0, 0.25, 0, 0.25, 0, 0.125, 0, 0.125])
  assert.deepEqual(round(columns), [0.25, 0, 0.125, 0, 0.25, 0, 0.25, 0, 0.125])
  for (const values of [rows, columns]) assert.ok(Math.abs(values.reduce((a, b) => a + b) - 1) < 1e-6)
})
