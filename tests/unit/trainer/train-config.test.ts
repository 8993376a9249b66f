import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SetupError } from '../../../ports/errors.ts'
import { parseTrainConfig } from '../../../trainer/train-config.ts'

test('an empty file is the method of the paper', () => {
  const { query, dims, fusion, textDropout, temperature } = parseTrainConfig({})
  assert.deepEqual([query, dims, fusion, textDropout, temperature], ['video+text', 256, 'transformer-2', 0.8, 0.03])
})

test('every bad key is told at once, with what is wrong', () => {
  const bad = { batch: 1, learningRate: -1, epoch: 3, encoder: { kind: 'transformer', layers: 2, hidden: 8, heads: 0 } }
  assert.throws(
    () => parseTrainConfig(bad),
    (error: unknown) => {
      assert.ok(error instanceof SetupError && error.code === 'bad-train-config')
      for (const key of ['batch', 'learningRate', 'epoch', 'encoder.heads', 'encoder.segments'])
        assert.ok(error.message.includes(key), `${key} in ${error.message}`)
      return true
    },
  )
})

test('heads that do not divide the width are refused', () => {
  const encoder = { kind: 'transformer', layers: 1, hidden: 8, heads: 3, segments: 4 }
  assert.throws(() => parseTrainConfig({ dims: 256, encoder }), /dims: must be a multiple of encoder.heads, 3/)
})
