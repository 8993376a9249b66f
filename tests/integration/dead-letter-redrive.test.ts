/** Redriving on a compacted topic of a real Kafka, while others write records of the same key. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { kafkaClient } from '../../adapters/kafka/client.ts'
import type { Broker, OutputRecord } from '../../ports/broker.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import { deadLetterCause, deadLetterRecord } from '../../runtime/dead-letter.ts'
import { redrive } from '../../runtime/dead-letter-desk.ts'
import { musicTagged } from '../../topics/topics.ts'
import { testServices } from '../support/services.ts'
import { everythingIn, newTopic, record, testBroker } from './kafka-fixtures.ts'

/** A broker, a compacted topic of one partition with the record 'old', and the letter that a stage made of it. */
async function failed(t: TestContext) {
  const broker = await testBroker(t)
  const topic = await newTopic(broker, { retention: 'compacted' })
  const old = { ...record(topic, 'old', { key: 'k' }), headers: {} }
  const [at] = await broker.produce([old])
  const error = new InvalidRecordError('bad', 'It is bad')
  const failure = { stage: 'describe-music', error, attempts: 1, at: 1 }
  const original = { ...old, key: 'k', value: old.value, ...at!, timestamp: 1 }
  const headers = deadLetterRecord(original, failure).headers!
  const letter = { position: 'x', cause: deadLetterCause(headers)!, record: { ...original, headers } }
  const last = async () => (await everythingIn(broker, topic)).at(-1)!
  const topics = [{ ...musicTagged, name: topic }] as never
  return { broker, topic, last, redrive: (log: Parameters<typeof redrive>[0]) => redrive(log, topics, [letter]) }
}

/** The broker, with others who write in the moments between the desk's look and its write. */
function beside(broker: Broker, ...others: OutputRecord[]): Parameters<typeof redrive>[0] {
  return {
    read: broker.read.bind(broker),
    async produce(records) {
      const other = others.shift()
      if (other !== undefined) await broker.produce([other])
      return broker.produce(records)
    },
  }
}

test('a takedown that comes while a letter is redriven has the last word', async (t) => {
  const { broker, topic, last, redrive } = await failed(t)
  const takedown = { topic, key: 'k', value: null, headers: { 'removed-at': '7' } }
  const outcome = await redrive(beside(broker, takedown))
  assert.deepEqual(outcome, { redriven: 0, superseded: 1, incomplete: 0 })
  const { key, value, headers } = await last()
  assert.deepEqual([key, value, headers], ['k', null, { 'removed-at': '7' }])
})

test('an upload that comes while a takedown is put after a redriven letter has the last word', async (t) => {
  const { broker, topic, last, redrive } = await failed(t)
  await redrive(beside(broker, { topic, key: 'k', value: null }, record(topic, 'anew', { key: 'k' })))
  assert.equal(String((await last()).value), 'anew')
})

test('a takedown in a transaction that is open while a letter is redriven has the last word once it shows', async (t) => {
  const { broker, topic, last, redrive } = await failed(t)
  const { kafkaBrokers } = await testServices()
  const producer = kafkaClient({ brokers: kafkaBrokers, clientId: 'test' }).producer({
    transactionalId: randomUUID(),
    maxInFlightRequests: 1,
    idempotent: true,
  })
  await producer.connect()
  t.after(() => producer.disconnect())
  const transaction = await producer.transaction()
  let readsSinceWrite = Number.NEGATIVE_INFINITY
  const outcome = await redrive({
    async read(...where) {
      const page = await broker.read(...where)
      if (++readsSinceWrite === 2) await transaction.commit()
      return page
    },
    async produce(records) {
      if (readsSinceWrite < 0) await transaction.send({ topic, messages: [{ key: 'k', value: null }] })
      const positions = await broker.produce(records)
      if (readsSinceWrite < 0) readsSinceWrite = 0
      return positions
    },
  })
  assert.equal(outcome.superseded, 1)
  assert.equal((await last()).value, null)
})
