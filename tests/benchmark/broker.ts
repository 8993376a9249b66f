/**
 * Throughput and latency of the embedded broker: `node --import tsx tests/benchmark/broker.ts [--no-fsync]`.
 * Uses a folder under the system's temporary one, whose disk sets the figures. Prints a table, asserts nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import type { Batch } from '../../ports/broker.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'

const RECORDS = 100_000
const RECORD_BYTES = 1024
const PRODUCE_BATCH = 500
const ROUND_TRIPS = 2_000

const dataFolder = mkdtempSync(join(tmpdir(), 'cuestream-benchmark-'))
const broker = await EmbeddedBroker.open({ dataFolder, fsync: !process.argv.includes('--no-fsync') })
const settings = { partitions: 6, retention: { ms: 3_600_000 }, maxRecordBytes: 1024 * 1024 }
const flushes = ['at-once', 'by-os'] as const
await broker.ensureTopics([
  { ...settings, name: 'bulk' },
  ...flushes.flatMap((flush) =>
    ['requests', 'replies'].map((name) => ({ ...settings, name: `${name} ${flush}`, flush })),
  ),
])

try {
  const rows = [await produceAll(), await consumeAll()]
  for (const flush of flushes) {
    rows.push(...(await roundTrips(1, flush)), ...(await roundTrips(20, flush)))
    rows.push(...(await besideWrites(() => roundTrips(1, flush, ', beside writes'))))
  }
  const width = Math.max(...rows.map(([what]) => what.length)) + 2
  process.stdout.write(`${rows.map(([what, figure]) => what.padEnd(width) + figure).join('\n')}\n`)
} finally {
  await broker.close()
  rmSync(dataFolder, { recursive: true })
}

type Row = [what: string, figure: string]

async function produceAll(): Promise<Row> {
  const value = Buffer.alloc(RECORD_BYTES, 7)
  const begun = performance.now()
  for (let i = 0; i < RECORDS; i += PRODUCE_BATCH) {
    await broker.produce(
      Array.from({ length: PRODUCE_BATCH }, (_, n) => ({ topic: 'bulk', key: `track-${i + n}`, value })),
    )
  }
  return [`produce ${RECORDS} × 1 KiB by ${PRODUCE_BATCH}`, rate(begun)]
}

async function consumeAll(): Promise<Row> {
  const begun = performance.now()
  await new Promise<void>((done, fail) => {
    let left = RECORDS
    const onBatch = async (batch: Batch) => {
      await batch.commit(batch.records.at(-1)!.offset + 1, [])
      left -= batch.records.length
      if (left === 0) done()
      return { next: 'continue' } as const
    }
    broker.consume({ group: 'bulk', topics: ['bulk'], maxRecords: 500, from: 'earliest', onBatch }).catch(fail)
  })
  return ['consume and commit them by 500', rate(begun)]
}

/** While others write to a topic that is flushed at once, as ingestion does. */
async function besideWrites<T>(work: () => Promise<T>): Promise<T> {
  const done = new AbortController()
  const write = async () => {
    const value = Buffer.alloc(64 * RECORD_BYTES, 7)
    while (!done.signal.aborted) await broker.produce([{ topic: 'bulk', key: 'beside', value }])
  }
  const writes = write()
  const result = await work()
  done.abort()
  await writes
  return result
}

/** produce a request → consume it → commit its answer with the offset → tail the answer; `atOnce` of them at a time. */
async function roundTrips(atOnce: number, flush: TopicSettings['flush'], beside = ''): Promise<Row[]> {
  const [requests, replies] = [`requests ${flush}`, `replies ${flush}`]
  const waiting = new Map<string, () => void>()
  const tail = await broker.tail(replies, 0, (record) => waiting.get(record.key!)?.())
  const consumer = await broker.consume({
    group: 'answer',
    topics: [requests],
    maxRecords: 16,
    from: 'latest',
    async onBatch(batch) {
      const answers = batch.records.map(({ key, value }) => ({ topic: replies, partition: 0, key, value }))
      await batch.commit(batch.records.at(-1)!.offset + 1, answers)
      return { next: 'continue' }
    },
  })
  const value = Buffer.alloc(RECORD_BYTES, 7)
  const latenciesMs: number[] = []
  let next = 0
  const worker = async () => {
    while (next < ROUND_TRIPS) {
      const key = `${atOnce}-${next++}`
      const begun = performance.now()
      const answered = new Promise<void>((resolve) => waiting.set(key, resolve))
      await broker.produce([{ topic: requests, key, value }])
      await answered
      waiting.delete(key)
      latenciesMs.push(performance.now() - begun)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  await consumer.stop()
  await tail.stop()
  latenciesMs.sort((a, b) => a - b)
  const at = (share: number) => `${latenciesMs[Math.floor((latenciesMs.length - 1) * share)]!.toFixed(2)} ms`
  const what = `request and reply flushed ${flush}, ${atOnce} at a time${beside}`
  return [[`${what}, p50`, at(0.5)] as Row, [`${what}, p99`, at(0.99)] as Row]
}

function rate(begun: number): string {
  return `${Math.round((RECORDS / (performance.now() - begun)) * 1000).toLocaleString('en')} records/s`
}
