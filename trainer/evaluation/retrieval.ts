/**
 * Retrieval as the paper measures it (McKee et al. 2023, §5): each video of a pool asks for its own track among the pool's.
 *
 * A pool is N pairs, drawn at random without repeats under a seed; each of its pairs asks once. Figures are means over
 * pools. Rules:
 *   1. Any track of the pool with the id of the true one is a hit; the rank is that of the best.
 *   2. A tie counts against us: every other track with the same score ranks before the true one. How many queries that
 *      touched is told.
 *   3. A score that is not finite is an error, not a bad rank.
 */
import { seededRandom, shuffled } from '../../model/random.ts'
import { InvalidRequestError, ShapeError } from '../../ports/errors.ts'
import { combine, type Scores } from './scores.ts'

export const RECALL_AT = [1, 5, 10] as const
export type RecallAt = (typeof RECALL_AT)[number]

export interface RetrievalFigures {
  /** Share of the queries, 0 … 1, whose true track is among the first K. */
  readonly recall: Readonly<Record<RecallAt, number>>
  readonly medianRank: number
}

/** Ranks of the true tracks in one pool. */
export interface PoolRanks {
  /** The pairs that asked. */
  readonly queries: Uint32Array
  /** From 1, in the order of `queries`. */
  readonly ranks: Uint32Array
}

export interface RetrievalResult {
  readonly figures: RetrievalFigures
  readonly pools: readonly PoolRanks[]
  /** Share of the queries that tied with another track. */
  readonly tiedShare: number
}

/** Pairs of each pool. */
export type Pools = readonly (readonly number[])[]

/** @param count of pairs. @param size N. @param seeds one a pool. @throws InvalidRequestError 'pool-too-large' */
export function drawPools(count: number, size: number, seeds: readonly number[] = tenSeeds): Pools {
  if (!Number.isInteger(size) || size < 1 || size > count) {
    throw new InvalidRequestError('pool-too-large', `A pool of ${size} cannot be drawn from ${count} pairs.`)
  }
  const pairs = Array.from({ length: count }, (_, pair) => pair)
  return seeds.map((seed) => shuffled(pairs, seededRandom(`pool/${seed}`)).slice(0, size))
}

/** Sizes of pools that the pairs fill. @throws InvalidRequestError 'pool-too-large' where none does. */
export function sizesThatFit(sizes: readonly number[], count: number): { fit: number[]; leftOut: number[] } {
  const fit = sizes.filter((size) => size <= count)
  if (fit.length === 0) {
    throw new InvalidRequestError(
      'pool-too-large',
      `Pools of ${sizes.join(', ')} are larger than the ${count} pairs; ask for smaller ones.`,
    )
  }
  return { fit, leftOut: sizes.filter((size) => size > count) }
}

const tenSeeds = Array.from({ length: 10 }, (_, seed) => seed)

/** @param trackIds of each pair: pair i is query i and track i of the scores. */
export function evaluateRetrieval(scores: Scores, trackIds: readonly string[], pools: Pools): RetrievalResult {
  if (scores.queries !== trackIds.length || scores.tracks !== trackIds.length) {
    throw new ShapeError(`Scores of ${scores.queries} × ${scores.tracks} are not of ${trackIds.length} pairs.`)
  }
  const ranks = pools.map((pool) => ({ queries: Uint32Array.from(pool), ranks: new Uint32Array(pool.length) }))
  const placesByQuery = new Map<number, { pool: number; place: number }[]>()
  for (const [pool, pairs] of pools.entries()) {
    for (const [place, pair] of pairs.entries()) {
      const places = placesByQuery.get(pair)
      if (places === undefined) placesByQuery.set(pair, [{ pool, place }])
      else places.push({ pool, place })
    }
  }
  let tied = 0
  for (const [query, places] of placesByQuery) {
    const row = scores.row(query)
    if (!row.every(Number.isFinite)) throw new ShapeError(`The scores of query ${query} are not finite.`)
    for (const { pool, place } of places) {
      const { rank, ties } = rankOf(row, pools[pool]!, trackIds, trackIds[query]!)
      ranks[pool]!.ranks[place] = rank
      if (ties > 0) tied++
    }
  }
  const asked = pools.reduce((sum, pool) => sum + pool.length, 0)
  return { figures: figuresOf(ranks), pools: ranks, tiedShare: tied / asked }
}

