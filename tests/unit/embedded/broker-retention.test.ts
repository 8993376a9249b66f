import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import type { Broker, OutputRecord } from '../../../ports/broker.ts'
import { SetupError } from '../../../ports/errors.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const HOUR_MS = 3_600_000

async function openAt(startMs: number) {
  const clock = { now: startMs }
  const broker = await EmbeddedBroker.open({
    dataFolder: temporaryFolder(),
    now: () => clock.now,
    retentionIntervalMs: 0,
  })
  await broker.ensureTopics([
    { name: 'timed', partitions: 2, retention: { ms: HOUR_MS }, maxRecordBytes: 10_000 },
    { name: 'compacted', partitions: 1, retention: 'compacted', maxRecordBytes: 10_000 },
  ])
  return { broker, clock }
}

function record(topic: string, key: string, value: string | null): OutputRecord {
  return { topic, key, value: value === null ? null : Buffer.from(value) }
}

async function values(broker: Broker, topic: string, partition = 0): Promise<[number, string | null][]> {
  const records = await broker.read(topic, partition, 0, 10_000)
  return records.map((r) => [r.offset, r.value === null ? null : Buffer.from(r.value).toString()])
}

describe('compaction', () => {
  test('a newer record of a key deletes the earlier one at once, also inside one call', async () => {
    const { broker } = await openAt(0)
    await broker.produce([
      record('compacted', 'a', 'a1'),
      record('compacted', 'b', 'b1'),
      record('compacted', 'a', 'a2'),
    ])
    await broker.produce([record('compacted', 'b', 'b2')])
    assert.deepEqual(await values(broker, 'compacted'), [
      [2, 'a2'],
      [3, 'b2'],
    ])
    await broker.close()
  })

  test('keys that share their first kilobyte are told apart', async () => {
    const { broker } = await openAt(0)
    const long = 'k'.repeat(3000)
    await broker.produce([record('compacted', `${long}1`, '1'), record('compacted', `${long}2`, '2')])
    await broker.produce([record('compacted', `${long}1`, '3')])
    assert.deepEqual(await values(broker, 'compacted'), [
      [1, '2'],
      [2, '3'],
    ])
    await broker.close()
  })

  test('a tombstone deletes its key at once and itself after a day; its offset is not given again', async () => {
    const { broker, clock } = await openAt(1_000)
    await broker.produce([record('compacted', 'a', 'a1')])
    await broker.produce([record('compacted', 'a', null)])
    assert.deepEqual(await values(broker, 'compacted'), [[1, null]])
    clock.now += 24 * HOUR_MS
    assert.equal(await broker.enforceRetention(), 0)
    clock.now += 1
    assert.equal(await broker.enforceRetention(), 1)
    assert.deepEqual(await values(broker, 'compacted'), [])
    assert.deepEqual(await broker.produce([record('compacted', 'a', 'a3')]), [{ partition: 0, offset: 2 }])
    await broker.close()
  })

  test('a key that came back after its tombstone outlives the tombstone', async () => {
    const { broker, clock } = await openAt(0)
    await broker.produce([record('compacted', 'a', null), record('compacted', 'a', 'back')])
    clock.now += 48 * HOUR_MS
    await broker.enforceRetention()
    assert.deepEqual(await values(broker, 'compacted'), [[1, 'back']])
    await broker.close()
  })

  test('a consumer passes over the gaps that compaction left', async () => {
    const { broker } = await openAt(0)
    for (let i = 0; i < 10; i++) await broker.produce([record('compacted', i < 9 ? 'a' : 'b', `${i}`)])
    const seen = await new Promise<string[]>((resolve) => {
      const values: string[] = []
      broker.consume({
        group: 'g',
        topics: ['compacted'],
        maxRecords: 1,
        from: 'earliest',
        async onBatch(batch) {
          values.push(Buffer.from(batch.records[0]!.value!).toString())
          await batch.commit(batch.records[0]!.offset + 1, [])
          if (values.length === 2) resolve(values)
          return { next: 'continue' }
        },
      })
    })
    assert.deepEqual(seen, ['8', '9'])
    assert.equal((await broker.lag('g', ['compacted']))[0]!.lagRecords, 0)
    await broker.close()
  })

  test('a timed topic that is defined as compacted keeps the latest of each key, and its tombstones for their time', async () => {
    const { broker, clock } = await openAt(0)
    const at = (key: string, value: string | null) => ({ ...record('timed', key, value), partition: 0 })
    await broker.produce([
      at('a', 'a1'),
      at('b', 'b1'),
      at('a', 'a2'),
      at('b', null),
      { ...at('c', 'c1'), partition: 1 },
    ])
    await broker.ensureTopics([{ name: 'timed', partitions: 2, retention: 'compacted', maxRecordBytes: 10_000 }])
    assert.deepEqual(await values(broker, 'timed', 0), [
      [2, 'a2'],
      [3, null],
    ])
    await broker.produce([at('a', 'a3')])
    clock.now = 24 * HOUR_MS + 1
    await broker.enforceRetention()
    assert.deepEqual(await values(broker, 'timed', 0), [[4, 'a3']])
    assert.deepEqual(await values(broker, 'timed', 1), [[0, 'c1']])
    await broker.close()
  })

  test('a timed topic with a record that has no key is not compacted, and stays whole', async () => {
    const { broker } = await openAt(0)
    const keyless = { topic: 'timed', key: null, value: Buffer.from('x'), partition: 0 }
    await broker.produce([
      { ...record('timed', 'a', 'a1'), partition: 0 },
      { ...record('timed', 'a', 'a2'), partition: 0 },
      keyless,
    ])
    await assert.rejects(
      broker.ensureTopics([{ name: 'timed', partitions: 2, retention: 'compacted', maxRecordBytes: 10_000 }]),
      (error) => error instanceof SetupError && error.code === 'topic-changed',
    )
    assert.equal((await values(broker, 'timed', 0)).length, 3)
    await broker.close()
  })

  test('a topic cannot turn from compacted to timed', async () => {
    const { broker } = await openAt(0)
    await assert.rejects(
      broker.ensureTopics([{ name: 'compacted', partitions: 1, retention: { ms: 1 }, maxRecordBytes: 10_000 }]),
      (error) => error instanceof SetupError && error.code === 'topic-changed',
    )
    await broker.close()
  })
})

