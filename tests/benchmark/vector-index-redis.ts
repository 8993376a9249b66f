/**
 * Search in the Redis Query Engine through the port: times, recall, memory, CPU; still, beside writes and after them.
 *
 *     npm run benchmark:vector-search -- --rows 100000
 *
 * CPU is the server's, ms a search: what stays true on a machine that is shared. Clustered unit vectors of 256 dims
 * (tests/support/vectors.ts), queries from the same clusters, one search at a time.
 * Recall is against an exact scan here, in float32; the time to compare with is the engine's own exact scan. A tenth of the
 * rows is then changed, half in place and half removed and put back under other ids, while searches go on
 * (RediSearch#4672). Takes the Redis at REDIS_URL, else starts one; 1,000,000 rows need 5 GB there and 2 GB here.
 */
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { openRedisVectorIndex } from '../../adapters/redis/vector-index.ts'
import { queueKnn } from '../../adapters/redis/vector-index-search.ts'
import { say } from '../../cli/terminal.ts'
import { seededRandom } from '../../model/random.ts'
import type { Filter, IndexRow } from '../../ports/vector-index.ts'
import { startServices } from '../../services/start-services.ts'
import { eraseRedis } from '../support/erase-redis.ts'
import { clusterCentres, clusteredVectors } from '../support/vectors.ts'
import { quantile, readOptions, report } from './measure.ts'

const options = readOptions({ rows: 100_000, queries: 100, rounds: 3, seed: 1 })
const DIMS = 256
const CLUSTERS = Math.ceil(options.rows / 500)
const BATCH = 500
const CHURN_BATCH = 10
const CHANGED = 0.1
const BPM_VALUES = 1_000
const KS = [10, 100] as const

const random = seededRandom(options.seed)
const centres = clusterCentres({ dims: DIMS, clusters: CLUSTERS, random })
const draw = (count: number) => clusteredVectors({ count, dims: DIMS, clusters: CLUSTERS, centres, random })

/** Share of rows → tag that they have. */
const shares: Readonly<Record<string, number>> = { rare: 0.001, narrow: 0.025, wide: 0.27, most: 0.9 }
const matrix = new Float32Array(options.rows * DIMS)
const ids: string[] = []
const tags: ReadonlySet<string>[] = []
const bpm = new Uint16Array(options.rows)
const queries = draw(options.queries)

interface Case {
  readonly label: string
  filter(query: number): Filter
  passes(row: number, query: number): boolean
}
/** Another range for every query, so that nothing is known of it. */
const bpmFrom = (query: number) => (query * 37) % (BPM_VALUES - 25)
const cases: readonly Case[] = [
  { label: 'no filter', filter: () => [], passes: () => true },
  ...Object.entries(shares).map(([tag, share]) => ({
    label: `${share * 100} %`,
    filter: () => [{ field: 'tag', anyOf: [tag] }],
    passes: (row: number) => tags[row]!.has(tag),
  })),
  {
    label: '2.5 %, a new range each',
    filter: (query) => [{ field: 'bpm', min: bpmFrom(query), max: bpmFrom(query) + 24 }],
    passes: (row, query) => bpm[row]! >= bpmFrom(query) && bpm[row]! < bpmFrom(query) + 25,
  },
]

const services = await startServices({ want: ['redis'], progress: say })
const keyPrefix = `benchmark-${randomUUID()}:`
const url = services.redisUrl
const redis = new Redis(url, { protocol: 2 })
const index = await openRedisVectorIndex({
  url,
  keyPrefix,
  onError(error) {
    throw error
  },
})
const name = { release: 'benchmark', kind: 'music' } as const
try {
  await measure()
} finally {
  await index.close()
  if (services.rung === 'given') await eraseRedis(url, keyPrefix)
  redis.disconnect()
  await services.stop()
}

async function measure(): Promise<void> {
  await index.create(name, DIMS)
  const before = await server()
  const growth = [['rows', 'no filter p50', 'p99', 'CPU']]
  let loadMs = 0
  for (let from = 0; from < options.rows; from += BATCH) {
    const rows = newRows(from, Math.min(BATCH, options.rows - from))
    const start = performance.now()
    await index.upsert(name, rows)
    loadMs += performance.now() - start
    const loaded = from + rows.length
    if (Number.isInteger(Math.log10(loaded)) && loaded >= 10_000) {
      const { ms, cpuMs } = await searches(cases[0]!, 10)
      growth.push([String(loaded), ...quantiles(ms), cpuMs.toFixed(2)])
    }
  }
  const after = await server()
  report(
    `Vector search in Redis: ${options.rows} rows of ${DIMS} dims, ${options.queries} queries × ${options.rounds}, ` +
      `Redis by '${services.rung}'; ms`,
    growth,
    {
      rows: options.rows,
      load_rows_per_s: options.rows / (loadMs / 1_000),
      load_cpu_s: after.cpuSeconds - before.cpuSeconds,
      bytes_per_row: (after.bytes - before.bytes) / options.rows,
    },
  )

  const scan = await engineScan()
  const columns = KS.flatMap((k) => [`k ${k} p50`, 'p99', 'CPU', `recall@${k}`])
  const table = [['filter', 'rows', ...columns, 'exact scan p50 / p50']]
  const truth = exact()
  const figures: Record<string, number> = { exact_scan_p50_ms: quantile(scan, 0.5) }
  for (const [c, each] of cases.entries()) {
    const cells = [each.label, String(await index.count(name, each.filter(0)))]
    let p50 = Number.NaN
    for (const k of KS) {
      const { ms, found, cpuMs } = await searches(each, k)
      if (k === 10) p50 = quantile(ms, 0.5)
      const recall = recallOf(found, truth[c]!, k)
      cells.push(...quantiles(ms), cpuMs.toFixed(2), recall.toFixed(4))
      figures[`recall_${k}_${c}`] = recall
    }
    table.push([...cells, (quantile(scan, 0.5) / p50).toFixed(1)])
  }
  report('\nStill', table, figures)
  await churn()
}

