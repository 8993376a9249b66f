/**
 * Kafka's record batch, format 2 (the only one that brokers from 4.0 on keep).
 *
 *   batch   base offset i64 | length i32 | leader epoch i32 | magic i8 | crc32c u32 | attributes i16 | last offset delta i32
 *           | base time i64 | largest time i64 | producer id i64 | producer epoch i16 | base sequence i32 | records i32 | …
 *   record  length, attributes i8, time delta, offset delta, key, value, headers: all lengths are varints
 *
 * Written here rather than by kafkajs because kafkajs loses the place where a batch has no records left (compaction, control
 * records), fails a whole fetch for one batch that it cannot unpack, sorts times as text and takes time 0 for now.
 */
import { gunzipSync } from 'node:zlib'
import type { Headers } from '../../ports/broker.ts'
import { SetupError } from '../../ports/errors.ts'
import { ByteReader, ByteWriter, varintBytes } from './bytes.ts'
import { kafkajsInternals } from './kafkajs-internals.ts'

export interface LogRecord {
  readonly key: Buffer | null
  readonly value: Uint8Array | null
  readonly headers: Headers
  /** Unix epoch, ms. */
  readonly timestamp: number
}

export interface ProducerStamp {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly firstSequence: number
  readonly transactional: boolean
}

export const BATCH_HEADER_BYTES = 61
const CRC_AT = 17
const ATTRIBUTES_AT = 21
const LENGTH_END = 12
const CODEC = 0x07
const TRANSACTIONAL = 0x10
const CONTROL = 0x20
const LOG_APPEND_TIME = 0x08
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
/** A batch that unpacks to more is refused: it was made to do harm. */
const MOST_UNPACKED_BYTES = 128 * 1024 * 1024
const ABORT_MARKER = 0

/** An upper bound of what the record takes in a batch. */
export function recordBytes(record: LogRecord): number {
  return bodyBytes(record, record.timestamp, 0xffff) + 5
}

function bodyBytes({ key, value, headers }: LogRecord, timeDelta: number, offsetDelta: number): number {
  let bytes = 1 + varintBytes(timeDelta) + varintBytes(offsetDelta)
  bytes += key === null ? 1 : varintBytes(key.length) + key.length
  bytes += value === null ? 1 : varintBytes(value.length) + value.length
  let count = 0
  for (const name in headers) {
    count++
    for (const text of [name, headers[name]!]) {
      const length = Buffer.byteLength(text)
      bytes += varintBytes(length) + length
    }
  }
  return bytes + varintBytes(count)
}

export function encodeBatch(records: readonly LogRecord[], stamp: ProducerStamp): Buffer {
  const first = records[0]!.timestamp
  let [largest, size] = [first, BATCH_HEADER_BYTES]
  for (const record of records) {
    largest = Math.max(largest, record.timestamp)
    size += recordBytes(record)
  }
  const writer = new ByteWriter(size)
  writer.int64(0).int32(0).int32(-1).int8(2).int32(0)
  writer.int16(stamp.transactional ? TRANSACTIONAL : 0).int32(records.length - 1)
  writer.int64(first).int64(largest)
  writer.int64(stamp.producerId).int16(stamp.producerEpoch).int32(stamp.firstSequence).int32(records.length)
  for (const [i, record] of records.entries()) encodeRecord(writer, record, record.timestamp - first, i)
  const batch = writer.written()
  batch.writeInt32BE(batch.length - LENGTH_END, 8)
  batch.writeUInt32BE(kafkajsInternals().crc32C(batch.subarray(ATTRIBUTES_AT)), CRC_AT)
  return batch
}

function encodeRecord(writer: ByteWriter, record: LogRecord, timeDelta: number, offsetDelta: number): void {
  writer
    .varint(bodyBytes(record, timeDelta, offsetDelta))
    .int8(0)
    .varint(timeDelta)
    .varint(offsetDelta)
  for (const part of [record.key, record.value]) {
    if (part === null) writer.varint(-1)
    else writer.varint(part.length).raw(part)
  }
  const headers = Object.entries(record.headers)
  writer.varint(headers.length)
  for (const header of headers) {
    for (const text of header) {
      const bytes = Buffer.from(text)
      writer.varint(bytes.length).raw(bytes)
    }
  }
}

export interface ReadRecord {
  readonly offset: number
  readonly key: string | null
  readonly value: Buffer | null
  readonly headers: Headers
  readonly timestamp: number
  /** What it took in the batch, unpacked. */
  readonly bytes: number
}