/** Rules 1 and 2. */
function rankOf(
  row: Float32Array,
  pool: readonly number[],
  trackIds: readonly string[],
  wanted: string,
): { rank: number; ties: number } {
  let best = Number.NEGATIVE_INFINITY
  for (const pair of pool) if (trackIds[pair] === wanted && row[pair]! > best) best = row[pair]!
  let better = 0
  let ties = 0
  for (const pair of pool) {
    if (row[pair]! < best || trackIds[pair] === wanted) continue
    if (row[pair] === best) ties++
    else better++
  }
  return { rank: 1 + better + ties, ties }
}

/** @param weightOf a query: how often it counts; once by default. Pools without any weight are left out. */
export function figuresOf(pools: readonly PoolRanks[], weightOf?: ArrayLike<number>): RetrievalFigures {
  const recall = { 1: 0, 5: 0, 10: 0 }
  let medianRank = 0
  let counted = 0
  for (const pool of pools) {
    const { byRank, total } = countsOf(pool, weightOf)
    if (total === 0) continue
    counted++
    for (const k of RECALL_AT) recall[k] += byRank.subarray(0, k + 1).reduce((sum, value) => sum + value, 0) / total
    medianRank += medianOf(byRank, total)
  }
  for (const k of RECALL_AT) recall[k] /= counted
  return { recall, medianRank: medianRank / counted }
}

/** @returns the recall at 1 … most, each in [0, 1]. @param weightOf as of `figuresOf` */
export function recallCurve(pools: readonly PoolRanks[], most: number, weightOf?: ArrayLike<number>): number[] {
  const curve = new Array<number>(most).fill(0)
  let counted = 0
  for (const pool of pools) {
    const { byRank, total } = countsOf(pool, weightOf)
    if (total === 0) continue
    counted++
    for (let k = 1, found = 0; k <= most; k++) {
      found += byRank[k] ?? 0
      curve[k - 1]! += found / total
    }
  }
  return curve.map((sum) => sum / counted)
}

/** Queries by their rank, weighed: the bootstrap asks for it some ten thousand times. */
function countsOf(
  { queries, ranks }: PoolRanks,
  weightOf?: ArrayLike<number>,
): { byRank: Float64Array; total: number } {
  let most: number = RECALL_AT.at(-1)!
  for (let place = 0; place < ranks.length; place++) most = Math.max(most, ranks[place]!)
  const byRank = new Float64Array(most + 1)
  let total = 0
  for (let place = 0; place < ranks.length; place++) {
    const weight = weightOf === undefined ? 1 : weightOf[queries[place]!]!
    byRank[ranks[place]!]! += weight
    total += weight
  }
  return { byRank, total }
}

/** Mean of the two in the middle where the count is even. */
function medianOf(byRank: Float64Array, total: number): number {
  let below = 0
  let lower: number | undefined
  for (let rank = 0; rank < byRank.length; rank++) {
    below += byRank[rank]!
    if (lower === undefined && below > 0 && below >= total / 2) lower = rank
    if (below > total / 2) return (lower! + rank) / 2
  }
  return lower!
}

export interface TunedWeight {
  readonly a: number
  readonly figures: RetrievalFigures
}

/**
 * The a of `combine` with the highest mean of R@1, R@5 and R@10 on pairs that were kept for it; the least of equals.
 * @param steps of a, by default 0, 0.05 … 1.
 */
export function tuneWeight(
  first: Scores,
  second: Scores,
  trackIds: readonly string[],
  pools: Pools,
  steps: readonly number[] = Array.from({ length: 21 }, (_, step) => step / 20),
): TunedWeight {
  const goodness = ({ figures: { recall } }: TunedWeight) => recall[1] + recall[5] + recall[10]
  return steps
    .map((a) => ({ a, figures: evaluateRetrieval(combine(first, second, a), trackIds, pools).figures }))
    .reduce((best, other) => (goodness(other) > goodness(best) ? other : best))
}

/** @returns the figures by name, `<name>.recallAt10` and so on, as manifests have them. */
export function namedFigures(name: string, { recall, medianRank }: RetrievalFigures): [string, number][] {
  return [
    ...RECALL_AT.map((k): [string, number] => [`${name}.recallAt${k}`, recall[k]]),
    [`${name}.medianRank`, medianRank],
  ]
}