/** Half of the rows that change keep their id. */
async function churn(): Promise<void> {
  const changed = Math.floor(options.rows * CHANGED)
  const order = Array.from({ length: changed }, () => Math.floor(random() * options.rows))
  const unfiltered = cases[0]!
  const still = await searches(unfiltered, 10)
  let writing = true
  let writeMs = 0
  const writer = (async () => {
    for (let from = 0; from < changed; from += CHURN_BATCH) {
      const some = [...new Set(order.slice(from, from + CHURN_BATCH))]
      const vectors = draw(some.length)
      const removed: string[] = []
      const rows = some.map((row, i) => {
        if (i % 2 === 1) {
          removed.push(ids[row]!)
          ids[row] = `row-${row}-${randomUUID()}`
        }
        matrix.set(vectors[i]!, row * DIMS)
        return rowAt(row)
      })
      const start = performance.now()
      await index.remove(name, removed)
      await index.upsert(name, rows)
      writeMs += performance.now() - start
    }
    writing = false
  })()
  const beside: number[] = []
  while (writing) beside.push(...(await searches(unfiltered, 10, 1)).ms)
  await writer
  const later = await searches(unfiltered, 10)
  const [truth] = exact([unfiltered])
  const recall = recallOf(later.found, truth!, 10)
  report(
    `\n${changed} rows changed, one writer beside one reader; no filter, k 10`,
    [
      ['', 'p50', 'p99'],
      ['before', ...quantiles(still.ms)],
      ['beside the writes', ...quantiles(beside)],
      ['after', ...quantiles(later.ms)],
    ],
    { changed_rows_per_s: changed / (writeMs / 1_000), recall_10_after: recall },
  )
}

async function searches(each: Case, k: number, rounds = options.rounds) {
  const ms: number[] = []
  const found: string[][] = []
  const { cpuSeconds } = await server()
  for (let round = 0; round < rounds; round++) {
    for (const [q, query] of queries.entries()) {
      const start = performance.now()
      const hits = await index.search(name, query, k, each.filter(q))
      ms.push(performance.now() - start)
      found[q] = hits.map(({ id }) => id)
    }
  }
  const cpuMs = (((await server()).cpuSeconds - cpuSeconds) / ms.length) * 1_000
  return { ms, found, cpuMs }
}

/** The engine scores every row, as a FLAT index would. */
async function engineScan(): Promise<number[]> {
  const ms: number[] = []
  for (const vector of queries.slice(0, 30)) {
    const pipeline = redis.pipeline()
    const alias = `${keyPrefix}serving:music/benchmark`
    queueKnn(pipeline, {
      index: alias,
      vector,
      rows: 10,
      plan: { policy: 'scan' },
      filter: undefined,
      efRuntime: 10,
      timeoutMs: 60_000,
    })
    const start = performance.now()
    await pipeline.exec()
    ms.push(performance.now() - start)
  }
  return ms
}

/** @returns for each case and query the best ids, best first. */
function exact(which: readonly Case[] = cases): string[][][] {
  const most = Math.max(...KS)
  return which.map((each) =>
    queries.map((query, q) => {
      const best: { row: number; score: number }[] = []
      for (let row = 0; row < options.rows; row++) {
        if (!each.passes(row, q)) continue
        const score = dotAt(row, query)
        if (best.length === most && score <= best[most - 1]!.score) continue
        let at = best.length
        while (at > 0 && best[at - 1]!.score < score) at--
        best.splice(at, 0, { row, score })
        if (best.length > most) best.pop()
      }
      return best.map(({ row }) => ids[row]!)
    }),
  )
}

function dotAt(row: number, query: Float32Array): number {
  const from = row * DIMS
  let a = 0
  let b = 0
  for (let i = 0; i < DIMS; i += 2) {
    a += matrix[from + i]! * query[i]!
    b += matrix[from + i + 1]! * query[i + 1]!
  }
  return a + b
}

function recallOf(found: readonly string[][], truth: readonly string[][], k: number): number {
  let shared = 0
  let wanted = 0
  for (const [q, best] of truth.entries()) {
    const expected = new Set(best.slice(0, k))
    wanted += expected.size
    for (const id of found[q]!) if (expected.has(id)) shared++
  }
  return shared / wanted
}

function newRows(from: number, count: number): IndexRow[] {
  return draw(count).map((vector, i) => {
    const row = from + i
    matrix.set(vector, row * DIMS)
    ids[row] = `row-${row}`
    tags[row] = new Set(Object.keys(shares).filter((tag) => random() < shares[tag]!))
    bpm[row] = Math.floor(random() * BPM_VALUES)
    return rowAt(row)
  })
}

function rowAt(row: number): IndexRow {
  const vector = matrix.slice(row * DIMS, (row + 1) * DIMS)
  return { id: ids[row]!, vector, attributes: { tag: [...tags[row]!], bpm: bpm[row]! } }
}

async function server(): Promise<{ bytes: number; cpuSeconds: number }> {
  const info = await redis.info()
  const value = (key: string) => Number(new RegExp(`^${key}:([0-9.]+)`, 'm').exec(info)![1])
  return { bytes: value('used_memory'), cpuSeconds: value('used_cpu_user') + value('used_cpu_sys') }
}

function quantiles(ms: readonly number[]): [string, string] {
  return [quantile(ms, 0.5).toFixed(2), quantile(ms, 0.99).toFixed(2)]
}
