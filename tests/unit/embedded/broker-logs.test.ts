/** The embedded broker over its two logs: topics flushed at once, and topics left to the operating system. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import type { Broker, OutputRecord } from '../../../ports/broker.ts'
import type { TopicSettings } from '../../../ports/topic-settings.ts'
import { inTime, signal } from '../../conformance/deadline.ts'
import { loseUnflushedPages } from '../../support/lmdb-damage.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const HOUR_MS = 3_600_000
const settings = { partitions: 1, retention: { ms: HOUR_MS }, maxRecordBytes: 10_000 }
const topics: TopicSettings[] = [
  { ...settings, name: 'uploads' },
  { ...settings, name: 'requests', flush: 'by-os' },
  { ...settings, name: 'replies', flush: 'by-os' },
]
const mixed = { code: 'mixed-flush' }

async function openBroker(dataFolder = temporaryFolder()): Promise<EmbeddedBroker> {
  const broker = await EmbeddedBroker.open({ dataFolder, onError: (error) => assert.fail(`${error}`) })
  await broker.ensureTopics(topics)
  return broker
}

function record(topic: string, key: string): OutputRecord {
  return { topic, key, value: Buffer.from(key) }
}

async function keysIn(broker: Broker, topic: string): Promise<(string | null)[]> {
  return (await broker.read(topic, 0, 0, 100)).map(({ key }) => key)
}

describe('the two logs of the embedded broker', () => {
  test('a produce that mixes topics of both is refused whole', async () => {
    const broker = await openBroker()
    await assert.rejects(broker.produce([record('uploads', 'a'), record('requests', 'a')]), mixed)
    assert.deepEqual([await keysIn(broker, 'uploads'), await keysIn(broker, 'requests')], [[], []])
    await broker.close()
  })

  test('a commit with an output in the other log is refused whole, and the batch may still commit', async () => {
    const broker = await openBroker()
    await broker.produce([record('requests', 'a')])
    const done = signal()
    await broker.consume({
      group: 'g',
      topics: ['requests'],
      maxRecords: 10,
      from: 'earliest',
      async onBatch(batch) {
        await assert.rejects(batch.commit(1, [record('replies', 'mixed'), record('uploads', 'mixed')]), mixed)
        assert.equal((await broker.lag('g', ['requests']))[0]!.lagRecords, 1)
        await batch.commit(1, [record('replies', 'a')])
        done.resolve()
        return { next: 'continue' }
      },
    })
    await inTime(done.promise, 'the commit')
    assert.deepEqual(await keysIn(broker, 'uploads'), [])
    assert.deepEqual(await keysIn(broker, 'replies'), ['a'])
    assert.equal((await broker.lag('g', ['requests']))[0]!.lagRecords, 0)
    await broker.close()
  })

  test('one group reads topics of both, from their ends, and its lag counts them all', async () => {
    const broker = await openBroker()
    const both = ['uploads', 'requests']
    for (const topic of both) await broker.produce([record(topic, 'before')])
    const seen: string[] = []
    const done = signal()
    const consumer = await broker.consume({
      group: 'g',
      topics: both,
      maxRecords: 10,
      from: 'latest',
      async onBatch(batch) {
        await batch.commit(batch.records.at(-1)!.offset + 1, [])
        seen.push(...batch.records.map(({ topic, key }) => `${topic} ${key}`))
        if (seen.length === 2) done.resolve()
        return { next: 'continue' }
      },
    })
    for (const topic of both) await broker.produce([record(topic, 'after')])
    await inTime(done.promise, 'a record of each topic')
    await consumer.stop()
    assert.deepEqual(seen.toSorted(), ['requests after', 'uploads after'])
    await broker.seek('g', 'requests', 0, 0)
    assert.deepEqual(
      (await broker.lag('g', both)).map(({ topic, lagRecords }) => [topic, lagRecords]),
      [
        ['uploads', 0],
        ['requests', 2],
      ],
    )
    await broker.close()
  })

  test('a topic cannot move from one to the other', async () => {
    const broker = await openBroker()
    const changed = { code: 'topic-changed' }
    await assert.rejects(broker.ensureTopics([{ ...settings, name: 'requests' }]), changed)
    await assert.rejects(broker.ensureTopics([{ ...settings, name: 'uploads', flush: 'by-os' }]), changed)
    await broker.close()
  })

  test('timed retention deletes from both', async () => {
    const clock = { now: 0 }
    const broker = await EmbeddedBroker.open({ dataFolder: temporaryFolder(), now: () => clock.now })
    await broker.ensureTopics(topics)
    for (const { name } of topics) await broker.produce([record(name, 'old')])
    clock.now = HOUR_MS + 1
    assert.equal(await broker.enforceRetention(), 3)
    assert.deepEqual(await keysIn(broker, 'requests'), [])
    await broker.close()
  })

  test('a damaged log of requests is set aside at open, told of once, and the other log is untouched', async () => {
    const dataFolder = temporaryFolder()
    const before = await openBroker(dataFolder)
    for (const { name } of topics) await before.produce([record(name, 'kept?')])
    await before.close()
    loseUnflushedPages(join(dataFolder, 'broker-volatile', 'data.mdb'))
    const errors: unknown[] = []
    const broker = await EmbeddedBroker.open({ dataFolder, onError: (error) => errors.push(error) })
    assert.deepEqual(
      errors.map((error) => (error as { code?: string }).code),
      ['store-set-aside'],
    )
    await broker.ensureTopics(topics)
    assert.deepEqual(await keysIn(broker, 'uploads'), ['kept?'])
    assert.deepEqual(await keysIn(broker, 'requests'), [])
    await broker.produce([record('requests', 'new')])
    assert.deepEqual(await keysIn(broker, 'requests'), ['new'])
    await broker.close()
  })

  test('what fails in retention on the timer is told', async () => {
    const failure = new Error('no clock')
    const told = signal<unknown>()
    const broker = await EmbeddedBroker.open({
      dataFolder: temporaryFolder(),
      now: () => {
        throw failure
      },
      retentionIntervalMs: 1,
      onError: told.resolve,
    })
    assert.equal(await inTime(told.promise, 'the failure'), failure)
    await broker.close()
  })
})
