/**
 * How a search is asked, and its answer scored exactly.
 *
 * Three ways: the graph (no filter), the graph in batches until enough rows pass the filter (many do), or all rows that
 * pass, one by one (few do: exact). Which one is known from how many rows match, which is asked first and remembered for
 * a while, because the engine's own choice takes estimates for counts.
 */
import type { ChainableCommander } from 'ioredis'
import { dot } from '../../model/vector.ts'
import type { Hit } from '../../ports/vector-index.ts'
import { EVERY_ROW } from './vector-index-filter.ts'
import { halfBytes, readVector } from './vector-index-vector.ts'

export type Policy = 'graph' | 'batches' | 'scan'

/** Up to so many matching rows all are scored: some 2 ms at 256 dims. */
export const SCAN_MATCHES = 10_000
/** More than asked are fetched and rescored: FLOAT16 may swap neighbours, and ties are cut by id. */
const EXTRA_ROWS = 32

export function wantedRows(k: number): number {
  return k + EXTRA_ROWS + Math.ceil(k / 2)
}

/** @param filter a query of DIALECT 2, undefined for all rows. */
export function queueKnn(
  pipeline: ChainableCommander,
  options: {
    index: string
    vector: Float32Array
    rows: number
    policy: Policy
    filter: string | undefined
    efRuntime: number
    timeoutMs: number
  },
): void {
  const { index, vector, rows, policy, filter, efRuntime, timeoutMs } = options
  const how = {
    graph: `EF_RUNTIME ${efRuntime}`,
    batches: `HYBRID_POLICY BATCHES EF_RUNTIME ${efRuntime}`,
    scan: 'HYBRID_POLICY ADHOC_BF',
  }
  const among = policy === 'graph' ? '*' : `(${filter ?? EVERY_ROW})`
  pipeline.callBuffer(
    'FT.SEARCH',
    index,
    `${among}=>[KNN ${rows} @h $vector ${how[policy]} AS distance]`,
    ...['PARAMS', '2', 'vector', halfBytes(vector)],
    ...['RETURN', '1', 'v', 'SORTBY', 'distance', 'LIMIT', '0', rows],
    ...['TIMEOUT', timeoutMs, 'DIALECT', '2'],
  )
}

/** Asks whether more than SCAN_MATCHES rows match, and stops counting there. */
export function queueProbe(pipeline: ChainableCommander, index: string, filter: string, timeoutMs: number): void {
  pipeline.call('FT.AGGREGATE', index, filter, 'LIMIT', SCAN_MATCHES, '1', 'TIMEOUT', timeoutMs, 'DIALECT', '2')
}

export function readProbe(reply: unknown): 'few' | 'many' {
  return (reply as unknown[]).length > 1 ? 'many' : 'few'
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

/** What is known of filters for a while: whether few rows match. Bounded. */
export class MatchMemory {
  readonly #known = new Map<string, { matches: 'few' | 'many'; until: number }>()

  get(key: string, now: number): 'few' | 'many' | undefined {
    const known = this.#known.get(key)
    return known !== undefined && known.until > now ? known.matches : undefined
  }

  set(key: string, matches: 'few' | 'many', now: number): void {
    this.#known.delete(key)
    this.#known.set(key, { matches, until: now + REMEMBERED_MS })
    if (this.#known.size > REMEMBERED_FILTERS) this.#known.delete(this.#known.keys().next().value!)
  }
}

const REMEMBERED_MS = 30_000
const REMEMBERED_FILTERS = 1_000
