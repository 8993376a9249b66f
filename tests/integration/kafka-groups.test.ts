/** Members of a group on a real broker: what stays with them through a rebalance, and what goes without a transaction. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Batch } from '../../ports/broker.ts'
import { inTime, signal, until } from '../conformance/deadline.ts'
import { copy, everythingIn, newTopic, record, testBroker, text } from './kafka-fixtures.ts'

test('a batch of a partition that stays runs on through a rebalance that it outlasts, and its commit holds', async (t) => {
  const broker = await testBroker(t)
  const [from, to] = [await newTopic(broker, { partitions: 2 }), await newTopic(broker)]
  const group = randomUUID()
  const inputs = [0, 1].map((partition) => record(from, `${partition}`, { partition }))
  await broker.produce(inputs)
  const running = new Map<number, Batch>()
  const finish = signal()
  const outcomes = new Map<number, unknown>()
  const first = await broker.consume({
    group,
    topics: [from],
    maxRecords: 1,
    from: 'earliest',
    async onBatch(batch) {
      const isFirst = !running.has(batch.partition)
      running.set(batch.partition, batch)
      if (isFirst) await finish.promise
      const outputs = [record(to, text(batch.records[0]!))]
      outcomes.set(
        batch.partition,
        await batch.commit(batch.records[0]!.offset + 1, outputs).catch((error: unknown) => error),
      )
      return { next: 'continue' }
    },
  })
  await until(() => running.size === 2, 'both batches')
  const second = await copy(broker, { group, from, to })
  await until(() => second.assignment().length === 1, 'a partition for the second member')
  const kept = first.assignment()[0]!.partition
  assert.equal(running.get(kept)!.signal.aborted, false)
  assert.equal(running.get(1 - kept)!.signal.aborted, true)
  finish.resolve()
  await until(async () => (await everythingIn(broker, to)).length === 2, 'both copies')
  assert.equal(outcomes.get(kept), undefined)
  assert.equal((outcomes.get(1 - kept) as { code?: string }).code, 'fenced')
  await Promise.all([first.stop(), second.stop()])
  assert.deepEqual((await everythingIn(broker, to)).map(text).sort(), ['0', '1'])
})

test('partitions are shared out evenly as members come and go', async (t) => {
  const broker = await testBroker(t)
  const [from, to] = [await newTopic(broker, { partitions: 6 }), await newTopic(broker, { partitions: 6 })]
  const group = randomUUID()
  const members = await Promise.all([1, 2, 3].map(() => copy(broker, { group, from, to })))
  await until(() => members.every((member) => member.assignment().length === 2), 'two partitions for each')
  await members[0]!.stop()
  await until(() => members.slice(1).every((member) => member.assignment().length === 3), 'three partitions for each')
  members[0] = await copy(broker, { group, from, to })
  await until(() => members.every((member) => member.assignment().length === 2), 'two partitions for each again')
  await Promise.all(members.map((member) => member.stop()))
})

test('who gives up atomicity writes no transaction, however many partitions its outputs go to', async (t) => {
  const broker = await testBroker(t)
  const [from, to] = [await newTopic(broker), await newTopic(broker, { partitions: 3 })]
  await broker.produce([record(from, '1')])
  const done = signal()
  const consumer = await broker.consume({
    group: randomUUID(),
    topics: [from],
    maxRecords: 1,
    from: 'earliest',
    atomic: false,
    async onBatch(batch) {
      const outputs = [0, 1, 2].map((partition) => record(to, '1', { partition }))
      await batch.commit(batch.records[0]!.offset + 1, outputs)
      done.resolve()
      return { next: 'continue' }
    },
  })
  await inTime(done.promise, 'the batch')
  await consumer.stop()
  const ends = await broker.lag('nobody', [to])
  // A transaction would have left a marker behind its records.
  assert.deepEqual(
    ends.map(({ endOffset }) => endOffset),
    [1, 1, 1],
  )
})

test('without a transaction the group is told the offset while the member runs', async (t) => {
  const broker = await testBroker(t)
  const topic = await newTopic(broker)
  const group = randomUUID()
  const [position] = await broker.produce([record(topic, '1')])
  const consumer = await broker.consume({
    group,
    topics: [topic],
    maxRecords: 1,
    from: 'earliest',
    atomic: false,
    async onBatch(batch) {
      await batch.commit(batch.records[0]!.offset + 1, [])
      return { next: 'continue' }
    },
  })
  await until(async () => (await broker.lag(group, [topic]))[0]!.committedOffset === position!.offset + 1, 'the offset')
  await consumer.stop()
})

test('a handler may run for longer than a session: heartbeats do not wait for it', async (t) => {
  const broker = await testBroker(t, { sessionTimeoutMs: 6_000 })
  const topic = await newTopic(broker)
  const group = randomUUID()
  await broker.produce([record(topic, '1')])
  const [started, finish, done] = [signal(), signal(), signal<unknown>()]
  let batches = 0
  const consumer = await broker.consume({
    group,
    topics: [topic],
    maxRecords: 1,
    from: 'earliest',
    async onBatch(batch) {
      batches++
      started.resolve()
      await finish.promise
      done.resolve(await batch.commit(batch.records[0]!.offset + 1, [record(topic, '2')]).catch((e: unknown) => e))
      return { next: 'continue' }
    },
  })
  await inTime(started.promise, 'the batch')
  setTimeout(finish.resolve, 8_000)
  assert.equal(await inTime(done.promise, 'the commit'), undefined)
  assert.equal(batches, 1)
  await consumer.stop()
})
