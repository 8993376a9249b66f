/** Checked against kafkajs's own encoding, which every Kafka takes: what one writes the other reads. */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import {
  BATCH_HEADER_BYTES,
  decodeRecordSet,
  encodeBatch,
  type LogRecord,
  recordBytes,
} from '../../../adapters/kafka/record-batch.ts'
import { seededRandom } from '../../../model/random.ts'
import { SetupError } from '../../../ports/errors.ts'

const load = createRequire(import.meta.url)
const Decoder = load('kafkajs/src/protocol/decoder')
const readBatch = load('kafkajs/src/protocol/recordBatch/v0/decoder')
const { RecordBatch } = load('kafkajs/src/protocol/recordBatch/v0')
const Record = load('kafkajs/src/protocol/recordBatch/record/v0')
const crc32C = load('kafkajs/src/protocol/recordBatch/crc32C')

const STAMP = { producerId: 4_294_967_298n, producerEpoch: 3, firstSequence: 17, transactional: false }
const WHERE = 'partition 0 of a test'

function record(value: string | null, options: Partial<LogRecord> = {}): LogRecord {
  return {
    key: Buffer.from('k'),
    value: value === null ? null : Buffer.from(value),
    headers: {},
    timestamp: 1_000,
    ...options,
  }
}

/** As the broker does, which is the one that gives offsets. */
function at(offset: number, batch: Buffer): Buffer {
  const placed = Buffer.from(batch)
  placed.writeBigInt64BE(BigInt(offset), 0)
  return placed
}

function values(set: Buffer, from: number, aborted: Parameters<typeof decodeRecordSet>[2] = []): unknown[] {
  return decodeRecordSet(set, from, aborted, WHERE).records.map(({ value }) => value?.toString() ?? null)
}

const awkward: LogRecord[] = [
  record('first', { timestamp: 1_700_000_000_000, headers: { ünï: 'wörld 𝄞', empty: '', a: 'b'.repeat(200) } }),
  record(null, { key: null, timestamp: 1_234_567_890_123 }),
  record('', { key: Buffer.alloc(0), timestamp: 0 }),
  record('x'.repeat(70_000), { key: Buffer.from('ключ'.repeat(40)), timestamp: 1_700_000_000_001 }),
]

test('what is written here kafkajs reads as it was: keys, values, headers, times, stamps and the checksum', async () => {
  const batch = encodeBatch(awkward, STAMP)
  const read = await readBatch(new Decoder(at(900, batch)))
  assert.equal(batch.readUInt32BE(17), crc32C(batch.subarray(21)))
  assert.deepEqual(
    [read.producerId, read.producerEpoch, read.firstSequence, read.inTransaction, read.lastOffsetDelta],
    ['4294967298', 3, 17, false, 3],
  )
  assert.equal(Number(read.maxTimestamp), 1_700_000_000_001)
  for (const [i, expected] of awkward.entries()) {
    const found = read.records[i]
    assert.equal(found.offset, String(900 + i))
    assert.equal(Number(found.timestamp), expected.timestamp)
    assert.deepEqual(found.key, expected.key)
    assert.deepEqual(found.value, expected.value)
    const headers = Object.entries(found.headers).map(([name, value]) => [name, String(value)])
    assert.deepEqual(Object.fromEntries(headers), expected.headers)
  }
})

test('what kafkajs writes is read here as it was', async () => {
  const timed = awkward.filter(({ timestamp }) => timestamp > 0).sort((a, b) => a.timestamp - b.timestamp)
  const firstTimestamp = timed[0]!.timestamp
  const encoded = await RecordBatch({
    firstTimestamp,
    maxTimestamp: timed.at(-1)!.timestamp,
    records: timed.map((r, i) => Record({ ...r, offsetDelta: i, timestampDelta: r.timestamp - firstTimestamp })),
    lastOffsetDelta: timed.length - 1,
  })
  const { records, nextOffset } = decodeRecordSet(at(50, encoded.buffer), 50, [], WHERE)
  assert.equal(nextOffset, 53)
  assert.deepEqual(
    records.map(({ offset, key, value, headers, timestamp }) => ({ offset, key, value, headers, timestamp })),
    timed.map(({ key, ...rest }, i) => ({ offset: 50 + i, key: key === null ? null : key.toString(), ...rest })),
  )
})

test('random batches come back whole, and none is larger than was reckoned', () => {
  const random = seededRandom(7)
  const bytes = (most: number) => Buffer.from(Array.from({ length: Math.floor(random() * most) }, () => random() * 256))
  for (let round = 0; round < 200; round++) {
    const records = Array.from({ length: 1 + Math.floor(random() * 20) }, () => ({
      key: random() < 0.2 ? null : Buffer.from(bytes(40).toString('hex')),
      value: random() < 0.2 ? null : bytes(300),
      headers: Object.fromEntries(
        Array.from({ length: random() * 4 }, (_, i) => [`h${i}`, bytes(150).toString('hex')]),
      ),
      timestamp: Math.floor(random() * 2 ** 41),
    }))
    const batch = encodeBatch(records, { ...STAMP, transactional: random() < 0.5 })
    const reckoned = records.reduce((sum, r) => sum + recordBytes(r), BATCH_HEADER_BYTES)
    assert.ok(batch.length <= reckoned, `${batch.length} bytes, reckoned ${reckoned}`)
    const read = decodeRecordSet(at(10, batch), 10, [], WHERE).records
    assert.deepEqual(
      read.map(({ key, value, headers, timestamp }) => ({ key, value, headers, timestamp })),
      records.map(({ key, ...rest }) => ({ ...rest, key: key?.toString() ?? null })),
    )
  }
})

