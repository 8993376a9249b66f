/**
 * Named float32 arrays in one file of the safetensors layout, which other tools of the field read too
 * (https://github.com/huggingface/safetensors#format):
 *
 *     uint64 length of the header │ header, JSON │ values of all arrays, one after the other, little endian
 *
 * The header begins with metadata, and those with the sha256 of the whole file, taken with zeros in its own place.
 * Nothing in a file is trusted: lengths, offsets and the hash are checked before a value is used.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'

export interface NamedArray {
  readonly shape: readonly number[]
  /** Row-major. */
  readonly values: Float32Array
}

export interface Safetensors {
  readonly arrays: ReadonlyMap<string, NamedArray>
  readonly metadata: Readonly<Record<string, string>>
}

const LENGTH_BYTES = 8
const METADATA = '__metadata__'
const BEFORE_HASH = `{"${METADATA}":{"sha256":"`
const NO_HASH = '0'.repeat(64)
const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT
/** The values begin at a multiple of this. */
const ALIGNMENT_BYTES = 8

const headerSchema = z.record(z.string(), z.unknown())
const metadataSchema = z.record(z.string(), z.string())
const count = z.int().nonnegative()
const entrySchema = z.strictObject({
  dtype: z.literal('F32'),
  shape: z.array(count),
  data_offsets: z.tuple([count, count]),
})

/** @returns the parts of the file, in order; the arrays are views of those given. */
export function encodeSafetensors({ arrays, metadata }: Safetensors): Uint8Array[] {
  let end = 0
  const entries = [...arrays].map(([name, { shape, values }]) => {
    const start = end
    end += values.byteLength
    return [name, { dtype: 'F32', shape, data_offsets: [start, end] }]
  })
  const text = JSON.stringify({ [METADATA]: { sha256: NO_HASH, ...metadata }, ...Object.fromEntries(entries) })
  const bytes = Buffer.from(text)
  const header = Buffer.alloc(LENGTH_BYTES + Math.ceil(bytes.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES, ' ')
  header.writeBigUInt64LE(BigInt(header.length - LENGTH_BYTES))
  bytes.copy(header, LENGTH_BYTES)
  const parts = [header, ...[...arrays.values()].map(({ values }) => bytesOf(values))]
  header.write(hashOf(parts), LENGTH_BYTES + BEFORE_HASH.length, 'latin1')
  return parts
}

/** @throws RangeError that says what is wrong with the file. */
export function decodeSafetensors(file: Buffer): Safetensors {
  if (file.length < LENGTH_BYTES + BEFORE_HASH.length + NO_HASH.length) throw new RangeError('it is too short')
  const headerBytes = Number(file.readBigUInt64LE())
  const valuesStart = LENGTH_BYTES + headerBytes
  if (!Number.isSafeInteger(headerBytes) || valuesStart > file.length) throw new RangeError('its header is cut off')
  const hashStart = LENGTH_BYTES + BEFORE_HASH.length
  if (file.toString('latin1', LENGTH_BYTES, hashStart) !== BEFORE_HASH) throw new RangeError('it has no sha256')
  const hashed = file.toString('latin1', hashStart, hashStart + NO_HASH.length)
  const head = Buffer.from(file.subarray(0, valuesStart))
  head.write(NO_HASH, hashStart, 'latin1')
  if (hashOf([head, file.subarray(valuesStart)]) !== hashed) throw new RangeError('its sha256 is another')

  const { [METADATA]: metadata, ...entries } = headerSchema.parse(
    JSON.parse(file.toString('utf8', LENGTH_BYTES, valuesStart)),
  )
  const arrays = new Map<string, NamedArray>()
  let end = 0
  for (const [name, entry] of Object.entries(entries)) {
    const { shape, data_offsets: offsets } = entrySchema.parse(entry)
    const bytes = shape.reduce((product, size) => product * size, FLOAT_BYTES)
    if (offsets[0] !== end || offsets[1] !== end + bytes) throw new RangeError(`the array "${name}" is out of place`)
    end = offsets[1]
    if (valuesStart + end > file.length) throw new RangeError(`the array "${name}" is cut off`)
    const values = new Float32Array(bytes / FLOAT_BYTES)
    bytesOf(values).set(file.subarray(valuesStart + offsets[0], valuesStart + end))
    arrays.set(name, { shape, values })
  }
  if (valuesStart + end !== file.length) throw new RangeError('it goes on after the last array')
  const { sha256: _, ...rest } = metadataSchema.parse(metadata)
  return { arrays, metadata: rest }
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength)
}

function hashOf(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}
