/** A Kafka that cannot be reached: who asks is told in time, who consumes comes back by itself. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { openKafkaBroker } from '../../adapters/kafka/broker.ts'
import { within } from '../../adapters/kafka/faults.ts'
import { type KafkaNode, Nodes } from '../../adapters/kafka/nodes.ts'
import { encodeBatch } from '../../adapters/kafka/record-batch.ts'
import { errorOf, fetchRequest, produceRequest, txnOffsetCommitRequest } from '../../adapters/kafka/requests.ts'
import { TopicDirectory } from '../../adapters/kafka/topic-directory.ts'
import { TransactionalProducer } from '../../adapters/kafka/transaction.ts'
import { OutageError } from '../../ports/errors.ts'
import { freePort } from '../../services/ports.ts'
import { type Services, startServices } from '../../services/start-services.ts'
import { inTime, signal, until } from '../conformance/deadline.ts'
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts'
import { newTopic, record, testBroker, text } from './kafka-fixtures.ts'

let services: Services
let proxy: TcpProxy
let address: string
before(async () => {
  const port = await freePort()
  proxy = await tcpProxy({ host: '127.0.0.1', port })
  address = `127.0.0.1:${proxy.port}`
  const kafkaSettings = {
    'advertised.listeners': `PLAINTEXT://${address}`,
    'group.min.session.timeout.ms': '1000',
    'transaction.partition.verification.enable': 'false', // as before Kafka 3.6
  }
  services = await startServices({ want: ['kafka'], rungs: ['docker', 'local'], ports: { kafka: port }, kafkaSettings })
})
after(async () => {
  await services?.stop()
  await proxy?.close()
})

for (const [how, strike, mend] of [
  ['answers nothing', () => proxy.blackhole(true), () => proxy.blackhole(false)],
  ['refuses connections', () => proxy.cut(), () => proxy.restore()],
] as const) {
  test(`while Kafka ${how}, producing and committing fail as an outage, and the batch comes again afterwards`, async (t) => {
    t.after(mend)
    const broker = await testBroker(t, { brokers: [address], sessionTimeoutMs: 20_000, deliveryTimeoutMs: 1_000 })
    const [from, to] = [await newTopic(broker), await newTopic(broker, { partitions: 2 })]
    const inBoth = (value: string) => [0, 1].map((partition) => record(to, value, { partition }))
    const [struck, told, done] = [signal(), signal<unknown[]>(), signal()]
    const failures: unknown[] = []
    await broker.produce([record(from, '1')])
    const consumer = await broker.consume({
      group: randomUUID(),
      topics: [from],
      maxRecords: 1,
      from: 'earliest',
      async onBatch(batch) {
        if (failures.length === 0) {
          strike()
          struck.resolve()
        }
        try {
          await batch.commit(batch.records[0]!.offset + 1, inBoth(`copy of ${text(batch.records[0]!)}`))
          done.resolve()
        } catch (error) {
          failures.push(error)
          told.resolve(failures)
          return { next: 'pause', forMs: 50 }
        }
        return { next: 'continue' }
      },
    })
    await inTime(struck.promise, 'the batch')
    // What was told as failed may arrive all the same: its outcome is not known.
    for (const records of [[record(from, '2')], inBoth('told as failed')]) {
      await assert.rejects(inTime(broker.produce(records), 'producing'), OutageError)
    }
    await assert.rejects(inTime(broker.read(to, 0, 0, 10), 'reading', 60_000), OutageError)
    await inTime(told.promise, 'the commit')
    mend()
    await inTime(done.promise, 'the batch to come again and its commit to hold')
    assert.ok(
      failures.every((error) => error instanceof OutageError || (error as { code?: string }).code === 'fenced'),
      failures.join(),
    )
    // A transaction that has ended becomes visible in each partition in its own time.
    const copies = async (partition: number) => {
      return (await broker.read(to, partition, 0, 10)).filter((one) => text(one) === 'copy of 1').length
    }
    for (const partition of [0, 1]) {
      await until(async () => (await copies(partition)) > 0, `the output in ${partition}`)
      assert.equal(await copies(partition), 1)
    }
    await consumer.stop()
  })
}

test('a broker that is not there is told as an outage, by its address', async () => {
  const port = await freePort()
  await assert.rejects(
    openKafkaBroker({ brokers: [`127.0.0.1:${port}`], clientId: 'test', deliveryTimeoutMs: 500 }),
    (error) => error instanceof OutageError && error.message.includes(String(port)),
  )
})

test('a tail goes on after an outage with what was produced meanwhile', async (t) => {
  const broker = await testBroker(t, { brokers: [address] })
  const behind = await testBroker(t, { brokers: [address] })
  const topic = await newTopic(broker)
  const seen: string[] = []
  await broker.tail(topic, 0, (r) => seen.push(text(r)))
  await behind.produce([record(topic, '1')])
  await until(() => seen.length === 1, 'the first record')
  proxy.cut()
  const produced = behind.produce([record(topic, '2')])
  proxy.restore()
  await produced
  await until(() => seen.length === 2, 'the second record')
  assert.deepEqual(seen, ['1', '2'])
})

test('a connection that ends within an answer leaves no half of it before the next: consumers go on', async (t) => {
  const broker = await testBroker(t, { brokers: [address] })
  const topic = await newTopic(broker)
  const value = Buffer.alloc(900_000, 'x')
  for (let i = 0; i < 3; i++) await broker.produce([{ topic, key: `${i}`, value }])
  const seen: string[] = []
  const ended = proxy.endWithin(300_000)
  const consumer = await broker.consume({
    group: randomUUID(),
    topics: [topic],
    maxRecords: 1,
    from: 'earliest',
    async onBatch(batch) {
      seen.push(batch.records[0]!.key!)
      await batch.commit(batch.records[0]!.offset + 1, [])
      return { next: 'continue' }
    },
  })
  await inTime(ended, 'an answer to be cut')
  await until(() => seen.length === 3, 'all records')
  await consumer.stop()
  assert.deepEqual(seen, ['0', '1', '2'])
})

test('a connection that ends within an answer leaves no half of it before the next: tails go on', async (t) => {
  const broker = await testBroker(t, { brokers: [address] })
  const topic = await newTopic(broker)
  const value = Buffer.alloc(900_000, 'x')
  const seen: string[] = []
  await broker.tail(topic, 0, ({ key }) => seen.push(key!))
  const ended = proxy.endWithin(300_000)
  for (let i = 0; i < 3; i++) await broker.produce([{ topic, key: `${i}`, value }])
  await inTime(ended, 'an answer to be cut')
  await until(() => seen.length === 3, 'all records')
  assert.deepEqual(seen, ['0', '1', '2'])
})

test('closing does not wait for a Kafka that is away', async (t) => {
  t.after(() => proxy.blackhole(false))
  const broker = await testBroker(t, { brokers: [address] })
  const topic = await newTopic(broker)
  const consumer = await broker.consume({
    group: randomUUID(),
    topics: [topic],
    maxRecords: 1,
    from: 'earliest',
    onBatch: async () => ({ next: 'continue' }),
  })
  await until(() => consumer.assignment().length === 1, 'the assignment')
  proxy.blackhole(true)
  await inTime(broker.close(), 'the end', 20_000)
  await inTime(consumer.ended, 'the end of the consumer')
})

test('closing does not wait for as long as a produce and a commit would go on trying, and both are told', async (t) => {
  t.after(() => proxy.blackhole(false))
  const broker = await testBroker(t, { brokers: [address], deliveryTimeoutMs: 600_000 })
  const [from, to] = [await newTopic(broker), await newTopic(broker)]
  await broker.produce([record(from, '1')])
  const [begun, outcome] = [signal(), signal<unknown>()]
  const consumer = await broker.consume({
    group: randomUUID(),
    topics: [from],
    maxRecords: 1,
    from: 'earliest',
    async onBatch(batch) {
      proxy.blackhole(true)
      const commit = batch.commit(batch.records[0]!.offset + 1, [record(to, '1')])
      begun.resolve()
      outcome.resolve(await commit.catch((error: unknown) => error))
      return { next: 'continue' }
    },
  })
  await inTime(begun.promise, 'the batch')
  const produced = broker.produce([record(to, '2')]).catch((error: unknown) => error)
  await inTime(broker.close(), 'the end')
  await inTime(consumer.ended, 'the end of the consumer')
  assert.ok((await inTime(produced, 'the outcome of the produce')) instanceof Error)
  assert.ok((await inTime(outcome.promise, 'the outcome of the commit')) instanceof Error)
})

test('records of a transaction that was given up without an answer are shut out when they arrive behind its end', async (t) => {
  t.after(() => proxy.blackhole(false))
  const broker = await testBroker(t, { brokers: [address] })
  const topic = await newTopic(broker)
  /** Nothing passes from the moment at which records are sent until the transaction is undone. */
  class SilentWhileProducing extends Nodes {
    override leader(...place: [string, number]) {
      proxy.blackhole(true)
      return super.leader(...place)
    }
    override forgetCoordinator() {}
    override coordinator(...which: ['group' | 'transaction', string]) {
      proxy.blackhole(false)
      return super.coordinator(...which)
    }
  }
  const nodes = new SilentWhileProducing({ brokers: [address], clientId: 'test' })
  t.after(() => nodes.close())
  const prepared = await new TopicDirectory(nodes).prepare([record(topic, 'given up')], within(10_000))
  const producer = new TransactionalProducer(nodes, randomUUID())
  await producer.open({ deadline: within(10_000) })
  await assert.rejects(producer.commit(prepared, undefined, { deadline: within(1_000) }), OutageError)

  await broker.produce([record(topic, 'behind it')])
  await until(async () => (await broker.read(topic, 0, 0, 10)).length === 1, 'the end of the transaction')
  const own = new Nodes({ brokers: [address], clientId: 'test' })
  t.after(() => own.close())
  const leader = await own.leader(topic, 0)
  const stamp = await firstStampIn(leader, topic)
  const late = encodeBatch([prepared[0]!.record], { ...stamp, firstSequence: 1, transactional: true })
  const batch = { topic, partition: 0, bytes: late }
  const [answer] = await leader.send(produceRequest([batch], producer.transactionalId, 10_000))
  assert.equal(errorOf(answer!.errorCode)?.type, 'INVALID_PRODUCER_EPOCH')
  await broker.produce([record(topic, 'and on')])
  await until(async () => (await broker.read(topic, 0, 0, 10)).length === 2, 'what is produced afterwards')
})

