/**
 * What request and reply over topics costs on the embedded default: 10,000 synthetic tracks beside the samples.
 *
 *     npm run benchmark:request-reply
 *
 * Compares, in the same run: a search in the index alone, and the whole way through the topics and back, also beside
 * writes like those of ingestion. Prints a table; asserts nothing.
 */

import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { openProduct } from '../../cli/open-product.ts'
import { say, table } from '../../cli/terminal.ts'
import { openRecommendationClient } from '../../gateway/request-reply.ts'
import { seededRandom } from '../../model/random.ts'
import { unit } from '../../model/vector.ts'
import { loadConfig } from '../../runtime/config.ts'
import { musicFeatures } from '../../topics/topics.ts'
import { query } from '../support/query.ts'

const TRACKS = 10_000
const REQUESTS = 1_000
const WARM_UP = 100
/** About a track of three minutes. */
const FEATURE_BYTES = 64 * 1024

const folder = mkdtempSync(join(tmpdir(), 'cuestream-benchmark-'))
const logger = pino({ level: 'silent' })
const product = await openProduct(loadConfig({ env: {}, flags: { dataFolder: folder } }), {
  logger,
  stages: ['answer-recommendations'],
})
const client = await openRecommendationClient({
  ...product,
  registry: new Registry(),
  newId: randomUUID,
  replyPartition: 0,
  maxInFlight: 1_000,
})
try {
  const towers = await product.releases.current()
  const name = { release: towers.release, kind: 'music' } as const
  const random = seededRandom(1)
  const row = (i: number) => ({
    id: `synthetic-${i}`,
    vector: unit(Float32Array.from({ length: towers.dims }, () => random() - 0.5)),
    attributes: { bpm: 60 + Math.floor(random() * 120) },
  })
  for (let i = 0; i < TRACKS; i += 500)
    await product.index.upsert(
      name,
      Array.from({ length: 500 }, (_, j) => row(i + j)),
    )

  const asked = (i: number) => query({ text: `benchmark words number ${i % 50}` })
  const vectors = Array.from({ length: 50 }, (_, i) => row(-1 - i).vector)
  const direct = await measure((i) => product.index.search(name, vectors[i % 50]!, 10), 1)
  const single = await measure((i) => client.request(asked(i), 10_000), 1)
  const beside = await besideWrites(() => measure((i) => client.request(asked(i), 10_000), 1))
  const busy = await measure((i) => client.request(asked(i), 10_000), 16)
  const rows = [
    ['', 'p50 ms', 'p99 ms', 'p99 over direct, ms', 'requests/s'],
    line('index search alone', direct, direct),
    line('request and reply, one at a time', single, direct),
    line('request and reply, one at a time, beside writes', beside, direct),
    line('request and reply, 16 at a time', busy, direct),
  ]
  say(`${TRACKS} synthetic tracks, ${towers.dims} dims, ${REQUESTS} requests each, Node ${process.version}\n`)
  say(table(rows))
} finally {
  await client.close()
  await product.close()
  rmSync(folder, { recursive: true, force: true })
}

interface Figures {
  readonly p50: number
  readonly p99: number
  readonly perSecond: number
}

/** While feature sequences are written, each flushed to disk, one after the other. No stage reads them here. */
async function besideWrites<T>(work: () => Promise<T>): Promise<T> {
  const done = new AbortController()
  const write = async () => {
    const value = Buffer.alloc(FEATURE_BYTES, 7)
    while (!done.signal.aborted) await product.broker.produce([{ topic: musicFeatures.name, key: 'beside', value }])
  }
  const writes = write()
  const result = await work()
  done.abort()
  await writes
  return result
}

async function measure(work: (i: number) => Promise<unknown>, width: number): Promise<Figures> {
  for (let i = 0; i < WARM_UP; i++) await work(i)
  const times: number[] = []
  let next = 0
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < REQUESTS) {
        const i = next++
        const began = performance.now()
        await work(i)
        times.push(performance.now() - began)
      }
    }),
  )
  const seconds = (performance.now() - startedAt) / 1_000
  times.sort((a, b) => a - b)
  return {
    p50: times[Math.floor(REQUESTS * 0.5)]!,
    p99: times[Math.floor(REQUESTS * 0.99)]!,
    perSecond: REQUESTS / seconds,
  }
}

function line(name: string, figures: Figures, direct: Figures): string[] {
  const { p50, p99, perSecond } = figures
  return [name, p50.toFixed(2), p99.toFixed(2), (p99 - direct.p99).toFixed(2), perSecond.toFixed(0)]
}
