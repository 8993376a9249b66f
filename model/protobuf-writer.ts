/**
 * The wire format of protocol buffers, writing only: what model/onnx-writer.ts needs.
 * https://protobuf.dev/programming-guides/encoding/
 */
const utf8 = new TextEncoder()

export class ProtobufMessage {
  readonly #parts: Uint8Array[] = []
  #byteLength = 0

  /** Wire type 0: integers, enums and booleans; negative ones as 64-bit two's complement. @throws RangeError unless a safe integer. */
  int(field: number, value: number): this {
    if (!Number.isSafeInteger(value)) throw new RangeError(`Field ${field}: ${value} is not a safe integer.`)
    this.#varint(field * 8)
    return this.#varint(value)
  }

  /** Wire type 2. The bytes are referred to, not copied: do not change them before `finish`. */
  bytes(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 2).#varint(value.byteLength)
    return this.#push(value)
  }

  string(field: number, value: string): this {
    return this.bytes(field, utf8.encode(value))
  }

  message(field: number, value: ProtobufMessage): this {
    this.#varint(field * 8 + 2).#varint(value.#byteLength)
    for (const part of value.#parts) this.#push(part)
    return this
  }

  /** Wire type 5: one IEEE 754 single, little endian. */
  float(field: number, value: number): this {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value, true)
    this.#varint(field * 8 + 5)
    return this.#push(bytes)
  }

  finish(): Uint8Array {
    const whole = new Uint8Array(this.#byteLength)
    let offset = 0
    for (const part of this.#parts) {
      whole.set(part, offset)
      offset += part.byteLength
    }
    return whole
  }

  /** Seven bits a byte, least significant first; the high bit says that more follow. */
  #varint(value: number): this {
    const bytes: number[] = []
    let rest = BigInt.asUintN(64, BigInt(value))
    while (rest > 0x7fn) {
      bytes.push(Number(rest & 0x7fn) | 0x80)
      rest >>= 7n
    }
    bytes.push(Number(rest))
    return this.#push(Uint8Array.from(bytes))
  }

  #push(part: Uint8Array): this {
    this.#parts.push(part)
    this.#byteLength += part.byteLength
    return this
  }
}
