/** How a vector lies in Redis: FLOAT16 for the index, float32 to rescore and to give back; little endian. */

/** The hash fields of a vector. */
export function vectorFields(vector: Float32Array): (string | Buffer)[] {
  return ['h', halfBytes(vector), 'v', Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength)]
}

/** @returns (dims,) float32, a copy. */
export function readVector(bytes: Buffer): Float32Array {
  const vector = new Float32Array(bytes.byteLength / Float32Array.BYTES_PER_ELEMENT)
  new Uint8Array(vector.buffer).set(bytes)
  return vector
}

/** IEEE 754 binary16, rounded to nearest, ties to even. |x| ≤ 1.001 cannot overflow. */
export function halfBytes(vector: Float32Array): Buffer {
  const halves = new Uint16Array(vector.length)
  const bits = new Uint32Array(vector.buffer.slice(vector.byteOffset, vector.byteOffset + vector.byteLength))
  for (let i = 0; i < vector.length; i++) halves[i] = halfBits(bits[i]!)
  return Buffer.from(halves.buffer)
}

/** @param bits of a finite float32 below 65,520 in size. */
function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const exponent = (bits >>> 23) & 0xff
  const fraction = bits & 0x7fffff
  if (exponent < 102) return sign // less than half of the least subnormal
  if (exponent >= 113) return sign | rounded(((exponent - 112) << 23) | fraction, 13)
  return sign | rounded(0x800000 | fraction, 126 - exponent) // subnormal
}

/** @returns value / 2^shift to the nearest integer, ties to even. */
function rounded(value: number, shift: number): number {
  const whole = value >>> shift
  const rest = value & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return rest > half || (rest === half && (whole & 1) === 1) ? whole + 1 : whole
}
