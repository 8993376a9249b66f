/** Small arithmetic on float32 vectors and their bytes (little endian, as on the topics). */

/** @returns the bytes of `values`, shared with it where the machine is little endian (every one we run on). */
export function toBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

/** @returns a copy, so that an unaligned or shared buffer does no harm. @throws RangeError if not a multiple of 4 bytes. */
export function fromBytes(bytes: Uint8Array): Float32Array {
  if (bytes.byteLength % 4 !== 0) throw new RangeError(`${bytes.byteLength} bytes are not a whole number of float32`)
  return new Float32Array(bytes.slice().buffer)
}

export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

/** @returns a unit vector; a zero vector stays zero. */
export function unit(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(dot(vector, vector))
  return norm === 0 ? vector.slice() : vector.map((value) => value / norm)
}

/** Σ weightᵢ · vectorᵢ; all of one length. */
export function weightedSum(parts: readonly { vector: Float32Array; weight: number }[]): Float32Array {
  const sum = new Float32Array(parts[0]!.vector.length)
  for (const { vector, weight } of parts) for (let i = 0; i < sum.length; i++) sum[i]! += weight * vector[i]!
  return sum
}

export function isFiniteVector(values: Float32Array): boolean {
  for (const value of values) if (!Number.isFinite(value)) return false
  return true
}
