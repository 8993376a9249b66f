import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  MUSIC_DESCRIPTORS,
  musicLayout,
  packFloats,
  SegmentMeans,
  unpackFloats,
  videoLayout,
} from '../../../model/features.ts'

test('the columns of a row lie side by side and fill it', () => {
  const { embedding, tags, descriptors, dims } = musicLayout(1506, 70)
  assert.deepEqual([embedding.start, tags.start, descriptors.start], [0, 1506, 1576])
  assert.equal(dims, 1576 + MUSIC_DESCRIPTORS.length)
  const video = videoLayout(1280, 1000)
  assert.deepEqual([video.image.start, video.classes.start, video.dims], [0, 1280, 2280])
})

test('floats come back as they were, from bytes that start anywhere in their buffer', () => {
  const values = Float32Array.of(0, -1.5, Math.PI, 1e-30, Number.MAX_VALUE)
  const packed = packFloats(values)
  assert.deepEqual([...packed.subarray(4, 8)], [0, 0, 0xc0, 0xbf]) // -1.5, little endian
  const shifted = new Uint8Array(packed.length + 3)
  shifted.set(packed, 3)
  assert.deepEqual(unpackFloats(shifted.subarray(3)), values)
})

test('bytes that are no whole number of floats are refused', () => {
  assert.throws(() => unpackFloats(new Uint8Array(7)), RangeError)
})

test('rows are averaged inside the segment that they start in', () => {
  const means = new SegmentMeans(2, 10)
  means.add(0, Float32Array.of(1, 0))
  means.add(9.99, Float32Array.of(3, 4))
  means.add(10, Float32Array.of(7, 7))
  assert.deepEqual(means.finish(), { values: Float32Array.of(2, 2, 7, 7), segments: 2, dims: 2 })
})

test('a segment into which no row fell repeats the one before it, or the first that has one', () => {
  const means = new SegmentMeans(1, 10)
  means.add(12, Float32Array.of(5))
  means.add(35, Float32Array.of(6))
  assert.deepEqual([...means.finish(5).values], [5, 5, 5, 6, 6])
})

test('no rows give no segments', () => {
  assert.deepEqual(new SegmentMeans(3).finish(), { values: new Float32Array(), segments: 0, dims: 3 })
})

test('a row of another width is refused', () => {
  assert.throws(() => new SegmentMeans(3).add(0, new Float32Array(2)), RangeError)
})
