/** One partition in the hands of a member whose group is told to it by the test; everything else is a real broker. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { KafkaOptions } from '../../adapters/kafka/client.ts'
import { within } from '../../adapters/kafka/faults.ts'
import { Fetcher } from '../../adapters/kafka/fetcher.ts'
import { Lane, type LaneGroup, type LaneOptions } from '../../adapters/kafka/lane.ts'
import { Nodes } from '../../adapters/kafka/nodes.ts'
import { Offsets } from '../../adapters/kafka/offsets.ts'
import { encodeBatch } from '../../adapters/kafka/record-batch.ts'
import type { FetchedPartition } from '../../adapters/kafka/requests.ts'
import { Sender } from '../../adapters/kafka/sender.ts'
import { TopicDirectory } from '../../adapters/kafka/topic-directory.ts'
import { TransactionalProducer } from '../../adapters/kafka/transaction.ts'
import { Writer } from '../../adapters/kafka/writer.ts'
import type { ConsumeOptions } from '../../ports/broker.ts'
import { inTime, signal, until } from '../conformance/deadline.ts'
import { testServices } from '../support/services.ts'
import { newTopic, record, testBroker } from './kafka-fixtures.ts'

interface Opened {
  readonly group?: Partial<LaneGroup>
  readonly options?: Partial<LaneOptions>
  readonly consume?: Partial<ConsumeOptions>
  /** As outputs are about to be written. */
  readonly onWrite?: () => void
  /** What it is given first. */
  readonly values?: readonly Buffer[]
}

async function open(t: TestContext, { group, options, consume, onWrite, values = [Buffer.from('1')] }: Opened) {
  const kafka: KafkaOptions = { clientId: 'test', brokers: (await testServices()).kafkaBrokers }
  const topic = await newTopic(await testBroker(t))
  const nodes = new Nodes(kafka)
  t.after(() => nodes.close())
  const name = randomUUID()
  const transactionalId = `${name}.${topic}.0`
  const producer = new TransactionalProducer(nodes, transactionalId)
  const directory = new TopicDirectory(nodes)
  const writer = new Writer(new Sender(nodes), producer)
  const write = writer.write.bind(writer)
  writer.write = (...args) => {
    onWrite?.()
    return write(...args)
  }
  const errors: unknown[] = []
  const lane = new Lane({
    topic,
    partition: 0,
    consume: {
      group: name,
      topics: [topic],
      maxRecords: 1,
      from: 'earliest',
      onBatch: async () => ({ next: 'continue' }),
      ...consume,
    },
    deliveryTimeoutMs: 15_000,
    directory,
    writer,
    offsets: new Offsets(nodes),
    producer,
    group: {
      identity: { group: name, memberId: '', generation: -1 },
      ready: () => Promise.resolve(),
      confirm: () => Promise.resolve(true),
      flushed: () => Promise.resolve(),
      ...group,
    },
    after: Promise.resolve(),
    onFailure: (error) => errors.push(error),
    onError: (error) => errors.push(error),
    onHungry: () => {},
    ...options,
  })
  t.after(() => lane.revoke())
  await until(() => lane.hungryAt !== undefined, 'where to begin')
  if (values.length > 0) lane.accept(0, fetched(topic, values))
  /** Another member that has taken the partition over. */
  const owner = async () => {
    const ownNodes = new Nodes(kafka)
    t.after(() => ownNodes.close())
    const taken = new TransactionalProducer(ownNodes, transactionalId)
    const patience = { deadline: within(10_000) }
    await taken.open(patience)
    return {
      commit: async () => {
        const [prepared] = await directory.prepare([record(topic, 'of the owner')], patience.deadline)
        await taken.commit([prepared!], undefined, patience)
      },
    }
  }
  return { lane, topic, errors, owner }
}

function fetched(topic: string, values: readonly Buffer[]): FetchedPartition {
  const stamp = { producerId: -1n, producerEpoch: -1, firstSequence: -1, transactional: false }
  const written = values.map((value) => ({ key: null, value, headers: {}, timestamp: 1 }))
  const records = encodeBatch(written, stamp)
  const place = { topic, partition: 0, errorCode: 0, aborted: [], records }
  return { ...place, highWatermark: values.length, lastStableOffset: values.length, logStartOffset: 0 }
}

