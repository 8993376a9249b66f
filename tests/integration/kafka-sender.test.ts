/** Records of one partition at a time: what one partition meets is no other's, and who waits is always told. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { Admin } from 'kafkajs'
import { kafkaClient } from '../../adapters/kafka/client.ts'
import { within } from '../../adapters/kafka/faults.ts'
import { Nodes } from '../../adapters/kafka/nodes.ts'
import { Sender } from '../../adapters/kafka/sender.ts'
import { TopicDirectory } from '../../adapters/kafka/topic-directory.ts'
import { InvalidRecordError, OutageError } from '../../ports/errors.ts'
import { inTime } from '../conformance/deadline.ts'
import { testServices } from '../support/services.ts'
import { everythingIn, newTopic, record, testBroker, text } from './kafka-fixtures.ts'

async function openAdmin(t: TestContext): Promise<Admin> {
  const admin = kafkaClient({ brokers: (await testServices()).kafkaBrokers, clientId: 'test' }).admin()
  await admin.connect()
  t.after(() => admin.disconnect())
  return admin
}

async function openSender(t: TestContext) {
  const nodes = new Nodes({ brokers: (await testServices()).kafkaBrokers, clientId: 'test' })
  t.after(() => nodes.close())
  const directory = new TopicDirectory(nodes)
  const prepare = (topic: string) => directory.prepare([record(topic, 'x')], within(10_000))
  return { sender: new Sender(nodes), prepare }
}

test('a partition that takes no records for long holds up no other of its leader, and goes on by itself', async (t) => {
  const broker = await testBroker(t, { deliveryTimeoutMs: 600_000 })
  const admin = await openAdmin(t)
  const [stuck, topic] = [await newTopic(broker), await newTopic(broker)]
  await broker.produce([record(stuck, 'before')])
  await admin.deleteTopics({ topics: [stuck] })
  const held = ['1', '2', '3'].map((value) => broker.produce([record(stuck, value)]))
  for (let i = 0; i < 5; i++) {
    const both = [broker.produce([record(topic, `${2 * i}`)]), broker.produce([record(topic, `${2 * i + 1}`)])]
    await inTime(Promise.all(both), 'the records of the other partition')
  }
  await admin.createTopics({ topics: [{ topic: stuck, numPartitions: 1 }] })
  await inTime(Promise.all(held), 'the records of the partition that was stuck')
  assert.deepEqual((await everythingIn(broker, stuck)).map(text), ['1', '2', '3'])
  assert.equal((await everythingIn(broker, topic)).length, 10)
})

test('who waits behind records that go on being tried is told by a deadline of its own', async (t) => {
  const { sender, prepare } = await openSender(t)
  const admin = await openAdmin(t)
  const topic = await newTopic(await testBroker(t))
  const prepared = await prepare(topic)
  await sender.send(prepared, within(10_000))
  await admin.deleteTopics({ topics: [topic] })
  const patient = sender.send(prepared, within(600_000))
  patient.catch(() => {})
  await assert.rejects(inTime(sender.send(prepared, within(500)), 'the outcome'), OutageError)
})

test('a record that the broker refuses takes none down with it: not of its batch, not of its request', async (t) => {
  const broker = await testBroker(t)
  const strict = `test.${randomUUID()}`
  const configEntries = [{ name: 'message.timestamp.after.max.ms', value: '1000' }]
  await (await openAdmin(t)).createTopics({ topics: [{ topic: strict, numPartitions: 1, configEntries }] })
  const topic = await newTopic(broker)
  const tomorrow = Date.now() + 86_400_000
  // While the first is on its way the others gather, and go together.
  const outcomes = await Promise.allSettled([
    broker.produce([record(strict, 'first')]),
    broker.produce([record(strict, 'before')]),
    broker.produce([record(strict, 'refused', { timestamp: tomorrow })]),
    broker.produce([record(strict, 'behind')]),
    broker.produce([record(topic, 'elsewhere')]),
  ])
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  )
  assert.ok((outcomes[2] as PromiseRejectedResult).reason instanceof InvalidRecordError)
  assert.deepEqual((await everythingIn(broker, strict)).map(text), ['first', 'before', 'behind'])
  assert.deepEqual((await everythingIn(broker, topic)).map(text), ['elsewhere'])
})

test('records that are sent at whichever moment of the end of a request before do not lie there', async (t) => {
  const broker = await testBroker(t)
  const topic = await newTopic(broker)
  const { sender, prepare } = await openSender(t)
  const prepared = await prepare(topic)
  const deadline = within(60_000)
  for (let turns = 0; turns < 20; turns++) {
    await sender.send(prepared, deadline)
    for (let i = 0; i < turns; i++) await null
    const later = sender.send(prepared, deadline)
    await inTime(later, `a record sent ${turns} turns after the end of the one before`)
  }
})
