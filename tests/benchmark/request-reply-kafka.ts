/**
 * What request and reply over Kafka costs: a query through both topics and back, against one bare FT.SEARCH for as many
 * tracks in the same index, with the same search effort. The product fetches more candidates than asked, rescores them
 * exactly and counts all matches besides.
 *
 *     npm run benchmark:request-reply-kafka -- [--tracks 10000] [--seconds 8] [--rounds 4] [--instances 1]
 *
 * Each round measures the capacity first (64 at a time, in a closed loop). Then queries arrive as a Poisson process at
 * 25, 50 and 80 % of it, whether or not those before were answered, and latencies count from the intended time. Both sides
 * get the same arrivals, by turns; figures are medians over the rounds. `busy` is the share of the machine's CPU time that
 * was used meanwhile, by whatever. `--instances 0` answers in this process, which also asks; else so many processes of
 * their own answer.
 */
import { randomUUID } from 'node:crypto'
import { cpus } from 'node:os'
import { Redis } from 'ioredis'
import { Registry } from 'prom-client'
import { halfBytes } from '../../adapters/redis/vector-index-vector.ts'
import { openRecommendationClient } from '../../gateway/request-reply.ts'
import { seededRandom } from '../../model/random.ts'
import { unit } from '../../model/vector.ts'
import { query } from '../support/query.ts'
import { closedLoop, median, openLoopMs, poissonArrivals, quantile, readOptions, report } from './measure.ts'
import { openServiceProduct } from './service-product.ts'

const options = readOptions({ tracks: 10_000, seconds: 8, rounds: 4, instances: '1', seed: 1 })
const LIMIT = 10
/** As the product searches. */
const EF_RUNTIME = 200
const DEADLINE_MS = 30_000
const QUERIES = 50
/** Until the compilers of Java and of Node have done their work. */
const WARM_SECONDS = 15
const loads = [0.25, 0.5, 0.8]
const shares = { p50: 0.5, p99: 0.99, p999: 0.999 }
const stage = 'answer-recommendations'
const instances = Number(options.instances)

const { product, close } = await openServiceProduct({
  stages: instances === 0 ? [stage] : [],
  layout: instances === 0 ? {} : { [stage]: instances },
})
const redis = new Redis(product.config.redisUrl!, { protocol: 2 })
const client = await openRecommendationClient({
  ...product,
  registry: new Registry(),
  newId: randomUUID,
  replyPartition: 0,
  maxInFlight: 100_000,
})
try {
  const towers = await product.releases.current()
  const name = { release: towers.release, kind: 'music' } as const
  const random = seededRandom(options.seed)
  const vector = () => unit(Float32Array.from({ length: towers.dims }, () => random() - 0.5))
  for (let from = 0; from < options.tracks; from += 500) {
    const count = Math.min(500, options.tracks - from)
    const rows = Array.from({ length: count }, (_, i) => ({
      id: `track-${from + i}`,
      vector: vector(),
      attributes: {},
    }))
    await product.index.upsert(name, rows)
  }
  const vectors = Array.from({ length: QUERIES }, () => halfBytes(vector()))
  const index = await indexName()
  const knn = `*=>[KNN ${LIMIT} @h $vector EF_RUNTIME ${EF_RUNTIME} AS distance]`
  const shape = ['SORTBY', 'distance', 'LIMIT', '0', LIMIT, 'RETURN', '1', 'distance', 'DIALECT', '2']
  const sides = {
    direct: (i: number) =>
      redis.call('FT.SEARCH', index, knn, 'PARAMS', '2', 'vector', vectors[i % QUERIES]!, ...shape),
    product: (i: number) => client.request(asked(i), DEADLINE_MS),
  }
  for (const work of Object.values(sides)) await closedLoop({ width: 16, seconds: WARM_SECONDS, work })

  const capacities: number[] = []
  const measured = new Map<string, number[][]>()
  const busy = new Map<string, number[]>()
  for (let round = 0; round < options.rounds; round++) {
    const capacity = await closedLoop({ width: 64, seconds: 3, work: sides.product })
    capacities.push(capacity)
    for (const load of loads) {
      const arrivals = poissonArrivals(load * capacity, options.seconds, random)
      for (const side of ['direct', 'product'] as const) {
        const key = `${side}_${load * 100}`
        const before = cpuTime()
        measured.set(key, [...(measured.get(key) ?? []), await openLoopMs(arrivals, sides[side])])
        const { used, all } = cpuTime()
        busy.set(key, [...(busy.get(key) ?? []), (used - before.used) / (all - before.all)])
      }
    }
  }

  const capacity = median(capacities)
  const rows = [['load', 'requests/s', 'side', ...Object.keys(shares).map((share) => `${share} ms`), 'busy']]
  const figures: Record<string, number> = { capacity }
  for (const load of loads) {
    for (const side of ['direct', 'product'] as const) {
      const key = `${side}_${load * 100}`
      const ms = Object.values(shares).map((share) => {
        return median(measured.get(key)!.map((round) => quantile(round, share)))
      })
      const share = `${Math.round(median(busy.get(key)!) * 100)} %`
      rows.push([`${load * 100} %`, (load * capacity).toFixed(0), side, ...ms.map((each) => each.toFixed(1)), share])
      for (const [i, share] of Object.keys(shares).entries()) figures[`${key}_${share}_ms`] = ms[i]!
    }
  }
  const allowedMs = 1.5 * figures.direct_50_p99_ms! + 15
  figures.allowed_50_p99_ms = allowedMs
  report(
    `${options.tracks} tracks, ${towers.dims} dims; target: p99 at 50 % at most ${allowedMs.toFixed(1)} ms`,
    rows,
    figures,
  )
} finally {
  await client.close()
  redis.disconnect()
  await close()
}

/** Of all cores since the machine began, ms. */
function cpuTime(): { used: number; all: number } {
  const times = cpus().flatMap((cpu) => Object.entries(cpu.times))
  const sum = (some: typeof times) => some.reduce((total, [, ms]) => total + ms, 0)
  return { used: sum(times.filter(([name]) => name !== 'idle')), all: sum(times) }
}

/** The product's, of the music. */
async function indexName(): Promise<string> {
  const names = (await redis.call('FT._LIST')) as string[]
  for (const name of names.filter((each) => each.startsWith(product.config.redisKeyPrefix))) {
    const info = (await redis.call('FT.INFO', name)) as unknown[]
    if (Number(info[info.indexOf('num_docs') + 1]) === options.tracks) return name
  }
  throw new Error('The index of the music is not there')
}

const asked = (i: number) => query({ text: `benchmark words number ${i % QUERIES}`, limit: LIMIT })
