/** Kafka's primitive types over a Buffer: big-endian integers, zigzag varints, compact strings and arrays. */
export class ByteReader {
  readonly bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  int8(): number {
    return this.bytes.readInt8(this.at++)
  }

  int16(): number {
    this.at += 2
    return this.bytes.readInt16BE(this.at - 2)
  }

  int32(): number {
    this.at += 4
    return this.bytes.readInt32BE(this.at - 4)
  }

  /** Offsets and times, which stay below 2⁵³. */
  int64(): number {
    this.at += 8
    return this.bytes.readInt32BE(this.at - 8) * 2 ** 32 + this.bytes.readUInt32BE(this.at - 4)
  }

  bigint64(): bigint {
    this.at += 8
    return this.bytes.readBigInt64BE(this.at - 8)
  }

  string(): string {
    const length = this.int16()
    return length < 0 ? '' : this.utf8(length)
  }

  utf8(length: number): string {
    this.at += length
    return this.bytes.toString('utf8', this.at - length, this.at)
  }

  /** null where the length is negative. */
  slice(length: number): Buffer | null {
    if (length < 0) return null
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  array<T>(item: (reader: ByteReader) => T): T[] {
    const length = this.int32()
    const items: T[] = []
    for (let i = 0; i < length; i++) items.push(item(this))
    return items
  }

  /** @throws RangeError past the end, as the others do, and for more than 10 bytes. */
  uvarint(): number {
    let value = 0
    for (let scale = 1; scale < 2 ** 70; scale *= 128) {
      const byte = this.bytes.readUInt8(this.at++)
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    throw new RangeError('a varint has more than 10 bytes')
  }

  varint(): number {
    const value = this.uvarint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  compactString(): string {
    const length = this.uvarint() - 1
    return length < 0 ? '' : this.utf8(length)
  }

  compactArray<T>(item: (reader: ByteReader) => T): T[] {
    const length = this.uvarint() - 1
    const items: T[] = []
    for (let i = 0; i < length; i++) items.push(item(this))
    return items
  }

  skipTags(): void {
    for (let left = this.uvarint(); left > 0; left--) {
      this.uvarint()
      this.at += this.uvarint()
    }
  }
}

export class ByteWriter {
  #bytes: Buffer
  #at = 0

  constructor(sizeHint = 256) {
    this.#bytes = Buffer.allocUnsafe(sizeHint)
  }

  written(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }

  #grow(by: number): number {
    const at = this.#at
    this.#at += by
    if (this.#at > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#at, this.#bytes.length * 2))
      this.#bytes.copy(larger, 0, 0, at)
      this.#bytes = larger
    }
    return at
  }

  int8(value: number): this {
    const at = this.#grow(1)
    this.#bytes.writeInt8(value, at)
    return this
  }

  int16(value: number): this {
    const at = this.#grow(2)
    this.#bytes.writeInt16BE(value, at)
    return this
  }

  int32(value: number): this {
    const at = this.#grow(4)
    this.#bytes.writeInt32BE(value, at)
    return this
  }

  int64(value: number | bigint): this {
    const at = this.#grow(8)
    this.#bytes.writeBigInt64BE(BigInt(value), at)
    return this
  }

  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const length = Buffer.byteLength(value)
    this.int16(length)
    const at = this.#grow(length)
    this.#bytes.write(value, at, 'utf8')
    return this
  }

  raw(value: Uint8Array): this {
    const at = this.#grow(value.length)
    this.#bytes.set(value, at)
    return this
  }

  array<T>(items: readonly T[], item: (writer: this, value: T) => void): this {
    this.int32(items.length)
    for (const value of items) item(this, value)
    return this
  }

  uvarint(value: number): this {
    let left = value
    for (; left >= 0x80; left = Math.floor(left / 128)) this.int8((((left % 128) | 0x80) << 24) >> 24)
    return this.int8(left)
  }

  varint(value: number): this {
    return this.uvarint(value >= 0 ? value * 2 : -value * 2 - 1)
  }

  compactString(value: string | null): this {
    if (value === null) return this.uvarint(0)
    this.uvarint(Buffer.byteLength(value) + 1)
    return this.raw(Buffer.from(value))
  }

  compactArray<T>(items: readonly T[], item: (writer: this, value: T) => void): this {
    this.uvarint(items.length + 1)
    for (const value of items) item(this, value)
    return this
  }

  noTags(): this {
    return this.uvarint(0)
  }
}

/** Bytes that `varint(value)` takes. */
export function varintBytes(value: number): number {
  let left = value >= 0 ? value * 2 : -value * 2 - 1
  let bytes = 1
  for (; left >= 0x80; left = Math.floor(left / 128)) bytes++
  return bytes
}