export interface ReadSet {
  readonly records: ReadRecord[]
  /** Where to read on: past control records, aborted ones and holes too. */
  readonly nextOffset: number
}

export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
}

/**
 * Records from `fromOffset` on that are no part of an aborted transaction. A batch that is cut off at the end waits.
 * @throws SetupError 'unknown-codec' | 'unreadable-batch' | 'old-message-format', naming `where`
 */
export function decodeRecordSet(
  set: Buffer,
  fromOffset: number,
  aborted: readonly AbortedTransaction[],
  where: string,
): ReadSet {
  const records: ReadRecord[] = []
  const pending = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  const abortedProducers = new Set<bigint>()
  let nextOffset = fromOffset
  for (let start = 0; set.length - start >= BATCH_HEADER_BYTES; ) {
    const reader = new ByteReader(set, start)
    const baseOffset = reader.int64()
    const end = start + LENGTH_END + reader.int32()
    if (end > set.length) break
    reader.at += 4 // leader epoch
    if (reader.int8() !== 2) {
      throw new SetupError('old-message-format', `${where} holds messages of before Kafka 0.11, which are not read`)
    }
    reader.at += 4 // crc
    const attributes = reader.int16()
    const lastOffset = baseOffset + reader.int32()
    const [baseTime, largestTime] = [reader.int64(), reader.int64()]
    const producerId = reader.bigint64()
    reader.at += 6 // producer epoch, base sequence
    const count = reader.int32()
    start = end
    while (pending[0] !== undefined && pending[0].firstOffset <= lastOffset) {
      abortedProducers.add(pending.shift()!.producerId)
    }
    if (attributes & CONTROL) {
      if (count > 0 && isAbortMarker(reader)) abortedProducers.delete(producerId)
    } else if (lastOffset >= fromOffset && !(attributes & TRANSACTIONAL && abortedProducers.has(producerId))) {
      try {
        const bodyReader = new ByteReader(unpacked(set.subarray(reader.at, end), attributes & CODEC))
        const fixedTime = attributes & LOG_APPEND_TIME ? largestTime : null
        const decoded = Array.from({ length: count }, () => decodeRecord(bodyReader, baseOffset, baseTime, fixedTime))
        for (const record of decoded) if (record.offset >= fromOffset) records.push(record)
      } catch (error) {
        if (nextOffset > fromOffset) break // what came before it is given out first
        throw unreadable(where, error)
      }
    }
    nextOffset = Math.max(nextOffset, lastOffset + 1)
  }
  return { records, nextOffset }
}

class UnknownCodec extends Error {}

function unpacked(body: Buffer, codec: number): Buffer {
  if (codec === 0) return body
  if (codec === 1) return gunzipSync(body, { maxOutputLength: MOST_UNPACKED_BYTES })
  throw new UnknownCodec(CODECS[codec] ?? `codec ${codec}`)
}

function unreadable(where: string, cause: unknown): SetupError {
  if (!(cause instanceof UnknownCodec)) {
    return new SetupError('unreadable-batch', `${where} holds a batch that is damaged or too large`, { cause })
  }
  const remedy = 'set compression.type of its producers, or of the topic, to none or gzip'
  const told = `${where} holds records packed with ${cause.message}, which are not read here: ${remedy}`
  return new SetupError('unknown-codec', told, { cause })
}

function decodeRecord(reader: ByteReader, baseOffset: number, baseTime: number, fixedTime: number | null): ReadRecord {
  const bytes = reader.varint()
  const end = reader.at + bytes
  if (bytes < 1 || end > reader.bytes.length) throw new RangeError('a record is longer than its batch')
  reader.at++ // attributes
  const timestamp = fixedTime ?? baseTime + reader.varint()
  if (fixedTime !== null) reader.varint()
  const offset = baseOffset + reader.varint()
  const keyLength = reader.varint()
  const key = keyLength < 0 ? null : reader.utf8(keyLength)
  const value = reader.slice(reader.varint())
  const headers: Record<string, string> = {}
  for (let left = reader.varint(); left > 0; left--) {
    const name = reader.utf8(reader.varint())
    headers[name] = reader.utf8(Math.max(0, reader.varint()))
  }
  reader.at = end
  return { offset, key, value, headers, timestamp, bytes }
}

/** The one record of a control batch has as its key: version i16 | type i16. */
function isAbortMarker(reader: ByteReader): boolean {
  const record = new ByteReader(reader.bytes, reader.at)
  record.varint()
  record.at++
  record.varint()
  record.varint()
  const key = record.slice(record.varint())
  return key !== null && key.length >= 4 && key.readInt16BE(2) === ABORT_MARKER
}
