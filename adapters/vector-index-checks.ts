/** What a vector index refuses before it writes or searches, whatever it is made of. */
import { InvalidRecordError, ShapeError } from '../ports/errors.ts'
import type { Attributes } from '../ports/vector-index.ts'

const NORM_TOLERANCE = 1e-3
const MAX_ID_BYTES = 512

export function checkId(id: string): void {
  if (id.length === 0 || Buffer.byteLength(id) > MAX_ID_BYTES) {
    throw new InvalidRecordError('bad-id', `A row id needs 1 to ${MAX_ID_BYTES} bytes; got '${id.slice(0, 40)}'.`)
  }
}

export function checkVector(vector: Float32Array, dims: number, whose: string): void {
  if (vector.length !== dims) throw new ShapeError(`The vector ${whose} has ${vector.length} dims, not ${dims}.`)
  let squares = 0
  for (let i = 0; i < dims; i++) squares += vector[i]! * vector[i]!
  // NaN and Infinity fail the comparison too.
  if (!(Math.abs(Math.sqrt(squares) - 1) <= NORM_TOLERANCE)) {
    throw new ShapeError(`The vector ${whose} has norm ${Math.sqrt(squares)}; vectors must be finite and of unit norm.`)
  }
}

export function checkAttributes(id: string, attributes: Attributes): void {
  for (const [field, value] of Object.entries(attributes)) {
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw new InvalidRecordError('bad-attributes', `Attribute ${field} of ${id} is ${value}; numbers must be finite.`)
    }
  }
}
