import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aggregate } from '../../../processors/analyse-music/aggregate.ts'

const tenSeconds = (count: number) => Array.from({ length: count }, (_, i) => ({ startSeconds: i * 10, seconds: 10 }))

/** Two tags, three segments. */
const ROWS = Float32Array.of(0.25, 1, 0.5, 0, 0.75, 0.5)

test('a segment asked for by its own bounds has its own confidences', () => {
  for (const [i, segment] of tenSeconds(3).entries()) {
    assert.deepEqual(aggregate(ROWS, tenSeconds(3), segment), ROWS.slice(i * 2, i * 2 + 2))
  }
})

test('a clip takes each segment by the time that it shares with it', () => {
  const clip = aggregate(ROWS, tenSeconds(3), { startSeconds: 5, seconds: 10 })
  assert.deepEqual(clip, Float32Array.of((0.25 + 0.5) / 2, 0.5))
  const uneven = aggregate(ROWS, tenSeconds(3), { startSeconds: 8, seconds: 8 }) // 2 s and 6 s
  assert.deepEqual(uneven, Float32Array.of((0.25 * 2 + 0.5 * 6) / 8, 2 / 8))
})

test('the whole of equal segments is the mean of their rows', () => {
  const whole = aggregate(ROWS, tenSeconds(3), { startSeconds: 0, seconds: 30 })
  assert.deepEqual(whole, Float32Array.of(0.5, 0.5))
})

test('a shorter last segment counts less in the whole', () => {
  const segments = [...tenSeconds(2), { startSeconds: 20, seconds: 2 }]
  const [first] = aggregate(ROWS, segments, { startSeconds: 0, seconds: 22 })
  assert.ok(Math.abs(first! - (0.25 * 10 + 0.5 * 10 + 0.75 * 2) / 22) < 1e-6)
})

test('a clip that begins in the track and ends past it takes what there is', () => {
  assert.deepEqual(aggregate(ROWS, tenSeconds(3), { startSeconds: 25, seconds: 30 }), Float32Array.of(0.75, 0.5))
})

test('a stretch that shares no time with the track, or has no length, takes the nearest segment', () => {
  assert.deepEqual(aggregate(ROWS, tenSeconds(3), { startSeconds: 90, seconds: 10 }), Float32Array.of(0.75, 0.5))
  assert.deepEqual(aggregate(ROWS, tenSeconds(3), { startSeconds: 14, seconds: 0 }), Float32Array.of(0.5, 0))
})

test('confidences that are no whole rows are refused, and no segments give none', () => {
  assert.throws(() => aggregate(ROWS, tenSeconds(4), { startSeconds: 0, seconds: 10 }), RangeError)
  assert.equal(aggregate(new Float32Array(0), [], { startSeconds: 0, seconds: 10 }).length, 0)
})