test('records before the one asked for are left out, and a batch that is cut off is read the next time', () => {
  const set = Buffer.concat([
    at(0, encodeBatch([record('a'), record('b'), record('c')], STAMP)),
    at(3, encodeBatch([record('d')], STAMP)),
  ])
  assert.deepEqual(values(set, 1), ['b', 'c', 'd'])
  for (let cut = set.length - 1; cut > set.length - 60; cut--) {
    const read = decodeRecordSet(set.subarray(0, cut), 0, [], WHERE)
    assert.equal(read.records.length, 3)
    assert.equal(read.nextOffset, 3)
  }
})

test('reading goes on behind a batch that compaction has emptied, and behind its holes', () => {
  const emptied = at(5, encodeBatch([record('gone'), record('gone')], STAMP)).subarray(0, BATCH_HEADER_BYTES)
  emptied.writeInt32BE(BATCH_HEADER_BYTES - 12, 8)
  emptied.writeInt32BE(0, 57)
  assert.deepEqual(decodeRecordSet(emptied, 5, [], WHERE), { records: [], nextOffset: 7 })
})

/** Value and key of the record that ends a transaction: version, and 0 for abort or 1 for commit. */
function marker(producerId: bigint, type: 0 | 1): Buffer {
  const key = Buffer.from([0, 0, 0, type])
  const batch = encodeBatch([record('\0\0\0\0\0\0', { key })], { ...STAMP, producerId, transactional: true })
  batch.writeInt16BE(0x30, 21)
  return batch
}

test('of an aborted transaction nothing is read, of its neighbours and of later ones of its producer everything', () => {
  const of = (producerId: bigint, value: string) =>
    encodeBatch([record(value)], { ...STAMP, producerId, transactional: true })
  const parts = [of(1n, 'void'), of(2n, 'kept'), marker(1n, 0), of(1n, 'later'), marker(2n, 1), marker(1n, 1)]
  const set = Buffer.concat(parts.map((part, i) => at(i, part)))
  const aborted = [{ producerId: 1n, firstOffset: 0 }]
  assert.deepEqual(values(set, 0, aborted), ['kept', 'later'])
  assert.equal(decodeRecordSet(set, 0, aborted, WHERE).nextOffset, 6)
})

function packed(codec: number, body: (plain: Buffer) => Buffer): Buffer {
  const plain = encodeBatch([record('packed'), record('twice')], STAMP)
  const batch = Buffer.concat([plain.subarray(0, BATCH_HEADER_BYTES), body(plain.subarray(BATCH_HEADER_BYTES))])
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt16BE(codec, 21)
  return at(0, batch)
}

test('gzip is read; another packing is refused by name, with what to do', () => {
  assert.deepEqual(
    values(
      packed(1, (plain) => gzipSync(plain)),
      0,
    ),
    ['packed', 'twice'],
  )
  for (const [codec, name] of [
    [2, 'snappy'],
    [3, 'lz4'],
    [4, 'zstd'],
  ] as const) {
    assert.throws(
      () =>
        values(
          packed(codec, (plain) => plain),
          0,
        ),
      (error) =>
        error instanceof SetupError &&
        error.code === 'unknown-codec' &&
        error.message.includes(name) &&
        error.message.includes(WHERE) &&
        error.message.includes('compression.type'),
    )
  }
})

test('a batch that unpacks to more than a topic could ever hold is refused, not unpacked', () => {
  const bomb = packed(1, () => gzipSync(Buffer.alloc(200 * 1024 * 1024)))
  assert.throws(
    () => values(bomb, 0),
    (error) => error instanceof SetupError && error.code === 'unreadable-batch',
  )
})

test('damaged bytes are told as such: nothing hangs, and nothing is made up past the end of a batch', () => {
  const random = seededRandom(11)
  const batch = at(0, encodeBatch([record('one'), record('two', { headers: { a: 'b' } }), record('three')], STAMP))
  let told = 0
  for (let round = 0; round < 3_000; round++) {
    const damaged = Buffer.from(batch)
    for (let i = 0; i < 1 + random() * 4; i++) {
      const where = BATCH_HEADER_BYTES + Math.floor(random() * (batch.length - BATCH_HEADER_BYTES))
      damaged[where] = Math.floor(random() * 256)
    }
    try {
      const { records } = decodeRecordSet(damaged, 0, [], WHERE)
      for (const { value } of records) assert.ok((value?.length ?? 0) < batch.length)
    } catch (error) {
      assert.ok(error instanceof SetupError && error.code === 'unreadable-batch', String(error))
      told++
    }
  }
  assert.ok(told > 1_000, `${told} were told`)
})
