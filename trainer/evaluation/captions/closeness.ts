/**
 * How close texts of a method are to captions of people, by their text embeddings.
 *
 *   1. Distances between distributions: the captions are split into two halves by a seed. The method's texts for the
 *      tracks of one half stand against people's captions of the other, and so do people's own of the first half: that is
 *      the floor, which no method can be expected to go below. All have equal sizes and other tracks. Several splits tell
 *      the luck of the draw.
 *   2. Retrieval: a method's text asks for its caption among N captions of people, in pools drawn by the seed
 *      (retrieval.ts). Any caption with the same words is right.
 */
import { seededRandom, shuffled } from '../../../model/random.ts'
import { bootstrap, bootstrapCurve, type Interval, type RetrievalIntervals } from '../bootstrap.ts'
import { drawPools, evaluateRetrieval } from '../retrieval.ts'
import { dotScores } from '../scores.ts'
import { frechet, gaussianOf } from './frechet.ts'
import { medianDistance, squaredMmd } from './mmd.ts'

const SPLITS = 5
/** Vectors a side that MMD compares in each split: time grows with the square. */
const MMD_VECTORS = 1_000
const BANDWIDTH_VECTORS = 500
const POOLS = 10
const CURVE_TO = 100

/** Unit vectors of a set's texts, in the order of the captions; none where the set has no text. */
export type TextVectors = readonly (Float32Array | undefined)[]

export interface Distance {
  readonly mean: number
  readonly bySplit: readonly number[]
}

export interface Closeness {
  /** Vectors on each side. */
  readonly half: number
  /** None where a half has no more vectors than dimensions. */
  readonly frechet: Distance | undefined
  readonly mmd: Distance
}

export interface ClosenessMeter {
  /** Of people's captions to people's captions. */
  readonly floor: Closeness
  /** @returns none where fewer than two texts of a half are there. */
  of(vectors: TextVectors): Closeness | undefined
}

/** @param people (count, dims), four or more of them. */
export function closenessTo(
  people: readonly Float32Array[],
  { seed = 0, splits = SPLITS }: { seed?: number; splits?: number } = {},
): ClosenessMeter {
  const dims = people[0]!.length
  const everyone = Array.from(people, (_, i) => i)
  const some = shuffled(everyone, seededRandom(`bandwidth/${seed}`)).slice(0, BANDWIDTH_VECTORS)
  const sigma = medianDistance(gathered(people, some), dims)
  const halves = Array.from({ length: splits }, (_, split) => {
    const order = shuffled(everyone, seededRandom(`halves/${seed}/${split}`))
    const half = order.length >> 1
    const others = gathered(people, order.slice(half, 2 * half))
    return { asked: order.slice(0, half), others, gaussian: half > dims ? gaussianOf(others, dims) : undefined }
  })

  const of = (vectors: TextVectors): Closeness | undefined => {
    const sides = halves.map(({ asked }) => gathered(vectors, asked))
    const half = Math.min(...sides.map((side) => side.length / dims))
    if (half < 2) return undefined
    const first = (rows: Float32Array) => rows.subarray(0, MMD_VECTORS * dims)
    return {
      half,
      frechet:
        half > dims
          ? distance(halves.map(({ gaussian }, split) => frechet(gaussian!, gaussianOf(sides[split]!, dims))))
          : undefined,
      mmd: distance(halves.map(({ others }, split) => squaredMmd(first(sides[split]!), first(others), dims, sigma))),
    }
  }
  return { floor: of(people)!, of }
}

function distance(bySplit: readonly number[]): Distance {
  return { mean: bySplit.reduce((sum, value) => sum + value, 0) / bySplit.length, bySplit }
}

/** @returns (those that are there, dims) row-major. */
function gathered(vectors: TextVectors, order: readonly number[]): Float32Array {
  const rows = order.flatMap((i) => vectors[i] ?? [])
  const dims = rows[0]?.length ?? 0
  const values = new Float32Array(rows.length * dims)
  for (const [row, vector] of rows.entries()) values.set(vector, row * dims)
  return values
}

export interface CaptionRetrieval {
  /** N */
  readonly size: number
  readonly figures: RetrievalIntervals
  /** Recall at 1, 2 … */
  readonly curve: readonly Interval[]
}

/**
 * Texts that are not there do not ask, and their captions are in no pool.
 * @param captions of people, by which a hit is told. @param sizes of pools; those that the texts do not fill are left out.
 */
export function retrieveCaptions(
  vectors: TextVectors,
  people: readonly Float32Array[],
  captions: readonly string[],
  { sizes, seed = 0 }: { sizes: readonly number[]; seed?: number },
): CaptionRetrieval[] {
  const there = Array.from(people, (_, i) => i).filter((i) => vectors[i] !== undefined)
  const fit = sizes.filter((size) => size <= there.length)
  if (fit.length === 0) return []
  const scores = dotScores(gathered(vectors, there), gathered(people, there), people[0]!.length)
  const seeds = Array.from({ length: POOLS }, (_, pool) => seed * 1_000 + pool)
  // One pass over the scores for all sizes: a row of them takes most of the time.
  const pools = fit.map((size) => drawPools(there.length, size, seeds))
  const { pools: ranks } = evaluateRetrieval(
    scores,
    there.map((i) => captions[i]!),
    pools.flat(),
  )
  return fit.map((size, i) => {
    const own = ranks.slice(i * POOLS, (i + 1) * POOLS)
    return { size, figures: bootstrap(own), curve: bootstrapCurve(own, Math.min(CURVE_TO, size), { resamples: 200 }) }
  })
}
