/** What the embedded broker promises beyond the port. The port's own promises: tests/conformance/broker.ts. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { BrokerLog } from '../../../adapters/embedded/broker-log.ts'
import { openStore } from '../../../adapters/embedded/store.ts'
import { embeddedTopicAdmin } from '../../../adapters/embedded/topic-admin.ts'
import type { Batch } from '../../../ports/broker.ts'
import { FencedError, SetupError } from '../../../ports/errors.ts'
import { inTime, signal, until } from '../../conformance/deadline.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const topic = { name: 't', partitions: 2, retention: { ms: 3_600_000 }, maxRecordBytes: 32 * 1024 * 1024 }

async function openBroker(): Promise<EmbeddedBroker> {
  const broker = await EmbeddedBroker.open({ dataFolder: temporaryFolder() })
  await broker.ensureTopics([topic])
  return broker
}

function records(count: number, partition = 0, bytes = 10) {
  return Array.from({ length: count }, () => ({ topic: 't', key: 'k', value: Buffer.alloc(bytes), partition }))
}

describe('the embedded broker', () => {
  test('a second broker on the same data folder is refused', async () => {
    const dataFolder = temporaryFolder()
    const broker = await EmbeddedBroker.open({ dataFolder })
    await assert.rejects(
      EmbeddedBroker.open({ dataFolder }),
      (error) => error instanceof SetupError && error.code === 'data-folder-in-use',
    )
    await broker.close()
    await (await EmbeddedBroker.open({ dataFolder })).close()
  })

  test('topics created at the same time get logs of their own', async () => {
    const broker = await openBroker()
    const names = Array.from({ length: 10 }, (_, i) => `topic-${i}`)
    await Promise.all(names.map((name) => broker.ensureTopics([{ ...topic, name, partitions: 1 }])))
    await broker.produce(names.map((name) => ({ topic: name, key: name, value: null })))
    for (const name of names)
      assert.deepEqual(
        (await broker.read(name, 0, 0, 100)).map(({ key }) => key),
        [name],
      )
    await broker.close()
  })

  test('a partition that a topic lacks is refused by name', async () => {
    const broker = await openBroker()
    const unknown = { code: 'unknown-partition' }
    await assert.rejects(broker.read('t', 2, 0, 1), unknown)
    await assert.rejects(
      broker.tail('t', 2, () => {}),
      unknown,
    )
    await assert.rejects(broker.seek('g', 't', 2, 0), unknown)
    await broker.close()
  })

  test('a batch holds about 2 MB of values however many records it may have', async () => {
    const broker = await openBroker()
    for (let i = 0; i < 5; i++) await broker.produce(records(8, 0, 128 * 1024))
    const sizes: number[] = []
    const done = signal()
    await broker.consume({
      group: 'g',
      topics: ['t'],
      maxRecords: 1000,
      from: 'earliest',
      async onBatch(batch) {
        sizes.push(batch.records.length)
        await batch.commit(batch.records.at(-1)!.offset + 1, [])
        if (sizes.reduce((sum, n) => sum + n) === 40) done.resolve()
        return { next: 'continue' }
      },
    })
    await inTime(done.promise, 'all records')
    assert.deepEqual(sizes, [16, 16, 8])
    await broker.close()
  })

  test('a transaction that throws half way undoes itself and not its neighbours', async () => {
    const root = openStore(temporaryFolder())
    const log = new BrokerLog(root, () => 0)
    await log.ensureTopics([topic])
    const [one, two, three] = ['1', '2', '3'].map((value) =>
      log.prepare([{ topic: 't', key: 'k', value: Buffer.from(value), partition: 0 }]),
    )
    const outcomes = await Promise.allSettled([
      log.transact(() => log.append(one!)),
      log.transact(() => {
        log.append(two!)
        throw new Error('half way')
      }),
      log.transact(() => log.append(three!)),
    ])
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    const values = log
      .read(log.topic('t'), 0, 0, 10)
      .map(({ offset, value }) => [offset, Buffer.from(value!).toString()])
    assert.deepEqual(values, [
      [0, '1'],
      [1, '3'],
    ])
    await root.close()
  })

  test('a commit from a batch that has ended is fenced', async () => {
    const broker = await openBroker()
    await broker.produce(records(2))
    const batches: Batch[] = []
    const outcome = signal<unknown>()
    await broker.consume({
      group: 'g',
      topics: ['t'],
      maxRecords: 1,
      from: 'earliest',
      async onBatch(batch) {
        batches.push(batch)
        if (batches.length === 2) outcome.resolve(await batches[0]!.commit(0, []).catch((error: unknown) => error))
        await batch.commit(batch.records[0]!.offset + 1, [])
        return { next: 'continue' }
      },
    })
    assert.ok((await inTime(outcome.promise, 'the late commit')) instanceof FencedError)
    await broker.close()
  })

  test('a new owner does not begin before the batch of the old one has ended', async () => {
    const broker = await openBroker()
    await broker.produce(records(1, 1))
    const [started, finish] = [signal(), signal()]
    const events: string[] = []
    const first = await broker.consume({
      group: 'g',
      topics: ['t'],
      maxRecords: 1,
      from: 'earliest',
      async onBatch() {
        events.push('old begins')
        started.resolve()
        await finish.promise
        events.push('old ends')
        return { next: 'continue' }
      },
    })
    await inTime(started.promise, 'the first batch')
    const second = await broker.consume({
      group: 'g',
      topics: ['t'],
      maxRecords: 1,
      from: 'earliest',
      async onBatch(batch) {
        events.push('new begins')
        await batch.commit(batch.records[0]!.offset + 1, [])
        return { next: 'continue' }
      },
    })
    assert.deepEqual(
      [first, second].map((consumer) => consumer.assignment().map(({ partition }) => partition)),
      [[0], [1]],
    )
    finish.resolve()
    await until(() => events.length === 3, 'the new owner')
    assert.deepEqual(events, ['old begins', 'old ends', 'new begins'])
    await broker.close()
  })

  test('partitions added to a topic reach the members that run', async () => {
    const broker = await openBroker()
    const consumer = await broker.consume({
      group: 'g',
      topics: ['t'],
      maxRecords: 1,
      from: 'earliest',
      onBatch: async () => ({ next: 'pause', forMs: 1000 }),
    })
    await broker.ensureTopics([{ ...topic, partitions: 4 }])
    assert.equal(consumer.assignment().length, 4)
    await broker.close()
  })

  test('a topic that holds records gets more partitions once an operator allows it', async () => {
    const broker = await openBroker()
    await broker.produce(records(1))
    await embeddedTopicAdmin(broker).addPartitions('t', 4)
    assert.deepEqual(await broker.topics(), [{ name: 't', partitions: 4 }])
    await broker.close()
  })

  test('a handler that never commits does not starve the rest of the process', async () => {
    const broker = await openBroker()
    await broker.produce(records(1))
    let deliveries = 0
    await broker.consume({
      group: 'g',
      topics: ['t'],
      maxRecords: 1,
      from: 'earliest',
      async onBatch() {
        deliveries++
        return { next: 'continue' }
      },
    })
    await until(() => deliveries > 10, 'deliveries while timers still run')
    await broker.close()
  })

  test('what a tail listener throws does not reach the producer', () => {
    const script = `
      import { EmbeddedBroker } from './adapters/embedded/broker.ts'
      const broker = await EmbeddedBroker.open({ dataFolder: ${JSON.stringify(temporaryFolder())} })
      await broker.ensureTopics([{ name: 't', partitions: 1, retention: { ms: 1000 }, maxRecordBytes: 1000 }])
      await broker.tail('t', 0, () => { throw new Error('of the listener') })
      process.on('uncaughtException', (error) => { process.stdout.write(error.message); process.exit(0) })
      await broker.produce([{ topic: 't', key: 'k', value: null }])
      process.stdout.write('produced, ')
      setTimeout(() => {}, 10_000)
    `
    const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: new URL('../../..', import.meta.url),
      encoding: 'utf8',
    })
    assert.equal(stdout, 'produced, of the listener')
  })
})
