/**
 * What every Broker must do (ports/broker.ts). Written against the port alone: topics have names of their own, offsets
 * may have gaps, and nothing is assumed to happen at once.
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { partitionForKey } from '../../adapters/partitioner.ts'
import type { Batch, BatchOutcome, Broker, Consumer, OutputRecord, StoredRecord } from '../../ports/broker.ts'
import { FencedError, InvalidRecordError, SetupError } from '../../ports/errors.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { inTime, signal, until } from './deadline.ts'

export interface BrokerHarness {
  open(): Promise<Broker>
  /** Ends the broker that is open and opens another on the same durable state. */
  reopen(): Promise<Broker>
  close(): Promise<void>
  /** How the topics of the suite are flushed; the default where absent. */
  readonly flush?: TopicSettings['flush']
}

const CONTINUE: BatchOutcome = { next: 'continue' }

export function brokerConformance(adapter: string, harness: BrokerHarness): void {
  describe(`Broker by ${adapter}`, { timeout: 300_000 }, () => {
    let broker: Broker
    const common = harness.flush === undefined ? {} : { flush: harness.flush }
    before(async () => {
      broker = await harness.open()
    })
    after(() => harness.close())

    async function newTopic(settings: Partial<TopicSettings> = {}): Promise<string> {
      const name = `conformance.${randomUUID()}`
      await broker.ensureTopics([
        { name, partitions: 1, retention: { ms: 3_600_000 }, maxRecordBytes: 1024 * 1024, ...common, ...settings },
      ])
      return name
    }

    /** Consumes and commits everything; `wait(n)` resolves with the records once n are there. */
    async function collect(
      topics: readonly string[],
      options: { group?: string; from?: 'earliest' | 'latest'; maxRecords?: number; outputs?: OutputRecord[] } = {},
    ) {
      const records: StoredRecord[] = []
      const batches: Batch[] = []
      const consumer = await broker.consume({
        group: options.group ?? randomUUID(),
        topics,
        maxRecords: options.maxRecords ?? 100,
        from: options.from ?? 'earliest',
        async onBatch(batch) {
          await batch.commit(nextOffset(batch), options.outputs ?? [])
          records.push(...batch.records)
          batches.push(batch)
          return CONTINUE
        },
      })
      const wait = async (count: number) => {
        await until(() => records.length >= count, `${count} records of ${topics}`)
        return records
      }
      return { consumer, records, batches, wait }
    }

    async function everythingIn(topic: string, count: number): Promise<StoredRecord[]> {
      const reader = await collect([topic])
      const records = await reader.wait(count)
      await reader.consumer.stop()
      return records
    }

    describe('producing', () => {
      test('records of one key are consumed in the order they were produced [order]', async () => {
        const topic = await newTopic({ partitions: 4 })
        const keys = ['a', 'b', 'c', 'd', 'e']
        const pending: Promise<unknown>[] = []
        for (let i = 0; i < 100; i++) {
          pending.push(
            broker.produce([record(topic, keys[i % 5]!, `${i}`), record(topic, keys[(i + 1) % 5]!, `${i}+`)]),
          )
          if (i % 10 === 0) await Promise.all(pending)
        }
        await Promise.all(pending)
        const records = await everythingIn(topic, 200)
        assert.equal(records.length, 200)
        for (const [k, key] of keys.entries()) {
          const expected = Array.from({ length: 100 }, (_, i) => [
            ...(i % 5 === k ? [`${i}`] : []),
            ...((i + 1) % 5 === k ? [`${i}+`] : []),
          ]).flat()
          assert.deepEqual(records.filter((r) => r.key === key).map(text), expected)
        }
      })

      test('a key goes to the partition that murmur2 gives, partitionBy comes before it, partition before both', async () => {
        const topic = await newTopic({ partitions: 6 })
        const keys = ['21', 'foobar', 'a-little-bit-long-string', 'ü€𝄞', '']
        const positions = await broker.produce([
          ...keys.map((key) => record(topic, key, 'x')),
          { ...record(topic, 'foobar', 'x'), partitionBy: '21' },
          { ...record(topic, 'foobar', 'x'), partitionBy: '21', partition: 4 },
        ])
        const expected = [...keys.map((key) => partitionForKey(key, 6)), partitionForKey('21', 6), 4]
        assert.deepEqual(
          positions.map((position) => position.partition),
          expected,
        )
      })

      test('records without a key spread over the partitions', async () => {
        const topic = await newTopic({ partitions: 3 })
        const positions = []
        for (let i = 0; i < 9; i++) positions.push(...(await broker.produce([record(topic, null, 'x')])))
        assert.equal(new Set(positions.map(({ partition }) => partition)).size, 3)
      })

      test('key, value, headers and timestamp come back as they were, empty and null told apart', async () => {
        const topic = await newTopic()
        const value = Uint8Array.from({ length: 256 }, (_, i) => i)
        const headers = { 'x-id': '1', ünï: 'wörld 𝄞', empty: '' }
        await broker.produce([
          { topic, key: 'schlüssel 𝄞', value, headers, timestamp: 1_234_567_890_123 },
          { topic, key: null, value: null },
          { topic, key: '', value: new Uint8Array(0) },
        ])
        const [first, second, third] = await everythingIn(topic, 3)
        assert.equal(first!.key, 'schlüssel 𝄞')
        assert.deepEqual([...first!.value!], [...value])
        assert.deepEqual({ ...first!.headers }, headers)
        assert.equal(first!.timestamp, 1_234_567_890_123)
        assert.equal(second!.key, null)
        assert.equal(second!.value, null)
        assert.deepEqual({ ...second!.headers }, {})
        assert.ok(Math.abs(second!.timestamp - Date.now()) < 600_000, 'the broker sets the time')
        assert.equal(third!.key, '')
        assert.equal(third!.value!.length, 0)
      })

      test('a record as large as the topic allows arrives whole', async () => {
        const topic = await newTopic({ maxRecordBytes: 8 * 1024 * 1024 })
        const value = Buffer.alloc(8 * 1024 * 1024 - 1024, 'cue')
        await broker.produce([{ topic, key: 'big', value }])
        const [big] = await everythingIn(topic, 1)
        assert.equal(Buffer.compare(big!.value!, value), 0)
      })

      test('one record that cannot be written keeps the whole call from writing', async () => {
        const topic = await newTopic({ maxRecordBytes: 10_000 })
        const compacted = await newTopic({ retention: 'compacted' })
        const good = record(topic, 'k', 'refused with its neighbour')
        await assert.rejects(
          broker.produce([good, { topic, key: 'k', value: Buffer.alloc(20_000) }]),
          (error) => error instanceof InvalidRecordError && error.code === 'record-too-large',
        )
        await assert.rejects(
          broker.produce([good, record(compacted, null, 'x')]),
          (error) => error instanceof InvalidRecordError && error.code === 'null-key',
        )
        await assert.rejects(
          broker.produce([good, record(`missing.${randomUUID()}`, 'k', 'x')]),
          (error) => error instanceof SetupError && error.code === 'unknown-topic',
        )
        await assert.rejects(
          broker.produce([good, { ...good, partition: 7 }]),
          (error) => error instanceof InvalidRecordError && error.code === 'unknown-partition',
        )
        await broker.produce([record(topic, 'k', 'good')])
        assert.deepEqual((await everythingIn(topic, 1)).map(text), ['good'])
      })
    })

    describe('topics', () => {
      const partitionsOf = async (topic: string) =>
        (await broker.topics()).find(({ name }) => name === topic)?.partitions
      const defined = (name: string, partitions: number): TopicSettings => {
        return { name, partitions, retention: { ms: 3_600_000 }, maxRecordBytes: 1024 * 1024, ...common }
      }

      test('ensuring a topic again adds partitions while it is unused, takes none away and keeps its records', async () => {
        const topic = await newTopic({ partitions: 2 })
        await broker.ensureTopics([defined(topic, 3)])
        await until(async () => (await partitionsOf(topic)) === 3, 'the third partition')
        await broker.produce([{ ...record(topic, 'k', 'kept'), partition: 2 }])
        for (const partitions of [1, 3]) await broker.ensureTopics([defined(topic, partitions)])
        assert.equal(await partitionsOf(topic), 3)
        assert.deepEqual((await everythingIn(topic, 1)).map(text), ['kept'])
      })

      test('a topic that holds records gets no more partitions, for its keys would move', async () => {
        const topic = await newTopic({ partitions: 2 })
        await broker.produce([{ ...record(topic, 'k', 'kept'), partition: 1 }])
        await assert.rejects(broker.ensureTopics([defined(topic, 3)]), (error) => {
          assert.ok(error instanceof SetupError && error.code === 'fewer-partitions', String(error))
          return error.message.includes(topic) && error.message.includes('--allow more-partitions')
        })
        assert.equal(await partitionsOf(topic), 2)
      })

      test('consuming a topic that does not exist says so', async () => {
        await assert.rejects(
          collect([`missing.${randomUUID()}`]),
          (error) => error instanceof SetupError && error.code === 'unknown-topic',
        )
      })

      test('who reads a compacted topic from its start ends with the latest value of each key', async () => {
        const topic = await newTopic({ retention: 'compacted' })
        for (let i = 0; i < 5; i++) await broker.produce([record(topic, 'a', `a${i}`), record(topic, 'b', `b${i}`)])
        await broker.produce([{ topic, key: 'b', value: null }])
        const latest = new Map<string | null, string | null>()
        const reader = await collect([topic])
        await until(() => {
          for (const r of reader.records) latest.set(r.key, r.value === null ? null : text(r))
          return latest.get('a') === 'a4' && latest.get('b') === null
        }, 'the latest of each key')
        await reader.consumer.stop()
      })
    })

    describe('consuming', () => {
      test('batches keep to maxRecords and tell where the partition ends', async () => {
        const topic = await newTopic()
        await broker.produce(Array.from({ length: 25 }, (_, i) => record(topic, 'k', `${i}`)))
        const reader = await collect([topic], { maxRecords: 10 })
        const records = await reader.wait(25)
        assert.deepEqual(
          records.map(text),
          Array.from({ length: 25 }, (_, i) => `${i}`),
        )
        for (const batch of reader.batches) {
          assert.ok(batch.records.length >= 1 && batch.records.length <= 10)
          assert.ok(batch.endOffset > batch.records.at(-1)!.offset)
        }
        await reader.consumer.stop()
      })

      test('each group gets every record', async () => {
        const topic = await newTopic({ partitions: 2 })
        const [one, two] = [await collect([topic]), await collect([topic])]
        await broker.produce(Array.from({ length: 20 }, (_, i) => record(topic, `${i}`, `${i}`)))
        for (const reader of [one, two]) {
          const records = await reader.wait(20)
          assert.equal(new Set(records.map(text)).size, 20)
          await reader.consumer.stop()
        }
      })

      test('a consumer that finds nothing is woken by the next record', async () => {
        const topic = await newTopic({ partitions: 2 })
        const reader = await collect([topic])
        for (let i = 1; i <= 10; i++) {
          await broker.produce([record(topic, `${i}`, `${i}`)])
          await reader.wait(i)
        }
        assert.equal(reader.records.length, 10)
        await reader.consumer.stop()
      })

      test('a new group begins at the end with latest, at the start with earliest', async () => {
        const topic = await newTopic()
        await broker.produce([record(topic, 'k', 'before')])
        const [late, early] = [await collect([topic], { from: 'latest' }), await collect([topic])]
        await broker.produce([record(topic, 'k', 'after')])
        assert.deepEqual((await early.wait(2)).map(text), ['before', 'after'])
        assert.deepEqual((await late.wait(1)).map(text), ['after'])
        await Promise.all([late.consumer.stop(), early.consumer.stop()])
      })

      test('a partition has one batch at a time while several partitions run at once [group]', async () => {
        const topic = await newTopic({ partitions: 2 })
        const running = [0, 0]
        const seen: string[] = []
        const both = signal()
        const consumer = await broker.consume({
          group: randomUUID(),
          topics: [topic],
          maxRecords: 1,
          from: 'earliest',
          async onBatch(batch) {
            running[batch.partition]!++
            assert.equal(running[batch.partition], 1)
            if (running[0]! + running[1]! === 2) both.resolve()
            await both.promise // the first batch of either partition ends only once both run
            await batch.commit(nextOffset(batch), [])
            seen.push(text(batch.records[0]!))
            running[batch.partition]!--
            return CONTINUE
          },
        })
        await broker.produce(
          Array.from({ length: 12 }, (_, i) => ({ ...record(topic, 'k', `${i}`), partition: i % 2 })),
        )
        await inTime(both.promise, 'both partitions at once')
        await until(() => seen.length === 12, 'all records')
        await consumer.stop()
        await consumer.ended
      })

      test('members of a group share its partitions, the same number of every topic to the same member [group]', async () => {
        const topics = [await newTopic({ partitions: 4 }), await newTopic({ partitions: 4 })]
        const group = randomUUID()
        const [one, two] = [await collect(topics, { group }), await collect(topics, { group })]
        await until(
          () => one.consumer.assignment().length === 4 && two.consumer.assignment().length === 4,
          'four partitions for each member',
        )
        for (const { consumer } of [one, two]) {
          const numbers = topics.map((topic) => partitionsOf(consumer, topic))
          assert.deepEqual(numbers[0], numbers[1])
        }
        await broker.produce(
          topics.flatMap((topic) => Array.from({ length: 40 }, (_, i) => record(topic, `${i}`, `${topic} ${i}`))),
        )
        await until(() => one.records.length + two.records.length >= 80, 'all records')
        assert.equal(new Set([...one.records, ...two.records].map(text)).size, 80)
        for (const reader of [one, two]) {
          for (const { topic, partition } of reader.records) {
            assert.ok(partitionsOf(reader.consumer, topic).includes(partition))
          }
        }
        await one.consumer.stop()
        await until(() => two.consumer.assignment().length === 8, 'all partitions for the member that stays')
        await two.consumer.stop()
      })

      test('after stop, no batch comes, the rest is left to the group and ended resolves', async () => {
        const topic = await newTopic()
        const group = randomUUID()
        const first = await collect([topic], { group })
        await broker.produce([record(topic, 'k', '1')])
        await first.wait(1)
        await first.consumer.stop()
        await inTime(first.consumer.ended, 'the consumer to end')
        await broker.produce([record(topic, 'k', '2')])
        const second = await collect([topic], { group })
        assert.deepEqual((await second.wait(1)).map(text), ['2'])
        assert.deepEqual(first.records.map(text), ['1'])
        await second.consumer.stop()
      })

      test('stop waits for the batch that runs, and its commit holds', async () => {
        const topic = await newTopic()
        const group = randomUUID()
        await broker.produce([record(topic, 'k', '1'), record(topic, 'k', '2')])
        const [started, finish] = [signal(), signal()]
        const consumer = await broker.consume({
          group,
          topics: [topic],
          maxRecords: 1,
          from: 'earliest',
          async onBatch(batch) {
            started.resolve()
            await finish.promise
            await batch.commit(nextOffset(batch), [])
            return CONTINUE
          },
        })
        await inTime(started.promise, 'the first batch')
        const stopped = consumer.stop()
        finish.resolve()
        await inTime(stopped, 'stop')
        const second = await collect([topic], { group })
        assert.deepEqual((await second.wait(1)).map(text), ['2'])
        await second.consumer.stop()
      })

      test('stop aborts a batch that outlasts the grace, and its commit is fenced', async () => {
        const topic = await newTopic()
        const out = await newTopic()
        const group = randomUUID()
        await broker.produce([record(topic, 'k', '1')])
        const [started, result] = [signal(), signal<unknown>()]
        const consumer = await broker.consume({
          group,
          topics: [topic],
          maxRecords: 1,
          from: 'earliest',
          async onBatch(batch) {
            started.resolve()
            await aborted(batch.signal)
            result.resolve(await batch.commit(nextOffset(batch), [record(out, 'k', 'void')]).catch((e: unknown) => e))
            return CONTINUE
          },
        })
        await inTime(started.promise, 'the batch')
        await inTime(consumer.stop(1), 'stop')
        assert.ok((await inTime(result.promise, 'the late commit')) instanceof FencedError)
        const next = await collect([topic], { group, outputs: [record(out, 'k', 'real')] })
        assert.deepEqual((await next.wait(1)).map(text), ['1'])
        assert.deepEqual((await everythingIn(out, 1)).map(text), ['real'])
        await next.consumer.stop()
      })
    })

    describe('committing', () => {
      test('what was not committed is delivered again, from the committed offset [replay]', async () => {
        const topic = await newTopic()
        const group = randomUUID()
        await broker.produce(['1', '2', '3', '4'].map((value) => record(topic, 'k', value)))
        const delivered: string[][] = []
        const done = signal()
        const consumer = await broker.consume({
          group,
          topics: [topic],
          maxRecords: 10,
          from: 'earliest',
          async onBatch(batch) {
            delivered.push(batch.records.map(text))
            if (delivered.length === 1) await batch.commit(batch.records[1]!.offset + 1, []) // half of it
            if (delivered.length === 3) done.resolve()
            return CONTINUE
          },
        })
        await inTime(done.promise, 'three deliveries')
        await consumer.stop()
        assert.deepEqual(delivered.slice(0, 3), [
          ['1', '2', '3', '4'],
          ['3', '4'],
          ['3', '4'],
        ])
        const next = await collect([topic], { group })
        assert.deepEqual((await next.wait(2)).map(text), ['3', '4'])
        await next.consumer.stop()
      })

      test('several commits in one batch move on step by step', async () => {
        const [topic, out] = [await newTopic(), await newTopic()]
        const group = randomUUID()
        await broker.produce(['1', '2', '3'].map((value) => record(topic, 'k', value)))
        const done = signal()
        const consumer = await broker.consume({
          group,
          topics: [topic],
          maxRecords: 10,
          from: 'earliest',
          async onBatch(batch) {
            for (const r of batch.records) await batch.commit(r.offset + 1, [record(out, 'k', `${text(r)}!`)])
            if (text(batch.records.at(-1)!) === '3') done.resolve()
            return CONTINUE
          },
        })
        await inTime(done.promise, 'the batch')
        await consumer.stop()
        assert.deepEqual((await everythingIn(out, 3)).map(text), ['1!', '2!', '3!'])
      })

      test('outputs and offset of a commit appear together, or neither does [atomic]', async () => {
        const topic = await newTopic()
        const out = await newTopic({ partitions: 3 })
        const compacted = await newTopic({ retention: 'compacted' })
        const group = randomUUID()
        await broker.produce([record(topic, 'k', '1'), record(topic, 'k', '2')])
        const done = signal<string[]>()
        const values: string[] = []
        const consumer = await broker.consume({
          group,
          topics: [topic],
          maxRecords: 1,
          from: 'earliest',
          async onBatch(batch) {
            values.push(text(batch.records[0]!))
            const outputs = ['a', 'b', 'c'].map((key) => record(out, key, `${key} of try ${values.length}`))
            if (values.length === 1) {
              await assert.rejects(
                batch.commit(nextOffset(batch), [...outputs, record(compacted, null, 'refused')]),
                InvalidRecordError,
              )
              return CONTINUE
            }
            await batch.commit(nextOffset(batch), outputs)
            if (values.length === 3) done.resolve(values)
            return CONTINUE
          },
        })
        assert.deepEqual(await inTime(done.promise, 'three batches'), ['1', '1', '2'])
        await consumer.stop()
        const produced = (await everythingIn(out, 6)).map(text).sort()
        assert.deepEqual(produced, [2, 3].flatMap((n) => ['a', 'b', 'c'].map((key) => `${key} of try ${n}`)).sort())
      })

      test('the outputs of a commit wake consumers and tails that wait for them', async () => {
        const [topic, out] = [await newTopic(), await newTopic()]
        const tailed: string[] = []
        const tail = await broker.tail(out, 0, (r) => tailed.push(text(r)))
        const reader = await collect([out])
        const writer = await collect([topic], { outputs: [record(out, 'k', 'output')] })
        await broker.produce([record(topic, 'k', '1')])
        assert.deepEqual((await reader.wait(1)).map(text), ['output'])
        await until(() => tailed.length === 1, 'the tail')
        await Promise.all([reader.consumer.stop(), writer.consumer.stop(), tail.stop()])
      })

      test('a paused partition waits while the others go on', async () => {
        const topic = await newTopic({ partitions: 2 })
        const slow = { ...record(topic, 'k', 'slow'), partition: 0 }
        const quick = ['quick 1', 'quick 2', 'quick 3'].map((v) => ({ ...record(topic, 'k', v), partition: 1 }))
        const seen: string[] = []
        const consumer = await broker.consume({
          group: randomUUID(),
          topics: [topic],
          maxRecords: 1,
          from: 'earliest',
          async onBatch(batch) {
            seen.push(text(batch.records[0]!))
            if (batch.partition === 0) return { next: 'pause', forMs: 3_600_000 }
            await batch.commit(nextOffset(batch), [])
            return CONTINUE
          },
        })
        await broker.produce([slow])
        await until(() => isPaused(consumer, topic, 0), 'the pause')
        assert.equal(isPaused(consumer, topic, 1), false)
        await broker.produce([slow, ...quick])
        await until(() => seen.includes('quick 3'), 'the other partition')
        await inTime(consumer.stop(), 'stop, which does not wait for the pause')
        assert.deepEqual(seen, ['slow', 'quick 1', 'quick 2', 'quick 3'])
      })

      test('after its pause a partition gets the same records again', async () => {
        const topic = await newTopic()
        await broker.produce([record(topic, 'k', '1'), record(topic, 'k', '2')])
        const seen: string[] = []
        const done = signal()
        const consumer = await broker.consume({
          group: randomUUID(),
          topics: [topic],
          maxRecords: 1,
          from: 'earliest',
          async onBatch(batch) {
            seen.push(text(batch.records[0]!))
            if (seen.length < 3) return { next: 'pause', forMs: 20 }
            await batch.commit(nextOffset(batch), [])
            if (seen.length === 4) done.resolve()
            return CONTINUE
          },
        })
        await inTime(done.promise, 'four deliveries')
        await consumer.stop()
        assert.deepEqual(seen, ['1', '1', '1', '2'])
      })

      test('a handler that rejects ends its consumer with that error and leaves the work to the others', async () => {
        const topic = await newTopic({ partitions: 2 })
        const group = randomUUID()
        const boom = new Error('boom')
        const failing = await broker.consume({
          group,
          topics: [topic],
          maxRecords: 10,
          from: 'earliest',
          onBatch: async () => {
            throw boom
          },
        })
        await broker.produce([0, 1].map((partition) => ({ ...record(topic, 'k', `${partition}`), partition })))
        await assert.rejects(inTime(failing.ended, 'the failure'), (error) => error === boom)
        const other = await collect([topic], { group })
        assert.deepEqual((await other.wait(2)).map(text).sort(), ['0', '1'])
        assert.deepEqual(failing.assignment(), [])
        await other.consumer.stop()
      })

      test('who gives up atomicity writes outputs and leaves the offset behind its last commit', async () => {
        const [topic, out] = [await newTopic(), await newTopic({ partitions: 2 })]
        const group = randomUUID()
        await broker.produce(['1', '2', '3'].map((value) => record(topic, 'k', value)))
        const second = signal()
        const consumer = await broker.consume({
          group,
          topics: [topic],
          maxRecords: 1,
          from: 'earliest',
          atomic: false,
          async onBatch(batch) {
            const value = text(batch.records[0]!)
            if (value === '3') return { next: 'pause', forMs: 3_600_000 }
            const outputs = [0, 1].map((partition) => ({ ...record(out, 'k', `${value}!`), partition }))
            await batch.commit(nextOffset(batch), outputs)
            if (value === '2') second.resolve()
            return CONTINUE
          },
        })
        await inTime(second.promise, 'two commits')
        await consumer.stop()
        assert.deepEqual((await everythingIn(out, 4)).map(text).sort(), ['1!', '1!', '2!', '2!'])
        const next = await collect([topic], { group })
        assert.deepEqual((await next.wait(1)).map(text), ['3'])
        await next.consumer.stop()
      })

      test('a member that loses a partition has its batch aborted and its commit fenced', async () => {
        const topic = await newTopic({ partitions: 2 })
        const out = await newTopic()
        const group = randomUUID()
        await broker.produce([0, 1].map((partition) => ({ ...record(topic, 'k', `${partition}`), partition })))
        const outcomes: unknown[] = []
        let startedBatches = 0
        const first = await broker.consume({
          group,
          topics: [topic],
          maxRecords: 10,
          from: 'earliest',
          async onBatch(batch) {
            startedBatches++
            await aborted(batch.signal)
            outcomes.push(await batch.commit(nextOffset(batch), [record(out, 'k', 'void')]).catch((e: unknown) => e))
            return CONTINUE
          },
        })
        await until(() => startedBatches === 2, 'both batches')
        const second = await collect([topic], { group, outputs: [record(out, 'k', 'real')] })
        await until(() => outcomes.length >= 1, 'the lost partition')
        await first.stop(1)
        await second.wait(2)
        assert.ok(
          outcomes.every((outcome) => outcome instanceof FencedError),
          outcomes.join(),
        )
        assert.deepEqual(second.records.map(text).sort(), ['0', '1'])
        assert.deepEqual((await everythingIn(out, 2)).map(text), ['real', 'real'])
        await second.consumer.stop()
      })
    })

    describe('outside groups', () => {
      test('tail follows one partition from its end until it is stopped', async () => {
        const topic = await newTopic({ partitions: 2 })
        await broker.produce([{ ...record(topic, 'k', 'before'), partition: 1 }])
        const seen: string[] = []
        const tail = await broker.tail(topic, 1, (r) => seen.push(text(r)))
        await broker.produce([
          { ...record(topic, 'k', 'elsewhere'), partition: 0 },
          { ...record(topic, 'k', '1'), partition: 1 },
          { ...record(topic, 'k', '2'), partition: 1 },
        ])
        await until(() => seen.length === 2, 'two records')
        await tail.stop()
        const other = signal<string>()
        const later = await broker.tail(topic, 1, (r) => other.resolve(text(r)))
        await broker.produce([{ ...record(topic, 'k', '3'), partition: 1 }])
        assert.equal(await inTime(other.promise, 'the later tail'), '3')
        assert.deepEqual(seen, ['1', '2'])
        await later.stop()
      })

      test('read gives records from an offset on, at most as many as asked, none past the end', async () => {
        const topic = await newTopic({ partitions: 2 })
        const positions = await broker.produce(
          ['0', '1', '2', '3'].map((value) => ({ ...record(topic, 'k', value), partition: 1 })),
        )
        const from = positions[1]!.offset
        assert.deepEqual((await broker.read(topic, 1, from, 2)).map(text), ['1', '2'])
        assert.deepEqual((await broker.read(topic, 1, from, 100)).map(text), ['1', '2', '3'])
        assert.deepEqual(await broker.read(topic, 1, positions[3]!.offset + 100, 10), [])
        assert.deepEqual(await broker.read(topic, 0, 0, 10), [])
      })

      test('lag falls by what was committed', async () => {
        const topic = await newTopic()
        const group = randomUUID()
        const positions = await broker.produce(Array.from({ length: 5 }, (_, i) => record(topic, 'k', `${i}`)))
        const lagOf = async () => (await broker.lag(group, [topic]))[0]!
        const before = await lagOf()
        assert.ok(before.lagRecords >= 5)
        assert.ok(before.endOffset > positions[4]!.offset)
        const reader = await collect([topic], { group })
        await reader.wait(5)
        await reader.consumer.stop()
        const afterwards = await lagOf()
        assert.ok(afterwards.lagRecords <= before.lagRecords - 5)
        assert.equal(afterwards.committedOffset, positions[4]!.offset + 1)
      })

      test('seek makes a group that does not run start elsewhere, and is refused while it runs', async () => {
        const topic = await newTopic()
        const group = randomUUID()
        const positions = await broker.produce(['0', '1', '2'].map((value) => record(topic, 'k', value)))
        const first = await collect([topic], { group })
        await first.wait(3)
        await assert.rejects(broker.seek(group, topic, 0, 0))
        await first.consumer.stop()
        await broker.seek(group, topic, 0, positions[1]!.offset)
        const second = await collect([topic], { group })
        assert.deepEqual((await second.wait(2)).map(text), ['1', '2'])
        await second.consumer.stop()
      })
    })

    describe('across a restart', () => {
      test('topics, records and committed offsets are there after a restart, and no offset is given twice [durable]', async () => {
        const topic = await newTopic({ partitions: 2 })
        const group = randomUUID()
        const [, second] = await broker.produce(
          ['1', '2', '3'].map((v) => ({ ...record(topic, 'k', v), partition: 1 })),
        )
        const done = signal()
        await broker.consume({
          group,
          topics: [topic],
          maxRecords: 10,
          from: 'earliest',
          async onBatch(batch) {
            await batch.commit(batch.records[0]!.offset + 1, [])
            done.resolve()
            return { next: 'pause', forMs: 3_600_000 }
          },
        })
        await inTime(done.promise, 'the commit')
        broker = await harness.reopen()
        assert.equal((await broker.topics()).find(({ name }) => name === topic)?.partitions, 2)
        assert.equal((await broker.lag(group, [topic]))[1]!.committedOffset, second!.offset)
        const [next] = await broker.produce([{ ...record(topic, 'k', '4'), partition: 1 }])
        assert.ok(next!.offset > second!.offset + 1)
        const reader = await collect([topic], { group })
        assert.deepEqual((await reader.wait(3)).map(text), ['2', '3', '4'])
        await reader.consumer.stop()
      })

      test('closing waits for a commit under way', async () => {
        const [topic, out] = [await newTopic(), await newTopic()]
        const group = randomUUID()
        await broker.produce([record(topic, 'k', '1')])
        const committing = signal<{ commit: Promise<void> }>()
        await broker.consume({
          group,
          topics: [topic],
          maxRecords: 10,
          from: 'earliest',
          async onBatch(batch) {
            const commit = batch.commit(nextOffset(batch), [record(out, 'k', 'done')])
            committing.resolve({ commit })
            await commit
            return CONTINUE
          },
        })
        const { commit } = await inTime(committing.promise, 'the commit')
        broker = await harness.reopen()
        await inTime(commit, 'the commit that was under way')
        assert.deepEqual((await everythingIn(out, 1)).map(text), ['done'])
      })
    })
  })
}

function record(topic: string, key: string | null, value: string): OutputRecord {
  return { topic, key, value: Buffer.from(value) }
}

function text(stored: StoredRecord): string {
  return Buffer.from(stored.value!).toString()
}

function nextOffset(batch: Batch): number {
  return batch.records.at(-1)!.offset + 1
}

function partitionsOf(consumer: Consumer, topic: string): number[] {
  return consumer
    .assignment()
    .filter((assigned) => assigned.topic === topic)
    .map(({ partition }) => partition)
    .sort()
}

function isPaused(consumer: Consumer, topic: string, partition: number): boolean {
  return consumer.assignment().some((a) => a.topic === topic && a.partition === partition && a.paused)
}

function aborted(abort: AbortSignal): Promise<void> {
  return inTime(
    new Promise((resolve) => {
      if (abort.aborted) resolve()
      else abort.addEventListener('abort', () => resolve(), { once: true })
    }),
    'the batch to be aborted',
  )
}
