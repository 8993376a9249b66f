/**
 * How a record and the keys of the log lie on disk. Big endian, so that LMDB's byte order is the order of offsets.
 *
 *   partition key   topic id u16 | partition u16
 *   log key         partition key | offset u48
 *   log value       flags u8 | timestamp f64 | key bytes u32 | header bytes u32 | key | headers as JSON | value, as given
 */
import { createHash } from 'node:crypto'
import type { Headers, StoredRecord } from '../../ports/broker.ts'

const HAS_KEY = 1
const HAS_VALUE = 2
const FIXED_BYTES = 17
/** LMDB takes keys up to 1978 bytes; a longer record key is replaced by its hash. */
const LONGEST_INDEXED_KEY_BYTES = 512

export interface EncodableRecord {
  readonly key: string | null
  readonly value: Uint8Array | null
  readonly headers: Headers
  /** Unix epoch, ms. */
  readonly timestamp: number
}

export function partitionKey(topicId: number, partition: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt16BE(topicId, 0)
  bytes.writeUInt16BE(partition, 2)
  return bytes
}

export function logKey(topicId: number, partition: number, offset: number): Buffer {
  const bytes = Buffer.allocUnsafe(10)
  bytes.writeUInt16BE(topicId, 0)
  bytes.writeUInt16BE(partition, 2)
  bytes.writeUIntBE(offset, 4, 6)
  return bytes
}

export function offsetOfLogKey(bytes: Buffer): number {
  return bytes.readUIntBE(4, 6)
}

/** Where the latest offset of a record key is kept: partition key | 0 | key, or | 1 | SHA-256 of a long key. */
export function latestKey(topicId: number, partition: number, key: string): Buffer {
  const bytes = Buffer.from(key, 'utf8')
  const prefix = partitionKey(topicId, partition)
  if (bytes.length <= LONGEST_INDEXED_KEY_BYTES) return Buffer.concat([prefix, Buffer.of(0), bytes])
  return Buffer.concat([prefix, Buffer.of(1), createHash('sha256').update(bytes).digest()])
}

/** Tombstones by age: time u48 | log key. */
export function tombstoneKey(timeMs: number, log: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(6 + log.length)
  bytes.writeUIntBE(timeMs, 0, 6)
  log.copy(bytes, 6)
  return bytes
}

export function encodeRecord(record: EncodableRecord): Buffer {
  const names = Object.keys(record.headers)
  const headers = names.length === 0 ? '' : JSON.stringify(record.headers)
  const keyBytes = record.key === null ? 0 : Buffer.byteLength(record.key)
  const headerBytes = Buffer.byteLength(headers)
  const bytes = Buffer.allocUnsafe(FIXED_BYTES + keyBytes + headerBytes + (record.value?.length ?? 0))
  bytes[0] = (record.key === null ? 0 : HAS_KEY) | (record.value === null ? 0 : HAS_VALUE)
  bytes.writeDoubleBE(record.timestamp, 1)
  bytes.writeUInt32BE(keyBytes, 9)
  bytes.writeUInt32BE(headerBytes, 13)
  if (record.key !== null) bytes.write(record.key, FIXED_BYTES, 'utf8')
  bytes.write(headers, FIXED_BYTES + keyBytes, 'utf8')
  if (record.value !== null) bytes.set(record.value, FIXED_BYTES + keyBytes + headerBytes)
  return bytes
}

export function decodeRecord(
  topic: string,
  partition: number,
  offset: number,
  stored: Uint8Array,
): StoredRecord & EncodableRecord {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength)
  const flags = bytes[0]!
  const keyEnd = FIXED_BYTES + bytes.readUInt32BE(9)
  const headersEnd = keyEnd + bytes.readUInt32BE(13)
  return {
    topic,
    partition,
    offset,
    key: flags & HAS_KEY ? bytes.toString('utf8', FIXED_BYTES, keyEnd) : null,
    value: flags & HAS_VALUE ? bytes.subarray(headersEnd) : null,
    headers: headersEnd === keyEnd ? {} : JSON.parse(bytes.toString('utf8', keyEnd, headersEnd)),
    timestamp: timestampOf(bytes),
  }
}

/** Unix epoch, ms. */
export function timestampOf(stored: Uint8Array): number {
  return new DataView(stored.buffer, stored.byteOffset).getFloat64(1)
}
