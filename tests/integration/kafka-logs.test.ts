/** What a log may hold: records of megabytes, holes that compaction left, beginnings that are gone, unknown packings. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { kafkaClient } from '../../adapters/kafka/client.ts'
import type { Broker, ConsumeOptions, Consumer, StoredRecord } from '../../ports/broker.ts'
import { SetupError } from '../../ports/errors.ts'
import { startServices } from '../../services/start-services.ts'
import { until } from '../conformance/deadline.ts'
import { testServices } from '../support/services.ts'
import { copy, everythingIn, newTopic, record, testBroker, text, untilRead } from './kafka-fixtures.ts'

const { CompressionCodecs, CompressionTypes } = kafkajs

async function collect(broker: Broker, topic: string, options: Partial<ConsumeOptions> = {}) {
  const records: StoredRecord[] = []
  const consumer: Consumer = await broker.consume({
    group: randomUUID(),
    topics: [topic],
    maxRecords: 100,
    from: 'earliest',
    async onBatch(batch) {
      await batch.commit(batch.records.at(-1)!.offset + 1, [])
      records.push(...batch.records)
      return { next: 'continue' }
    },
    ...options,
  })
  return { consumer, records }
}

test('records larger than a fetch asks for arrive, whichever partition they are in', async (t) => {
  const broker = await testBroker(t)
  const topic = await newTopic(broker, { partitions: 3, maxRecordBytes: 16 * 1024 * 1024 })
  const sizes = [12_000_000, 9_000_000, 1_500_000, 10, 15_000_000, 2_000_000]
  const value = Buffer.alloc(16 * 1024 * 1024, 'x')
  for (const [i, size] of sizes.entries()) {
    await broker.produce([{ topic, key: `${i}`, value: value.subarray(0, size), partition: i % 3 }])
  }
  const { consumer, records } = await collect(broker, topic)
  await until(() => records.length === sizes.length, 'all records')
  await consumer.stop()
  const received = records.toSorted((a, b) => Number(a.key) - Number(b.key))
  assert.deepEqual(
    received.map((r) => r.value!.length),
    sizes,
  )
  assert.deepEqual((await broker.read(topic, 0, 0, 10)).length, 2)
})

test('a call with more than a batch takes is written whole, in its order, beside others of its partition', async (t) => {
  const broker = await testBroker(t)
  const topic = await newTopic(broker)
  const big = Buffer.alloc(900_000)
  const call = (name: string) =>
    broker.produce(Array.from({ length: 4 }, (_, i) => ({ topic, key: `${name}${i}`, value: big })))
  const positions = await Promise.all([call('a'), broker.produce([record(topic, 'b')]), call('c')])
  const keys = (await everythingIn(broker, topic)).map(({ key }) => key)
  assert.deepEqual(keys, ['a0', 'a1', 'a2', 'a3', 'b', 'c0', 'c1', 'c2', 'c3'])
  const offsets = positions.flat().map(({ offset }) => offset)
  assert.deepEqual(
    (await everythingIn(broker, topic)).map(({ offset }) => offset),
    offsets,
  )
})

test('where compaction has left holes and emptied batches, readers find the rest, reach the end and have no lag', async (t) => {
  const kafkaSettings = { 'log.cleaner.backoff.ms': '200' } // of its own, since others look for work every 15 seconds
  const services = await startServices({ want: ['kafka'], rungs: ['docker', 'local'], kafkaSettings })
  t.after(() => services.stop())
  const brokers = services.kafkaBrokers
  const broker = await testBroker(t, { brokers })
  const topic = `test.${randomUUID()}`
  const admin = kafkaClient({ brokers, clientId: 'test' }).admin()
  await admin.connect()
  t.after(() => admin.disconnect())
  const configs = {
    'cleanup.policy': 'compact',
    'min.cleanable.dirty.ratio': '0.01',
    'segment.ms': '100',
    'delete.retention.ms': '0',
    'max.compaction.lag.ms': '100',
  }
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }] })
  const group = randomUUID()
  const source = await newTopic(broker)
  await broker.produce(Array.from({ length: 30 }, (_, i) => record(source, `${i}`, { key: `k${i % 3}` })))
  // By transactions, so that there are markers too.
  const copier = await copy(broker, { group: randomUUID(), from: source, to: topic, maxRecords: 5 })
  await untilRead(broker, topic, 30, 'the copies')
  await copier.stop()
  let turn = 0
  await until(async () => {
    await broker.produce([record(topic, `${turn++}`, { key: 'again' })]) // rolls segments
    await delay(100)
    return (await everythingIn(broker, topic)).filter(({ key }) => key !== 'again').length === 3
  }, 'compaction')
  const left = await everythingIn(broker, topic)

  const { consumer, records } = await collect(broker, topic, { group })
  await until(() => records.at(-1)?.offset === left.at(-1)!.offset, 'the last record')
  await until(async () => (await broker.lag(group, [topic]))[0]!.lagRecords === 0, 'no lag')
  await consumer.stop()
  assert.deepEqual(await broker.read(topic, 0, left.at(-1)!.offset + 1, 10), [])
})

test('a group that ends with the markers of transactions has no lag, though its last record is not the last of the log', async (t) => {
  const broker = await testBroker(t)
  const [from, to] = [await newTopic(broker), await newTopic(broker)]
  const group = randomUUID()
  await broker.produce([record(from, '1')])
  const { consumer } = await collect(broker, to, { group })
  const copier = await copy(broker, { group: randomUUID(), from, to })
  await until(async () => {
    const [lag] = await broker.lag(group, [to])
    return lag!.endOffset === 2 && lag!.lagRecords === 0
  }, 'no lag behind the marker')
  await Promise.all([consumer.stop(), copier.stop()])
  const again = await collect(broker, to, { group })
  await broker.produce([record(to, '2')])
  await until(() => again.records.length > 0, 'the next record')
  assert.deepEqual(again.records.map(text), ['2'])
  await again.consumer.stop()
})

test('a group that stands before what was deleted goes on with what is left, and says what it missed', async (t) => {
  const { kafkaBrokers } = await testServices()
  const told: unknown[] = []
  const broker = await testBroker(t, { onError: (error) => told.push(error) })
  const topic = await newTopic(broker)
  const group = randomUUID()
  await broker.produce(Array.from({ length: 10 }, (_, i) => record(topic, `${i}`)))
  await broker.seek(group, topic, 0, 2)
  const admin = kafkaClient({ brokers: kafkaBrokers, clientId: 'test' }).admin()
  await admin.connect()
  await admin.fetchTopicOffsets(topic) // or kafkajs does not know its leaders
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
  await admin.disconnect()
  assert.deepEqual((await broker.read(topic, 0, 0, 10)).map(text), ['6', '7', '8', '9'])
  assert.equal((await broker.lag(group, [topic]))[0]!.lagRecords, 4)
  const { consumer, records } = await collect(broker, topic, { group })
  await until(() => records.length === 4, 'what is left')
  await consumer.stop()
  assert.deepEqual(records.map(text), ['6', '7', '8', '9'])
  assert.match(String(told[0]), /2 … 5 .* were deleted before group/)
})

/** A record each: Snappy by a producer that is not ours. */
async function producePacked(topic: string, partition: number, value: string, compression: number) {
  const { kafkaBrokers } = await testServices()
  CompressionCodecs[CompressionTypes.Snappy] = () => ({
    compress: async (encoder: { buffer: Buffer }) => snappy(encoder.buffer),
    decompress: async (bytes: Buffer) => bytes,
  })
  const producer = kafkaClient({ brokers: kafkaBrokers, clientId: 'test' }).producer()
  await producer.connect()
  await producer.send({ topic, messages: [{ key: 'k', value, partition }], compression })
  await producer.disconnect()
}

