/** Members that stop, die and come back in the middle of a transaction, against a real broker. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, type TestContext, test } from 'node:test'
import { typeOf, within } from '../../adapters/kafka/faults.ts'
import { Nodes } from '../../adapters/kafka/nodes.ts'
import { TopicDirectory } from '../../adapters/kafka/topic-directory.ts'
import { TransactionalProducer } from '../../adapters/kafka/transaction.ts'
import type { Broker } from '../../ports/broker.ts'
import { type Services, startServices } from '../../services/start-services.ts'
import { inTime, signal, until } from '../conformance/deadline.ts'
import { copy, everythingIn, newTopic, record, spawnCopier, testBroker, text, untilRead } from './kafka-fixtures.ts'

/** Shorter than Kafka takes to end a stuck transaction by itself: who takes over meets it open. */
const SESSION_MS = 1_500
/** 64 MB in 64 requests: long enough to be met on the way. */
const LONG = { padding: 64, paddingBytes: 1_000_000 }

let services: Services
before(async () => {
  const kafkaSettings = { 'group.min.session.timeout.ms': '1000' }
  services = await startServices({ want: ['kafka'], rungs: ['docker', 'local'], kafkaSettings })
})
after(() => services?.stop())

const connect = (t: TestContext) => testBroker(t, { brokers: services.kafkaBrokers, sessionTimeoutMs: SESSION_MS })

/** @returns a member that was stopped (SIGSTOP) in the middle of its first transaction. */
async function inTransaction(t: TestContext, broker: Broker, inputs: readonly string[]) {
  const brokers = services.kafkaBrokers
  const [from, to] = [await newTopic(broker), await newTopic(broker)]
  const options = { group: randomUUID(), from, to, maxRecords: 1 }
  await broker.produce(inputs.map((value) => record(from, value)))
  const member = spawnCopier(t, { ...options, ...LONG, brokers, sessionTimeoutMs: SESSION_MS })
  await until(async () => {
    const [lag] = await broker.lag('nobody', [to])
    return lag!.endOffset > 3
  }, 'records of a transaction that has not ended')
  member.kill('SIGSTOP')
  assert.deepEqual(await everythingIn(broker, to), [], 'the member was met too late: its transaction had ended')
  return { member, options, to }
}

test('what a killed member had begun to write is never seen, and who takes over writes it once', async (t) => {
  const broker = await connect(t)
  const { member, options, to } = await inTransaction(t, broker, ['1', '2', '3'])
  member.kill('SIGKILL')
  const next = await copy(broker, options)
  const written = await untilRead(broker, to, 3, 'the work of the killed member')
  await next.stop()
  assert.deepEqual(written.map(text), ['1', '2', '3'])
})

test('a member that was stopped in a transaction and wakes up when another has its partition commits nothing', async (t) => {
  const broker = await connect(t)
  const { member, options, to } = await inTransaction(t, broker, ['1', '2', '3'])
  // The other one has the partition and its first record in hand when the stopped one goes on.
  let isAwake = false
  const next = await copy(broker, options, async () => {
    if (isAwake) return
    isAwake = true
    member.kill('SIGCONT')
    await until(() => member.lines.length >= 2, 'the outcome of the commit')
  })
  await untilRead(broker, to, 3, 'the work of the stopped member')
  assert.equal(member.lines[1], 'failed fenced')
  await broker.produce([record(options.from, '4')])
  await until(async () => {
    const lag = await broker.lag(options.group, [options.from])
    return lag.every(({ lagRecords }) => lagRecords === 0)
  }, 'all inputs to be done')
  await next.stop()
  const values = (await everythingIn(broker, to)).map(text).filter((value) => value.length === 1)
  assert.deepEqual(values, ['1', '2', '3', '4'])
})

test('a transaction whose member is stuck, with nobody to take over, holds readers up for 15 seconds at most', async (t) => {
  const broker = await connect(t)
  const { to } = await inTransaction(t, broker, ['1'])
  const stuckAt = performance.now()
  const seen = signal()
  await broker.tail(to, 0, (r) => {
    if (text(r) === 'behind it') seen.resolve()
  })
  await broker.produce([record(to, 'behind it')])
  await inTime(seen.promise, 'a record behind the stuck transaction', 17_000)
  t.diagnostic(`readers waited ${Math.round(performance.now() - stuckAt)} ms`)
  assert.deepEqual((await everythingIn(broker, to)).map(text), ['behind it'])
})

test('what keeps a transaction from a partition is told as it is, not that others were left out for it', async (t) => {
  const broker = await connect(t)
  const nodes = new Nodes({ brokers: services.kafkaBrokers, clientId: 'test' })
  t.after(() => nodes.close())
  const topic = await newTopic(broker, { name: `a.${randomUUID()}` })
  const [there] = await new TopicDirectory(nodes).prepare([record(topic, '1')], within(10_000))
  const missing = { ...there!, topic: `b.${randomUUID()}` }
  const producer = new TransactionalProducer(nodes, randomUUID())
  await producer.open({ deadline: within(10_000) })
  await assert.rejects(producer.commit([there!, missing], undefined, { deadline: within(2_000) }), (error) => {
    assert.equal(typeOf(causeOf(error)), 'UNKNOWN_TOPIC_OR_PARTITION')
    return true
  })
})

function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? causeOf(error.cause) : error
}
