/**
 * An idle client of Kafka that counts the timers which it sets: `patched` by our adapter, or `plain` kafkajs.
 * Prints { timersPerSecond } once it has been idle for a while.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'

const [how, brokers, topic, group] = process.argv.slice(2) as [string, string, string, string]
const IDLE_MS = 3_000

let timers = 0
const setTimer = globalThis.setTimeout
globalThis.setTimeout = Object.assign((...args: Parameters<typeof setTimer>) => {
  timers++
  return setTimer(...args)
}, setTimer)

const idle = how === 'patched' ? await ours() : await plain()
await delay(1_000)
timers = 0
const since = performance.now()
await delay(IDLE_MS)
process.stdout.write(JSON.stringify({ timersPerSecond: Math.round((timers * 1000) / (performance.now() - since)) }))
await idle()
process.exit(0)

async function ours(): Promise<() => Promise<void>> {
  const { openKafkaBroker } = await import('../../adapters/kafka/broker.ts')
  const broker = await openKafkaBroker({ brokers: brokers.split(','), clientId: 'idle' })
  await broker.consume({
    group,
    topics: [topic],
    maxRecords: 10,
    from: 'latest',
    async onBatch(batch) {
      await batch.commit(batch.records.at(-1)!.offset + 1, [])
      return { next: 'continue' }
    },
  })
  await broker.tail(topic, 0, () => {})
  await broker.produce([{ topic, key: 'k', value: null }])
  return () => broker.close()
}

async function plain(): Promise<() => Promise<void>> {
  const kafka = new Kafka({ brokers: brokers.split(','), clientId: 'idle', logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: group })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic] })
  await consumer.run({ eachMessage: async () => {} })
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages: [{ key: 'k', value: null }] })
  return async () => {}
}