describe('timed retention', () => {
  test('records older than the retention go, many at a time, and the younger stay', async () => {
    const { broker, clock } = await openAt(0)
    const at = (i: number) => ({ ...record('timed', 'k', `${i}`), partition: i % 2 })
    await broker.produce(Array.from({ length: 2400 }, (_, i) => at(i)))
    clock.now = HOUR_MS / 2
    await broker.produce([at(2400), at(2401)])
    clock.now = HOUR_MS
    assert.equal(await broker.enforceRetention(), 0)
    clock.now = HOUR_MS + 1
    assert.equal(await broker.enforceRetention(), 2400)
    assert.deepEqual(await values(broker, 'timed', 0), [[1200, '2400']])
    clock.now *= 2
    assert.equal(await broker.enforceRetention(), 2)
    assert.deepEqual(await broker.produce([at(0)]), [{ partition: 0, offset: 1201 }])
    await broker.close()
  })

  test('what retention deleted is no lag, and a group behind it goes on with what is left', async () => {
    const { broker, clock } = await openAt(0)
    await broker.produce([{ ...record('timed', 'k', 'old'), partition: 0 }])
    clock.now = HOUR_MS + 1
    await broker.produce([{ ...record('timed', 'k', 'new'), partition: 0 }])
    await broker.enforceRetention()
    const [lag] = await broker.lag('g', ['timed'])
    assert.deepEqual([lag!.committedOffset, lag!.endOffset, lag!.lagRecords], [1, 2, 1])
    await broker.close()
  })
})
