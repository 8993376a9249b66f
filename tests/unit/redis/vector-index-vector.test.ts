import assert from 'node:assert/strict'
import { test } from 'node:test'
import { halfBytes, readVector, vectorFields } from '../../../adapters/redis/vector-index-vector.ts'

/** IEEE 754 binary16, by its definition. */
function numberOf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
}

function halfOf(x: number): number {
  return new Uint16Array(new Uint8Array(halfBytes(Float32Array.of(x))).buffer)[0]!
}

test('every finite half float up to 2 comes back as itself', () => {
  for (let half = 0; half <= 0x4000; half++) {
    assert.equal(halfOf(numberOf(half)), half)
    assert.equal(halfOf(-numberOf(half)), half | 0x8000)
  }
})

test('what lies between two half floats goes to the nearer one, and to the even one from the middle', () => {
  for (let half = 0; half < 0x3c00; half++) {
    const [low, high] = [numberOf(half), numberOf(half + 1)]
    const middle = (low + high) / 2
    const step = (high - low) / 8
    assert.equal(halfOf(middle - step), half)
    assert.equal(halfOf(middle + step), half + 1)
    assert.equal(halfOf(middle), half % 2 === 0 ? half : half + 1)
  }
})

test('a vector that is a view into a larger buffer is written and read back as it is', () => {
  const whole = Float32Array.of(9, 0.6, -0.8, 9)
  const fields = vectorFields(whole.subarray(1, 3))
  const bytes = fields[fields.indexOf('v') + 1] as Buffer
  assert.deepEqual(readVector(bytes), Float32Array.of(0.6, -0.8))
  const unaligned = Buffer.concat([Buffer.of(1), bytes]).subarray(1)
  assert.deepEqual(readVector(unaligned), Float32Array.of(0.6, -0.8))
  assert.equal((fields[fields.indexOf('h') + 1] as Buffer).byteLength, 4)
})
