/**
 * Confidence intervals by the percentile bootstrap over queries (Efron & Tibshirani 1993, ch. 13): queries are drawn with
 * repeats, each with its ranks in all pools that it was in. The tracks of the pools stay: what the interval covers is the
 * luck of the queries, not that of training; seeds of training tell that.
 */
import { seededRandom } from '../../model/random.ts'
import { InvalidRequestError } from '../../ports/errors.ts'
import { figuresOf, type PoolRanks, RECALL_AT, type RetrievalFigures, recallCurve } from './retrieval.ts'

export interface Interval {
  readonly value: number
  readonly low: number
  readonly high: number
}

export interface RetrievalIntervals {
  readonly recall: Readonly<Record<(typeof RECALL_AT)[number], Interval>>
  readonly medianRank: Interval
}

export interface BootstrapOptions {
  readonly resamples?: number
  readonly seed?: number
  /** 0.95 by default. */
  readonly confidence?: number
}

/** @returns the figures with their intervals. */
export function bootstrap(pools: readonly PoolRanks[], options: BootstrapOptions = {}): RetrievalIntervals {
  return intervals(pools, (weights) => figuresOf(pools, weights), options)
}

/** @returns first − second on the same queries in the same pools, paired. @throws InvalidRequestError 'not-paired' */
export function bootstrapDifference(
  first: readonly PoolRanks[],
  second: readonly PoolRanks[],
  options: BootstrapOptions = {},
): RetrievalIntervals {
  const paired =
    first.length === second.length &&
    first.every(({ queries }, pool) => {
      const others = second[pool]!.queries
      return queries.length === others.length && queries.every((query, place) => query === others[place])
    })
  if (!paired)
    throw new InvalidRequestError('not-paired', 'Two methods are compared on the same queries and pools only.')
  return intervals(first, (weights) => difference(figuresOf(first, weights), figuresOf(second, weights)), options)
}

/** @returns the share of the queries whose true track is among the first K, for K = 1 … most. */
export function bootstrapCurve(pools: readonly PoolRanks[], most: number, options: BootstrapOptions = {}): Interval[] {
  return resampled(pools, (weights) => recallCurve(pools, most, weights), options)
}

function intervals(
  pools: readonly PoolRanks[],
  statistic: (weights?: Uint32Array) => RetrievalFigures,
  options: BootstrapOptions,
): RetrievalIntervals {
  const values = (weights?: Uint32Array) => {
    const { recall, medianRank } = statistic(weights)
    return [recall[1], recall[5], recall[10], medianRank]
  }
  const [at1, at5, at10, medianRank] = resampled(pools, values, options) as [Interval, Interval, Interval, Interval]
  return { recall: { 1: at1, 5: at5, 10: at10 }, medianRank }
}

function resampled(
  pools: readonly PoolRanks[],
  statistic: (weights?: Uint32Array) => readonly number[],
  options: BootstrapOptions,
): Interval[] {
  return bootstrapItems([...new Set(pools.flatMap((pool) => [...pool.queries]))], statistic, options)
}

/**
 * @param items that are drawn, by their numbers. @param statistic of how often each is there, by its number; none means once.
 * @returns one interval a value of it
 */
export function bootstrapItems(
  items: readonly number[],
  statistic: (weights?: Uint32Array) => readonly number[],
  { resamples = 1000, seed = 0, confidence = 0.95 }: BootstrapOptions = {},
): Interval[] {
  const most = items.reduce((a, b) => Math.max(a, b), 0)
  const random = seededRandom(`bootstrap/${seed}`)
  const drawn = Array.from({ length: resamples }, () => {
    const weights = new Uint32Array(most + 1)
    for (let i = 0; i < items.length; i++) weights[items[Math.floor(random() * items.length)]!]! += 1
    return statistic(weights)
  })
  return statistic().map((value, i) => {
    const sorted = Float64Array.from(drawn, (values) => values[i]!).sort()
    const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!
    return { value, low: at((1 - confidence) / 2), high: at((1 + confidence) / 2) }
  })
}

function difference(first: RetrievalFigures, second: RetrievalFigures): RetrievalFigures {
  const recall = { 1: 0, 5: 0, 10: 0 }
  for (const k of RECALL_AT) recall[k] = first.recall[k] - second.recall[k]
  return { recall, medianRank: first.medianRank - second.medianRank }
}