for (const [ended, isCommitted, seen, written] of [
  ['committed', true, ['2'], ['ended', 'left open', 'copy of 2']],
  ['undone', false, ['1', '2'], ['ended', 'copy of 1', 'copy of 2']],
] as const) {
  test(`what a transaction that was ${ended} left open when Kafka crashed is ${ended} before its partition goes on`, async (t) => {
    const broker = await testBroker(t, { brokers: [address] })
    const [from, to, group] = [await newTopic(broker), await newTopic(broker), randomUUID()]
    await broker.produce([record(from, '1'), record(from, '2')])
    const nodes = new Nodes({ brokers: [address], clientId: 'test' })
    t.after(() => nodes.close())
    const patience = { deadline: within(20_000) }
    const producer = new TransactionalProducer(nodes, `${group}.${from}.0`)
    const directory = new TopicDirectory(nodes)
    await producer.commit(await directory.prepare([record(to, 'ended')], patience.deadline), undefined, patience)
    if (!isCommitted) await producer.settle(group, [], patience)

    await until(async () => (await broker.read(to, 0, 0, 10)).length === 1, 'the end of the transaction')
    // Kafka takes what belongs to no transaction that it knows of, since it does not look: no marker will come for it.
    const leader = await nodes.leader(to, 0)
    const stamp = await firstStampIn(leader, to)
    const [left] = await directory.prepare([record(to, 'left open')], patience.deadline)
    const bytes = encodeBatch([left!.record], { ...stamp, firstSequence: 1, transactional: true })
    const [answer] = await leader.send(
      produceRequest([{ topic: to, partition: 0, bytes }], producer.transactionalId, 10_000),
    )
    assert.equal(answer!.errorCode, 0)
    const identity = { group, memberId: '', generation: -1 }
    const offset = { topic: from, partition: 0, offset: 1 }
    await nodes.askCoordinator('group', group, 'leaving an offset pending', patience, (coordinator) =>
      coordinator.send(
        txnOffsetCommitRequest({ ...stamp, transactionalId: producer.transactionalId }, identity, [offset]),
      ),
    )

    const handled: string[] = []
    const consumer = await broker.consume({
      group,
      topics: [from],
      outputs: [to],
      maxRecords: 1,
      from: 'earliest',
      async onBatch(batch) {
        const value = text(batch.records[0]!)
        await batch.commit(batch.records[0]!.offset + 1, [record(to, `copy of ${value}`)])
        handled.push(value)
        return { next: 'continue' }
      },
    })
    await until(() => handled.at(-1) === '2', 'the last record')
    await consumer.stop()
    assert.deepEqual(handled, seen)
    assert.deepEqual((await broker.read(to, 0, 0, 10)).map(text), written)
  })
}

/** Of the producer whose records are the first of the topic's first partition. */
async function firstStampIn(leader: KafkaNode, topic: string) {
  const position = { topic, partition: 0, offset: 0, maxBytes: 1_000_000 }
  const [log] = await leader.send(fetchRequest([position], { maxWaitMs: 0, maxBytes: 1_000_000 }))
  return { producerId: log!.records.readBigInt64BE(43), producerEpoch: log!.records.readInt16BE(51) }
}
