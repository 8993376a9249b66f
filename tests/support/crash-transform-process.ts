/**
 * A child process that produces to `in` and turns each record into one of `out` by atomic commits, until it is killed.
 *
 * Lines it writes: `acknowledged <id>` for each input that produce() has answered. With the argument `drain` it
 * produces nothing, waits until the group has no lag, and ends. Arguments: data folder, flush of the topics, mode.
 */
import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { until } from '../conformance/deadline.ts'

const [dataFolder, flush, mode] = process.argv.slice(2)
const PARTITIONS = 3
const broker = await EmbeddedBroker.open({ dataFolder: dataFolder! })
const settings = {
  partitions: PARTITIONS,
  retention: { ms: 3_600_000 },
  maxRecordBytes: 100_000,
  flush: flush as NonNullable<TopicSettings['flush']>,
}
await broker.ensureTopics([
  { ...settings, name: 'in' },
  { ...settings, name: 'out' },
])

await broker.consume({
  group: 'transform',
  topics: ['in'],
  maxRecords: 7,
  from: 'earliest',
  async onBatch(batch) {
    const middle = Math.ceil(batch.records.length / 2)
    for (const part of [batch.records.slice(0, middle), batch.records.slice(middle)]) {
      const outputs = part.map(({ key, value }) => ({ topic: 'out', key, value }))
      if (part.length > 0) await batch.commit(part.at(-1)!.offset + 1, outputs)
    }
    return { next: 'continue' }
  },
})

if (mode === 'drain') {
  await until(async () => (await broker.lag('transform', ['in'])).every(({ lagRecords }) => lagRecords === 0), 'no lag')
  await broker.close()
} else {
  const run = process.pid
  for (let i = 0; ; i += 5) {
    const ids = Array.from({ length: 5 }, (_, n) => `${run}-${i + n}`)
    await broker.produce(ids.map((id) => ({ topic: 'in', key: id, value: Buffer.alloc(200, id) })))
    process.stdout.write(ids.map((id) => `acknowledged ${id}\n`).join(''))
  }
}
