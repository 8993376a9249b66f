/** What users of kafkajs complain of, each shown not to happen here, against a real broker. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Consumer } from '../../ports/broker.ts'
import { freePort } from '../../services/ports.ts'
import { type Services, startServices } from '../../services/start-services.ts'
import { inTime, signal, until } from '../conformance/deadline.ts'
import { testServices } from '../support/services.ts'
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts'
import { copy, everythingIn, newTopic, record, testBroker, text } from './kafka-fixtures.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))

test('tulios/kafkajs#1603: one folder stands on kafkajs, so that it can be replaced when nobody keeps it any more', () => {
  const folders = readdirSync(repository, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !['node_modules', 'tests', 'web'].includes(entry.name))
    .filter(({ name }) => !name.startsWith('.'))
  const files = folders.flatMap(({ name }) =>
    readdirSync(join(repository, name), { recursive: true, encoding: 'utf8' }).map((file) => join(name, file)),
  )
  const sources = files.filter((file) => file.endsWith('.ts'))
  assert.ok(sources.length > 100, `only ${sources.length} sources were seen`)
  const naming = sources.filter((file) =>
    /['"]kafkajs(\/[^'"]*)?['"]/.test(readFileSync(join(repository, file), 'utf8')),
  )
  assert.ok(naming.length > 0)
  // The list of vendors in the import check names it too.
  assert.deepEqual(
    naming.filter((file) => !file.startsWith(join('adapters', 'kafka'))),
    [],
  )
})

test('tulios/kafkajs#1751, #1768: an idle client does not spin and prints no TimeoutNegativeWarning', async (t) => {
  const broker = await testBroker(t)
  const topic = await newTopic(broker)
  const { kafkaBrokers } = await testServices()
  const script = fileURLToPath(new URL('kafka-idle-process.ts', import.meta.url))
  const idle = async (how: 'patched' | 'plain') => {
    const args = ['--trace-warnings', '--import', 'tsx', script, how, kafkaBrokers.join(), topic, randomUUID()]
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args)
    return { ...(JSON.parse(stdout) as { timersPerSecond: number }), stderr }
  }
  const [patched, plain] = [await idle('patched'), await idle('plain')]
  t.diagnostic(`${patched.timersPerSecond} timers a second, without the patch ${plain.timersPerSecond}`)
  assert.doesNotMatch(patched.stderr, /TimeoutNegativeWarning/)
  assert.ok(patched.timersPerSecond < 30, `${patched.timersPerSecond} timers a second`)
  assert.ok(plain.timersPerSecond > 200, 'kafkajs no longer spins by itself: the patch can go')
})

test('tulios/kafkajs#922: members that come and go under load, all partitions changing hands, double and lose nothing', async (t) => {
  const broker = await testBroker(t)
  const [from, to] = [await newTopic(broker, { partitions: 6 }), await newTopic(broker, { partitions: 6 })]
  const group = randomUUID()
  const members: Consumer[] = []
  const join = async () => void members.push(await copy(broker, { group, from, to, maxRecords: 3 }))
  const sent: string[] = []
  const send = async () => {
    const values = Array.from({ length: 60 }, (_, i) => `${sent.length + i}`)
    sent.push(...values)
    await broker.produce(values.map((value) => record(from, value)))
  }
  const settled = () => {
    const owned = members.flatMap((member) => member.assignment())
    return owned.length === 6 && members.every((member) => member.assignment().length > 0)
  }
  await join()
  for (let round = 0; round < 4; round++) {
    await Promise.all([send(), join()])
    await until(settled, 'the partitions to be shared out')
    await Promise.all([send(), round % 2 === 0 ? join() : members.shift()!.stop()])
    await until(settled, 'the partitions to be shared out')
  }
  await until(async () => {
    const lags = await broker.lag(group, [from])
    return lags.every(({ lagRecords }) => lagRecords === 0)
  }, 'all to be copied')
  await Promise.all(members.map((member) => member.stop()))
  const copied = (await everythingIn(broker, to)).map(text)
  assert.deepEqual(copied.toSorted(), sent.toSorted())
})

test('tulios/kafkajs#430: a hundred transactions, one right after the other, commit outputs and offsets', async (t) => {
  const broker = await testBroker(t)
  const [from, to] = [await newTopic(broker), await newTopic(broker, { partitions: 3 })]
  const group = randomUUID()
  const values = Array.from({ length: 100 }, (_, i) => `${i}`)
  await broker.produce(values.map((value) => record(from, value)))
  const failures: unknown[] = []
  let commits = 0
  const done = signal()
  const copier = await copy(
    broker,
    { group, from, to, maxRecords: 1 },
    () => {},
    (error) => {
      if (error !== undefined) failures.push(error)
      if (++commits === 100) done.resolve()
    },
  )
  await inTime(done.promise, 'a hundred commits')
  await copier.stop()
  assert.deepEqual(failures, [])
  assert.deepEqual((await everythingIn(broker, to)).map(text).sort(), values.toSorted())
  assert.equal((await broker.lag(group, [from]))[0]!.lagRecords, 0)
})

test('tulios/kafkajs#1593: once stop() was called nothing more is consumed, whatever was fetched already', async (t) => {
  const broker = await testBroker(t)
  const topic = await newTopic(broker, { partitions: 4 })
  await broker.produce(Array.from({ length: 400 }, (_, i) => record(topic, `${i}`)))
  let stopped = false
  let handled = 0
  const late: string[] = []
  const many = signal()
  const consumer = await broker.consume({
    group: randomUUID(),
    topics: [topic],
    maxRecords: 1,
    from: 'earliest',
    async onBatch(batch) {
      if (stopped) late.push(...batch.records.map(text))
      if (++handled === 20) many.resolve()
      await batch.commit(batch.records[0]!.offset + 1, [])
      return { next: 'continue' }
    },
  })
  await inTime(many.promise, 'some batches')
  const end = consumer.stop()
  stopped = true
  await inTime(end, 'stop')
  await inTime(consumer.ended, 'the end')
  assert.deepEqual(late, [])
  assert.ok(handled < 400, 'there was nothing left to be stopped from')
})

describe('around rebalances and outages', () => {
  let services: Services
  let proxy: TcpProxy
  let address: string
  before(async () => {
    const port = await freePort()
    proxy = await tcpProxy({ host: '127.0.0.1', port })
    address = `127.0.0.1:${proxy.port}`
    services = await startServices({
      want: ['kafka'],
      rungs: ['docker', 'local'],
      ports: { kafka: port },
      kafkaSettings: { 'advertised.listeners': `PLAINTEXT://${address}`, 'group.min.session.timeout.ms': '1000' },
    })
  })
  after(async () => {
    await services?.stop()
    await proxy?.close()
  })

  for (const [thread, fault, strike, mend] of [
    ['#659', 'the group has forgotten it', () => proxy.blackhole(true), () => proxy.blackhole(false)],
    ['#1441', 'the connections were reset again and again', () => proxy.cut(), () => proxy.restore()],
  ] as const) {
    test(`tulios/kafkajs${thread}: a consumer goes on when ${fault}`, async (t) => {
      const broker = await testBroker(t, { brokers: [address], sessionTimeoutMs: 1_500 })
      const topic = await newTopic(broker, { partitions: 2 })
      const seen: string[] = []
      let isEnded = false
      const group = randomUUID()
      const consumer = await broker.consume({
        group,
        topics: [topic],
        maxRecords: 10,
        from: 'earliest',
        async onBatch(batch) {
          await batch.commit(batch.records.at(-1)!.offset + 1, [])
          seen.push(...batch.records.map(text))
          return { next: 'continue' }
        },
      })
      consumer.ended.then(
        () => (isEnded = true),
        () => (isEnded = true),
      )
      for (let round = 1; round <= 3; round++) {
        const before = seen.length
        await broker.produce([0, 1].map((partition) => record(topic, `${round}`, { partition })))
        await until(() => seen.length === before + 2, `round ${round}`)
        strike()
        await until(() => consumer.assignment().length === 0, 'the member to give up its partitions')
        mend()
        await until(() => consumer.assignment().length === 2, 'the member to be back')
      }
      assert.equal(isEnded, false)
    })
  }

  test('tulios/kafkajs#558: a consumer goes on when Kafka was killed and started again, and nothing acknowledged is lost', async (t) => {
    const broker = await testBroker(t, { brokers: [address], sessionTimeoutMs: 6_000, deliveryTimeoutMs: 60_000 })
    const [from, to] = [await newTopic(broker, { partitions: 3 }), await newTopic(broker, { partitions: 3 })]
    const copier = await copy(broker, { group: randomUUID(), from, to, maxRecords: 5 })
    const acknowledged: string[] = []
    const send = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const value = randomUUID()
        await broker.produce([record(from, value)])
        acknowledged.push(value)
      }
    }
    await send(100)
    const sending = send(100)
    await services.kafka.kill('SIGKILL')
    await services.kafka.start()
    await sending
    await until(async () => {
      const copied = new Set((await everythingIn(broker, to)).map(text))
      return acknowledged.every((value) => copied.has(value))
    }, 'all that was acknowledged to be copied')
    const copied = (await everythingIn(broker, to)).map(text)
    assert.equal(new Set(copied).size, copied.length, 'copied twice')
    assert.equal((await everythingIn(broker, from)).length, 200)
    await copier.stop()
  })
})
