/**
 * How a search is asked, and its answer scored exactly.
 *
 *   graph     the HNSW graph; without a filter
 *   batches   the graph, further and further out, until enough rows pass the filter; where many do
 *   scan      all rows that pass, one by one: exact; where few do
 *
 * Scanning n rows costs about n × 0.4 µs at 256 dims, and batches about 2.7 µs for each row looked at in the graph, of which
 * n of N pass (tests/benchmark/vector-index-redis.ts). The engine would choose by upper bounds; we choose by a count in a
 * sample: one row of 256 has the token `sample`, so the count of the filter among those is quick and free of bias.
 */
import type { ChainableCommander } from 'ioredis'
import { dot } from '../../model/vector.ts'
import type { Hit } from '../../ports/vector-index.ts'
import { EVERY_ROW, SAMPLE_TOKEN, SAMPLED_OF } from './vector-index-filter.ts'
import { halfBytes, readVector } from './vector-index-vector.ts'

export type Plan =
  | { readonly policy: 'graph' | 'scan' }
  /** @param batchRows looked at in the graph at a time. */
  | { readonly policy: 'batches'; readonly batchRows: number }

/** More than asked are fetched and rescored: FLOAT16 may swap neighbours, and ties are cut by id. */
const EXTRA_ROWS = 32
/** Up to so many rows a scan takes no longer than asking how many match. */
export const ALWAYS_SCANNED = 5_000
/** In batches three times as many rows are looked at as should be needed: the farther out, the less the graph finds. */
const BATCH_MARGIN = 3
/** Of a row looked at in the graph, in rows scanned. */
const GRAPH_COST = 7

export function wantedRows(k: number): number {
  return k + EXTRA_ROWS
}

/** @param matches of `rows`, about. */
export function planSearch(options: { rows: number; matches: number; wanted: number; filtered: boolean }): Plan {
  const { rows, matches, wanted, filtered } = options
  const batchRows = Math.ceil((BATCH_MARGIN * wanted * rows) / Math.max(1, matches))
  if (matches <= ALWAYS_SCANNED || matches <= GRAPH_COST * batchRows) return { policy: 'scan' }
  return filtered ? { policy: 'batches', batchRows } : { policy: 'graph' }
}

/** @param filter a query of DIALECT 2, undefined for all rows. */
export function queueKnn(
  pipeline: ChainableCommander,
  options: {
    index: string
    vector: Float32Array
    rows: number
    plan: Plan
    filter: string | undefined
    efRuntime: number
    timeoutMs: number
  },
): void {
  const { index, vector, rows, plan, filter, efRuntime, timeoutMs } = options
  const among = plan.policy === 'graph' ? '*' : `(${filter ?? EVERY_ROW})`
  let how = 'HYBRID_POLICY ADHOC_BF'
  if (plan.policy === 'graph') how = `EF_RUNTIME ${efRuntime}`
  if (plan.policy === 'batches') how = `HYBRID_POLICY BATCHES BATCH_SIZE ${plan.batchRows} EF_RUNTIME ${efRuntime}`
  pipeline.callBuffer(
    'FT.SEARCH',
    index,
    `${among}=>[KNN ${rows} @h $vector ${how} AS distance]`,
    ...['PARAMS', '2', 'vector', halfBytes(vector)],
    ...['RETURN', '1', 'v', 'SORTBY', 'distance', 'LIMIT', '0', rows],
    ...['TIMEOUT', timeoutMs, 'DIALECT', '2'],
  )
}

/** Asks how many rows of the sample match. */
export function queueSampleCount(pipeline: ChainableCommander, index: string, filter: string, timeoutMs: number): void {
  const among = `@tags:{${SAMPLE_TOKEN}} ${filter}`
  pipeline.call('FT.SEARCH', index, among, 'LIMIT', '0', '0', 'TIMEOUT', timeoutMs, 'DIALECT', '2')
}

/** @returns how many rows match, about: within a sixth for one filter of two when 10,000 do. */
export function readSampleCount(reply: unknown): number {
  return (reply as [number])[0] * SAMPLED_OF
}

/** @param reply [total, key, [field, value], key, …] */
export function readHits(reply: unknown, keyPrefix: string, query: Float32Array): Hit[] {
  const [, ...found] = reply as [number, ...(Buffer | Buffer[])[]]
  const from = Buffer.byteLength(keyPrefix)
  const hits: Hit[] = []
  for (let i = 0; i < found.length; i += 2) {
    const key = found[i] as Buffer
    const [, bytes] = found[i + 1] as Buffer[]
    const score = dot(query, readVector(bytes!))
    hits.push({ id: key.toString('utf8', from), score: Math.min(1, Math.max(-1, score)) })
  }
  return hits.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
}

/** How many rows match a filter, about, as it was known a while ago. Bounded. */
export class MatchMemory {
  readonly #known = new Map<string, { matches: number; until: number }>()

  get(key: string, nowMs: number): number | undefined {
    const known = this.#known.get(key)
    return known !== undefined && known.until > nowMs ? known.matches : undefined
  }

  set(key: string, matches: number, nowMs: number): void {
    this.#known.delete(key)
    this.#known.set(key, { matches, until: nowMs + REMEMBERED_MS })
    if (this.#known.size > REMEMBERED_FILTERS) this.#known.delete(this.#known.keys().next().value!)
  }
}

const REMEMBERED_MS = 30_000
const REMEMBERED_FILTERS = 1_000
