/** Members that stop, die and come back in the middle of a transaction, against a real broker. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { Broker } from '../../ports/broker.ts'
import { inTime, signal, until } from '../conformance/deadline.ts'
import { testServices } from '../support/services.ts'
import { copy, everythingIn, newTopic, record, spawnCopier, testBroker, text, untilRead } from './kafka-fixtures.ts'

const SESSION_MS = 6_000
/** 64 MB in 64 requests: long enough to be met on the way. */
const LONG = { padding: 64, paddingBytes: 1_000_000 }

async function inTransaction(t: TestContext, broker: Broker, inputs: readonly string[]) {
  const { kafkaBrokers: brokers } = await testServices()
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
  const broker = await testBroker(t, { sessionTimeoutMs: SESSION_MS })
  const { member, options, to } = await inTransaction(t, broker, ['1', '2', '3'])
  member.kill('SIGKILL')
  const next = await copy(broker, options)
  const written = await untilRead(broker, to, 3, 'the work of the killed member')
  await next.stop()
  assert.deepEqual(written.map(text), ['1', '2', '3'])
})

test('a member that was stopped in a transaction and wakes up when another has its partition commits nothing', async (t) => {
  const broker = await testBroker(t, { sessionTimeoutMs: SESSION_MS })
  const { member, options, to } = await inTransaction(t, broker, ['1', '2', '3'])
  const next = await copy(broker, options)
  await untilRead(broker, to, 3, 'the work of the stopped member')
  member.kill('SIGCONT')
  await member.says('failed fenced')
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
  const broker = await testBroker(t, { sessionTimeoutMs: SESSION_MS })
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
