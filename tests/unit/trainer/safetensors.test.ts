import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { decodeSafetensors, encodeSafetensors } from '../../../trainer/safetensors.ts'

const ARRAYS = new Map([
  ['a', { shape: [2, 2], values: Float32Array.of(1, -0, Number.NaN, 1e-45) }],
  ['none', { shape: [0], values: new Float32Array() }],
  ['b', { shape: [1], values: Float32Array.of(3.5) }],
])
const file = () => Buffer.concat(encodeSafetensors({ arrays: ARRAYS, metadata: { made: 'here' } }))

/** A file whose header says something else, with a hash that is right. */
function forged(change: (header: Record<string, Record<string, unknown>>) => void): Buffer {
  const whole = file()
  const length = Number(whole.readBigUInt64LE())
  const header = JSON.parse(whole.toString('utf8', 8, 8 + length)) as Record<string, Record<string, unknown>>
  header.__metadata__!.sha256 = '0'.repeat(64)
  change(header)
  const text = JSON.stringify(header)
  const head = Buffer.concat([Buffer.alloc(8), Buffer.from(text)])
  head.writeBigUInt64LE(BigInt(Buffer.byteLength(text)))
  const values = whole.subarray(8 + length)
  const sha256 = createHash('sha256').update(head).update(values).digest('hex')
  return Buffer.concat([Buffer.from(head.toString('latin1').replace('0'.repeat(64), sha256), 'latin1'), values])
}

test('arrays come back bit by bit, with names, shapes and metadata', () => {
  const { arrays, metadata } = decodeSafetensors(file())
  assert.deepEqual([...arrays.keys()], [...ARRAYS.keys()])
  for (const [name, { shape, values }] of arrays) {
    const wanted = ARRAYS.get(name)!
    assert.deepEqual(shape, wanted.shape)
    assert.deepEqual(Buffer.from(values.buffer), Buffer.from(wanted.values.buffer))
  }
  assert.deepEqual(metadata, { made: 'here' })
})

test('the layout is that of safetensors: the length of a JSON header, aligned values, offsets into them', () => {
  const bytes = file()
  const length = Number(bytes.readBigUInt64LE())
  assert.equal(length % 8, 0)
  const { b } = JSON.parse(bytes.toString('utf8', 8, 8 + length))
  assert.deepEqual(b, { dtype: 'F32', shape: [1], data_offsets: [16, 20] })
  assert.equal(bytes.readFloatLE(8 + length + 16), 3.5)
})

test('the forger of these tests makes files that are read', () => {
  assert.equal(decodeSafetensors(forged(() => {})).arrays.get('b')!.values[0], 3.5)
})

for (const [what, change] of Object.entries<(header: Record<string, Record<string, unknown>>) => void>({
  'overlapping arrays': (header) => (header.b!.data_offsets = [12, 16]),
  'a gap between arrays': (header) => (header.b!.data_offsets = [20, 24]),
  'an array past the end': (header) => Object.assign(header.b!, { shape: [2], data_offsets: [16, 24] }),
  'a shape that the bytes do not fill': (header) => (header.b!.shape = [2]),
  'a shape that cannot be': (header) => (header.b!.shape = [-1]),
  'a shape of no number': (header) => (header.b!.shape = [2 ** 60]),
  'another type of values': (header) => (header.b!.dtype = 'F16'),
  'values that no array has': (header) => delete header.b,
  'metadata that are no strings': (header) => (header.__metadata__!.made = 1),
})) {
  test(`${what}: refused, though the hash is right`, () => {
    assert.throws(() => decodeSafetensors(forged(change)))
  })
}