test('gzip is read; a record packed in another way stops its partition alone, is told with what to do, and once it is gone the partition goes on', async (t) => {
  const { kafkaBrokers } = await testServices()
  const told: unknown[] = []
  const broker = await testBroker(t, { onError: (error) => told.push(error) })
  const topic = await newTopic(broker, { partitions: 2 })
  await producePacked(topic, 0, 'packed', CompressionTypes.GZIP)
  await producePacked(topic, 0, 'in the way', CompressionTypes.Snappy)
  await broker.produce([record(topic, 'behind it', { partition: 0 })])
  const { consumer, records } = await collect(broker, topic)
  const isTold = (error: unknown) =>
    error instanceof SetupError && error.code === 'unknown-codec' && error.message.includes(topic)
  await until(() => told.some(isTold), 'the packing to be told')
  await broker.produce([record(topic, 'neighbour', { partition: 1 })])
  await until(() => records.length === 2, "the neighbour's record")
  assert.deepEqual(records.map(text), ['packed', 'neighbour'])
  await assert.rejects(broker.read(topic, 0, 1, 1), isTold)

  const admin = kafkaClient({ brokers: kafkaBrokers, clientId: 'test' }).admin()
  await admin.connect()
  await admin.fetchTopicOffsets(topic) // or kafkajs does not know its leaders
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '2' }] })
  await admin.disconnect()
  await until(() => records.length === 3, 'the record behind it')
  assert.equal(text(records[2]!), 'behind it')
  await consumer.stop()
})

test('a tail passes a record that it cannot read, and tells it', async (t) => {
  const told: unknown[] = []
  const broker = await testBroker(t, { onError: (error) => told.push(error) })
  const topic = await newTopic(broker)
  const seen: string[] = []
  await broker.tail(topic, 0, (r) => seen.push(text(r)))
  await producePacked(topic, 0, 'in the way', CompressionTypes.Snappy)
  await until(() => told.length > 0, 'the packing to be told')
  await until(async () => {
    await broker.produce([record(topic, 'behind it')])
    return seen.length > 0
  }, 'a record behind it')
  assert.equal((told[0] as SetupError).code, 'unknown-codec')
})

/** A block with one literal, as Snappy's format has it for up to 60 bytes. */
function snappy(bytes: Buffer): Buffer {
  assert.ok(bytes.length <= 60)
  return Buffer.concat([Buffer.from([bytes.length, (bytes.length - 1) << 2]), bytes])
}

test('partitions that are added are shared out and read', async (t) => {
  const broker = await testBroker(t)
  const topic = await newTopic(broker)
  const { consumer, records } = await collect(broker, topic)
  await until(() => consumer.assignment().length === 1, 'the partition')
  await newTopic(broker, { name: topic, partitions: 3 })
  await until(() => consumer.assignment().length === 3, 'three partitions')
  await broker.produce([0, 1, 2].map((partition) => record(topic, `${partition}`, { partition })))
  await until(() => records.length === 3, 'the records of all three')
  await consumer.stop()
})

test('a topic that was deleted is said to be missing, not awaited', async (t) => {
  const { kafkaBrokers } = await testServices()
  const broker = await testBroker(t, { deliveryTimeoutMs: 3_000 })
  const topic = await newTopic(broker)
  await broker.produce([record(topic, '1')])
  const admin = kafkaClient({ brokers: kafkaBrokers, clientId: 'test' }).admin()
  await admin.connect()
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
  const isMissing = (error: unknown) => error instanceof SetupError && error.code === 'unknown-topic'
  await assert.rejects(broker.lag('nobody', [topic]), isMissing)
  await assert.rejects(collect(broker, topic), isMissing)
  await assert.rejects(broker.produce([record(topic, '2')]), isMissing)
})