/** A record of a transaction that was undone. */
function aborted(topic: string, offset: number): FetchedPartition {
  const stamp = { producerId: 7n, producerEpoch: 0, firstSequence: 0, transactional: true }
  const records = encodeBatch([{ key: null, value: Buffer.from('undone'), headers: {}, timestamp: 1 }], stamp)
  records.writeBigInt64BE(BigInt(offset), 0)
  const undone = [{ producerId: 7n, firstOffset: offset }]
  const place = { topic, partition: 0, errorCode: 0, aborted: undone, records }
  return { ...place, highWatermark: offset + 1, lastStableOffset: offset + 1, logStartOffset: 0 }
}

for (const [how, lose] of [
  ['is taken away', (lane: Lane) => lane.revoke()],
  ['is to be given up with a member that stops', (lane: Lane) => lane.stopFetching()],
  ['is held for a rebalance', (lane: Lane) => void lane.hold()],
] as const) {
  test(`a partition that ${how} while its member asks whether it still stands does not shut out the next owner`, async (t) => {
    const [asked, answer] = [signal(), signal<boolean>()]
    const confirm = () => {
      asked.resolve()
      return answer.promise
    }
    const { lane, owner } = await open(t, { group: { confirm } })
    await inTime(asked.promise, 'the question')
    const { commit } = await owner()
    lose(lane)
    answer.resolve(true)
    for (let i = 0; i < 3; i++) await commit()
  })
}

test('a partition that waits for a group which its member leaves ends', async (t) => {
  const asked = signal()
  const ready = () => {
    asked.resolve()
    return new Promise<void>(() => {})
  }
  const { lane, errors } = await open(t, { group: { ready } })
  await inTime(asked.promise, 'the question')
  lane.stopFetching()
  await inTime(lane.ended, 'its end')
  assert.deepEqual(errors, [])
})

test('what comes to nothing while a commit is on its way is passed too: no lag is left', async (t) => {
  const onWrite = () => lane.accept(1, aborted(topic, 1))
  const { lane, topic } = await open(t, {
    onWrite,
    values: [],
    consume: {
      atomic: false,
      async onBatch(batch) {
        await batch.commit(1, [record(topic, 'out')])
        return { next: 'continue' }
      },
    },
  })
  lane.accept(0, fetched(topic, [Buffer.from('1')]))
  await until(() => lane.takeUntold() === 2, 'the place behind what was aborted')
})

for (const [how, pausesForMs] of [
  ['is handed out', 0],
  ['is put off by a long pause', 60_000],
] as const) {
  test(`while much waits, of whichever node, nothing is fetched; once it ${how} the others are`, async (t) => {
    const broker = await testBroker(t)
    const options = { clientId: 'test', brokers: (await testServices()).kafkaBrokers }
    const nodes = new Nodes(options)
    let fetcher: Fetcher | undefined
    t.after(() => {
      fetcher?.close()
      nodes.close()
    })
    const onHungry = () => fetcher?.wake()
    const [handOut, seen] = [signal(), signal()]
    // 40 MB; the fetcher does not know where its partition lies.
    const heavy = await open(t, {
      options: { onHungry },
      values: Array.from({ length: 40 }, () => Buffer.alloc(1_000_000)),
      consume: {
        async onBatch(batch) {
          await handOut.promise
          if (pausesForMs > 0) return { next: 'pause', forMs: pausesForMs }
          await batch.commit(batch.records[0]!.offset + 1, [])
          return { next: 'continue' }
        },
        atomic: false,
      },
    })
    const light = await open(t, {
      options: { onHungry },
      values: [],
      consume: {
        async onBatch() {
          seen.resolve()
          return { next: 'pause', forMs: 60_000 }
        },
        atomic: false,
      },
    })
    await nodes.layouts([light.topic])
    await broker.produce([record(light.topic, '1')])
    const lanes = [heavy.lane, light.lane]
    const fail = (error: unknown) => assert.fail(error as Error)
    fetcher = new Fetcher({ nodes, lanes: () => lanes, onFailure: fail, onError: fail })
    fetcher.wake()
    for (let i = 0; i < 10; i++) assert.equal((await broker.read(light.topic, 0, 0, 1)).length, 1)
    assert.equal(light.lane.hungryAt, 0, 'it was fetched though much waits')
    handOut.resolve()
    await inTime(seen.promise, 'the record of the other partition')
  })
}
