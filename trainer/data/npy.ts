/**
 * NumPy's .npy files (format versions 1 to 3): float16 and float32, little endian, in C order, of any rank.
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 *
 *     93 'NUMPY' | major minor | header length (uint16 in version 1, else uint32) | header | values
 *
 * The header is a Python literal: {'descr': '<f2', 'fortran_order': False, 'shape': (8878, 1024), }. It is matched, never
 * evaluated, and nothing is allocated for a shape that the bytes do not fill exactly.
 */
import { readFile } from 'node:fs/promises'
import { packFloats, unpackFloats } from '../../model/features.ts'
import { InvalidRecordError, SetupError } from '../../ports/errors.ts'

export interface NpyArray {
  readonly shape: readonly number[]
  /** Row-major. */
  readonly values: Float32Array
}

const MAGIC = Buffer.from('\x93NUMPY', 'latin1')
const MOST_HEADER_BYTES = 65_536
const MOST_AXES = 32 // NumPy's own limit until 2.0
/** NumPy pads the header so that the values begin at a multiple of this. */
const ALIGNMENT_BYTES = 64

/** @throws SetupError 'no-file' | InvalidRecordError 'bad-npy' */
export async function readNpyFile(path: string): Promise<NpyArray> {
  const bytes = await readFile(path).catch((cause) => {
    throw new SetupError('no-file', `${path} cannot be read: ${cause.message}.`, { cause })
  })
  return readNpy(bytes, path)
}

/** @param name said in errors. @throws InvalidRecordError 'bad-npy' */
export function readNpy(bytes: Uint8Array, name: string): NpyArray {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const { header, valuesStart } = readHeader(file, name)
  const descr = /'descr': *'([^']*)'/.exec(header)?.[1]
  const order = /'fortran_order': *(True|False)/.exec(header)?.[1]
  const axes = /'shape': *\(([^()]*)\)/.exec(header)?.[1]
  if (descr === undefined || order === undefined || axes === undefined) {
    throw bad(name, `its header lacks descr, fortran_order or shape: ${header.slice(0, 200)}`)
  }
  if (descr !== '<f2' && descr !== '<f4') {
    throw bad(name, `its values are ${descr}, not float16 or float32, little endian ('<f2', '<f4')`)
  }
  const shape = readShape(axes, name)
  if (order === 'True' && shape.length > 1) {
    throw bad(name, 'it is in Fortran order; save numpy.ascontiguousarray(a) instead')
  }
  const size = shape.reduce((product, length) => product * length, 1)
  const valueBytes = descr === '<f2' ? 2 : 4
  const given = file.length - valuesStart
  if (given !== size * valueBytes) {
    throw bad(name, `its shape (${shape.join(', ')}) takes ${size * valueBytes} bytes of values, and it has ${given}`)
  }
  const values = file.subarray(valuesStart)
  return { shape, values: descr === '<f2' ? unpackHalves(values) : unpackFloats(values) }
}

/** @returns a .npy file of float32, version 1. */
export function writeNpy({ shape, values }: NpyArray): Uint8Array {
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const literal = `{'descr': '<f4', 'fortran_order': False, 'shape': (${axes}), }`
  const start = MAGIC.length + 4
  const length = Math.ceil((start + literal.length + 1) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES - start
  const head = Buffer.alloc(start)
  MAGIC.copy(head)
  head.writeUInt8(1, MAGIC.length)
  head.writeUInt16LE(length, MAGIC.length + 2)
  return Buffer.concat([head, Buffer.from(`${literal.padEnd(length - 1)}\n`, 'latin1'), packFloats(values)])
}

function readHeader(file: Buffer, name: string): { header: string; valuesStart: number } {
  if (file.length < 12 || !file.subarray(0, MAGIC.length).equals(MAGIC)) throw bad(name, 'it is not a .npy file')
  const major = file[MAGIC.length]!
  if (major < 1 || major > 3) throw bad(name, `it is of format version ${major}; 1 to 3 can be read`)
  const start = MAGIC.length + (major === 1 ? 4 : 6)
  const length = major === 1 ? file.readUInt16LE(start - 2) : file.readUInt32LE(start - 4)
  if (length > MOST_HEADER_BYTES || start + length > file.length) {
    throw bad(name, `its header of ${length} bytes is cut off or too long`)
  }
  return { header: file.toString('latin1', start, start + length), valuesStart: start + length }
}

/** @param axes '' of a single value, '3,' or '3, 4'. */
function readShape(axes: string, name: string): number[] {
  const lengths = axes
    .replace(/, *$/, '')
    .split(',')
    .map((length) => length.trim())
  if (lengths.length === 1 && lengths[0] === '') return []
  const shape = lengths.map(Number)
  const usable = lengths.every((length) => /^\d{1,15}$/.test(length)) && shape.length <= MOST_AXES
  if (!usable) throw bad(name, `its shape cannot be: (${axes.slice(0, 200)})`)
  return shape
}

let halves: Float32Array | undefined

/** IEEE 754 binary16 to float32, through a table of all 65,536 values. */
function unpackHalves(bytes: Buffer): Float32Array {
  halves ??= Float32Array.from({ length: 65_536 }, (_, bits) => half(bits))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const values = new Float32Array(bytes.length / 2)
  for (let i = 0; i < values.length; i++) values[i] = halves[view.getUint16(2 * i, true)]!
  return values
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24 // subnormal
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

function bad(name: string, what: string): InvalidRecordError {
  return new InvalidRecordError('bad-npy', `${name}: ${what}.`)
}
