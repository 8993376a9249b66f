import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidRecordError, SetupError } from '../../../ports/errors.ts'
import { readNpy, readNpyFile, writeNpy } from '../../../trainer/data/npy.ts'

/** A file as NumPy writes it. */
function npy(header: string, values: Uint8Array, major = 1): Uint8Array {
  const line = Buffer.from(`${header}\n`, 'latin1')
  const length = Buffer.alloc(major === 1 ? 2 : 4)
  if (major === 1) length.writeUInt16LE(line.length)
  else length.writeUInt32LE(line.length)
  return Buffer.concat([Buffer.from('\x93NUMPY', 'latin1'), Buffer.from([major, 0]), length, line, values])
}

const header = (descr: string, shape: string, order = 'False') =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${shape}), }`
const bytes = (values: Float32Array | Uint16Array) => new Uint8Array(values.buffer)
const badNpy = (pattern: RegExp) => (error: unknown) =>
  error instanceof InvalidRecordError && error.code === 'bad-npy' && pattern.test(error.message)

for (const major of [1, 2, 3]) {
  test(`a float32 file of version ${major} is read with its shape`, () => {
    const file = npy(header('<f4', '2, 3'), bytes(Float32Array.of(1, -2, 3.5, 0, 5, 6)), major)
    assert.deepEqual(readNpy(file, 'x'), { shape: [2, 3], values: Float32Array.of(1, -2, 3.5, 0, 5, 6) })
  })
}

test('halves become the floats they stand for: zeros, subnormals, the largest, infinities and NaN', () => {
  const halves = Uint16Array.of(
    0x3c00,
    0xc000,
    0x0000,
    0x8000,
    0x0001,
    0x03ff,
    0x0400,
    0x7bff,
    0x3555,
    0x7c00,
    0xfc00,
    0x7e00,
  )
  const { values } = readNpy(npy(header('<f2', '12,'), bytes(halves)), 'x')
  assert.deepEqual(
    [...values],
    [1, -2, 0, -0, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 65_504, 0.333251953125, Infinity, -Infinity, Number.NaN],
  )
})

test('arrays of no, one and three axes keep their shapes', () => {
  assert.deepEqual(readNpy(npy(header('<f4', ''), bytes(Float32Array.of(7))), 'x').shape, [])
  assert.deepEqual(readNpy(npy(header('<f4', '1,'), bytes(Float32Array.of(7))), 'x').shape, [1])
  assert.deepEqual(readNpy(npy(header('<f4', '1, 2, 1'), bytes(Float32Array.of(7, 8))), 'x').shape, [1, 2, 1])
  assert.deepEqual(readNpy(npy(header('<f4', '0, 5'), new Uint8Array()), 'x').values, new Float32Array())
})

test('what was written is read back, and the values begin at a multiple of 64 bytes', () => {
  for (const shape of [[6], [2, 3], [1, 2, 3], [6, 1, 1, 1]]) {
    const array = { shape, values: Float32Array.of(1, 2, 3, 4, 5, 6) }
    const file = writeNpy(array)
    assert.deepEqual(readNpy(file, 'x'), array)
    assert.equal((file.length - 24) % 64, 0)
  }
})

test('a file that starts anywhere in its buffer is read', () => {
  const file = writeNpy({ shape: [2], values: Float32Array.of(1, 2) })
  const shifted = new Uint8Array(file.length + 3)
  shifted.set(file, 3)
  assert.deepEqual(readNpy(shifted.subarray(3), 'x').values, Float32Array.of(1, 2))
})

const four = bytes(Float32Array.of(1, 2, 3, 4))
const hostile: [what: string, file: Uint8Array, message: RegExp][] = [
  ['other bytes', Buffer.from('PK\x03\x04 not numpy at all'), /not a \.npy file/],
  ['nothing', new Uint8Array(), /not a \.npy file/],
  ['a version to come', npy(header('<f4', '4,'), four, 9), /version 9/],
  ['values of another type', npy(header('<f8', '2,'), four), /<f8/],
  ['big endian values', npy(header('>f4', '4,'), four), />f4/],
  ['pickled objects', npy(header('|O', '4,'), four), /\|O/],
  ['Fortran order', npy(header('<f4', '2, 2', 'True'), four), /ascontiguousarray/],
  ['fewer values than its shape', npy(header('<f4', '5,'), four), /takes 20 bytes of values, and it has 16/],
  ['more values than its shape', npy(header('<f4', '3,'), four), /takes 12 bytes/],
  ['a shape beyond all memory', npy(header('<f4', '999999999999999, 999999999999999'), four), /bytes/],
  ['a negative length', npy(header('<f4', '-4,'), four), /shape cannot be/],
  ['a length that is no number', npy(header('<f4', '__import__, 4'), four), /shape cannot be/],
  ['40 axes', npy(header('<f4', Array(40).fill('1').join(', ')), four.subarray(0, 4)), /shape cannot be/],
  ['a header without a shape', npy("{'descr': '<f4', 'fortran_order': False}", four), /lacks/],
  ['a header longer than the file', writeNpy({ shape: [1], values: new Float32Array(1) }).subarray(0, 40), /cut off/],
]
for (const [what, file, message] of hostile) {
  test(`a file with ${what} is refused as an invalid record that says why`, () => {
    assert.throws(() => readNpy(file, 'x.npy'), badNpy(message))
  })
}

test('a file that is not there is a matter of setup and is named', async () => {
  await assert.rejects(
    readNpyFile('/nowhere/x.npy'),
    (error) => error instanceof SetupError && /nowhere/.test(error.message),
  )
})
