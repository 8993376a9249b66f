/**
 * Ridge CCA, the linear baseline: the directions of queries x and of music y that correlate most in the training pairs.
 *
 *     T = Lx⁻¹ Cxy Ly⁻ᵀ,  Lx Lxᵀ = Cxx + ridge·I,  Ly Lyᵀ = Cyy + ridge·I,  T = U diag(ρ) Vᵀ
 *     x ↦ unit(diag(ρ^power) Uᵀ Lx⁻¹ x)      y ↦ unit(diag(ρ^power) Vᵀ Ly⁻¹ y)      score = their dot product
 *
 * Sources: Vinod 1976 (ridge); Gong et al. 2014, "A multi-view embedding space" (ρ^power and cosines). A query is the mean
 * of a video's segments, or that and its words as a multi-hot vector: the parts of its text between commas, centred and
 * divided by one deviation. Time grows with the cube of the widths: meant for about a thousand columns of queries and some
 * hundred of music.
 */
import { unit } from '../../model/vector.ts'
import type { InputStatistics } from '../../model/viml.ts'
import { meanRows, type Pairs, selectPairs } from '../data/pairs.ts'
import { splitPairs } from '../data/split.ts'
import { columnStatistics, withOneDeviation } from '../data/standardise.ts'
import {
  cholesky,
  crossMoments,
  type Matrix,
  product,
  solveLower,
  solveLowerTransposed,
  symmetricEigen,
  transposed,
} from './linear-algebra.ts'
import { evaluateRetrieval, figuresOf, type RetrievalFigures } from './retrieval.ts'
import { dotScores, type Scores } from './scores.ts'

export type RidgeCcaQuery = 'video' | 'video+words'

/**
 * What is done to the means of segments. 'columns': each column is standardised by its own mean and deviation.
 * 'directions': rows are made unit length, then centred and divided by one deviation, so that the ridge silences columns
 * that hardly vary.
 */
export type RidgeCcaInputs = 'columns' | 'directions'

export interface RidgeCcaSettings {
  readonly inputs: RidgeCcaInputs
  /** Added to the variances of the inputs, which are 1 in the mean. */
  readonly queryRidge: number
  readonly musicRidge: number
  /** Directions kept, or all where there are fewer. */
  readonly rank: number
  /** Of the correlation, as a direction's weight. */
  readonly power: number
}

export interface RidgeCca {
  readonly settings: RidgeCcaSettings
  /** ρ of all directions, descending. */
  readonly correlations: Float64Array
  /** @returns unit rows (n, dims) of these pairs, row-major. */
  vectors(pairs: Pairs): CcaVectors
  /** @returns of these pairs, each video against each track. */
  scores(pairs: Pairs): Scores
}

export interface CcaVectors {
  readonly dims: number
  readonly queries: Float32Array
  readonly tracks: Float32Array
}

/** Fits with given settings. */
export function fitRidgeCca(training: Pairs, query: RidgeCcaQuery, settings: RidgeCcaSettings): RidgeCca {
  const inputs = inputsOf(training, query, settings.inputs)
  const directions = directionsOf(momentsOf(inputs, training), settings)
  const vectors = (pairs: Pairs) => weighted(project(inputs, directions, pairs), directions, settings)
  return { settings, correlations: directions.correlations, vectors, scores: (pairs) => scoresOf(vectors(pairs)) }
}

export interface RidgeCcaGrid {
  readonly queryRidge: readonly number[]
  readonly musicRidge: readonly number[]
  readonly rank: readonly number[]
  readonly power: readonly number[]
}

const GRID: RidgeCcaGrid = {
  queryRidge: [0.3, 1, 3],
  musicRidge: [0.3, 1, 3, 10],
  rank: [64, 96, 128],
  power: [0.5, 1],
}
/** Share of the training pairs that asks, and how many of them ask each other at a time. */
const CHOOSING = { share: 0.25, pool: 500 }

export interface ChosenRidgeCca {
  readonly settings: RidgeCcaSettings
  /** On the training pairs that were kept for choosing. */
  readonly figures: RetrievalFigures
}

/**
 * @returns the settings of the grid with the highest mean of R@1, R@5 and R@10 when fitted on most of the training pairs
 * and asked by the rest of them, each once: no other pairs have a say.
 */
export function chooseRidgeCca(
  training: Pairs,
  query: RidgeCcaQuery,
  kind: RidgeCcaInputs = 'directions',
  grid: RidgeCcaGrid = GRID,
): ChosenRidgeCca {
  const split = splitPairs(training, { fit: 1 - CHOOSING.share, choose: CHOOSING.share }, 0)
  const fit = selectPairs(training, split.fit)
  const pools = poolsOf(training, split.choose)
  const inputs = inputsOf(fit, query, kind)
  const moments = momentsOf(inputs, fit)
  const tried: ChosenRidgeCca[] = []
  for (const queryRidge of grid.queryRidge) {
    for (const musicRidge of grid.musicRidge) {
      const directions = directionsOf(moments, { queryRidge, musicRidge })
      const projected = pools.map((pool) => ({ pool, projected: project(inputs, directions, pool) }))
      for (const rank of grid.rank) {
        for (const power of grid.power) {
          const settings = { inputs: kind, queryRidge, musicRidge, rank, power }
          const ranks = projected.flatMap(({ pool, projected }) => {
            const everyone = [Array.from({ length: pool.count }, (_, pair) => pair)]
            const scores = scoresOf(weighted(projected, directions, settings))
            return evaluateRetrieval(scores, pool.trackIds, everyone).pools
          })
          tried.push({ settings, figures: figuresOf(ranks) })
        }
      }
    }
  }
  const goodness = ({ figures: { recall } }: ChosenRidgeCca) => recall[1] + recall[5] + recall[10]
  return tried.reduce((best, other) => (goodness(other) > goodness(best) ? other : best))
}

/** @returns the chosen pairs in pools of about equal size, at least one. */
function poolsOf(training: Pairs, chosen: readonly number[]): Pairs[] {
  const count = Math.max(1, Math.round(chosen.length / CHOOSING.pool))
  return Array.from({ length: count }, (_, pool) =>
    selectPairs(
      training,
      chosen.filter((_, place) => place % count === pool),
    ),
  )
}

/** Columns of an input, made from pairs. */
interface Part {
  readonly statistics: InputStatistics
  /** @returns (n, columns) row-major. */
  rows(pairs: Pairs): Float32Array
}

interface Inputs {
  readonly query: readonly Part[]
  readonly music: readonly Part[]
}

function inputsOf(training: Pairs, query: RidgeCcaQuery, kind: RidgeCcaInputs): Inputs {
  const video = meansPart(training, 'video', kind)
  return {
    query: query === 'video' ? [video] : [video, wordsPart(training)],
    music: [meansPart(training, 'music', kind)],
  }
}

function meansPart(training: Pairs, side: 'video' | 'music', kind: RidgeCcaInputs): Part {
  const { dims } = training[side]
  if (kind === 'columns') {
    const rows = (pairs: Pairs) => meanRows(pairs[side])
    return { statistics: columnStatistics([rows(training)], dims), rows }
  }
  const rows = (pairs: Pairs) => {
    const means = meanRows(pairs[side])
    for (let at = 0; at < means.length; at += dims) means.set(unit(means.subarray(at, at + dims)), at)
    return means
  }
  return { statistics: withOneDeviation(columnStatistics([rows(training)], dims)), rows }
}

/** One column a word of the training texts: 1 where a pair's text has it. */
function wordsPart(training: Pairs): Part {
  const words = new Map<string, number>()
  for (let pair = 0; pair < training.count; pair++) {
    for (const word of wordsOf(training, pair)) if (!words.has(word)) words.set(word, words.size)
  }
  const rows = (pairs: Pairs) => {
    const hot = new Float32Array(pairs.count * words.size)
    for (let pair = 0; pair < pairs.count; pair++) {
      for (const word of wordsOf(pairs, pair)) if (words.has(word)) hot[pair * words.size + words.get(word)!] = 1
    }
    return hot
  }
  return { statistics: withOneDeviation(columnStatistics([rows(training)], words.size)), rows }
}

function wordsOf({ texts }: Pairs, pair: number): string[] {
  const text = texts?.strings[texts.rows[pair * texts.variants]!] ?? ''
  return text === '' ? [] : text.split(', ')
}

function standardised(parts: readonly Part[], pairs: Pairs): Matrix {
  const columns = parts.reduce((sum, { statistics }) => sum + statistics.mean.length, 0)
  const values = new Float64Array(pairs.count * columns)
  let start = 0
  for (const part of parts) {
    const { mean, deviation } = part.statistics
    const rows = part.rows(pairs)
    for (let i = 0; i < rows.length; i++) {
      const column = i % mean.length
      const at = ((i - column) / mean.length) * columns + start + column
      values[at] = (rows[i]! - mean[column]!) / deviation[column]!
    }
    start += mean.length
  }
  return { rows: pairs.count, columns, values }
}

/** Cxx, Cyy, Cxy. */
interface Moments {
  readonly xx: Matrix
  readonly yy: Matrix
  readonly xy: Matrix
}

function momentsOf(inputs: Inputs, training: Pairs): Moments {
  const x = standardised(inputs.query, training)
  const y = standardised(inputs.music, training)
  return { xx: crossMoments(x, x), yy: crossMoments(y, y), xy: crossMoments(x, y) }
}

interface Directions {
  readonly correlations: Float64Array
  /** (columns, directions) of each side. */
  readonly query: Matrix
  readonly music: Matrix
}

/** U and ρ come from the eigenvectors V of TᵀT: U diag(ρ) = TV. */
function directionsOf(
  { xx, yy, xy }: Moments,
  ridges: Pick<RidgeCcaSettings, 'queryRidge' | 'musicRidge'>,
): Directions {
  const lx = cholesky(xx, ridges.queryRidge)
  const ly = cholesky(yy, ridges.musicRidge)
  const t = transposed(solveLower(ly, transposed(solveLower(lx, xy))))
  const { eigenvalues, vectors } = symmetricEigen(product(transposed(t), t))
  const correlations = eigenvalues.map((value) => Math.sqrt(Math.max(0, value)))
  const u = product(t, vectors)
  for (let i = 0; i < u.values.length; i++) {
    const rho = correlations[i % u.columns]!
    u.values[i] = rho > LEAST_CORRELATION ? u.values[i]! / rho : 0
  }
  return { correlations, query: solveLowerTransposed(lx, u), music: solveLowerTransposed(ly, vectors) }
}

/** Below it a direction is rounding: eigenvalues are its square. */
const LEAST_CORRELATION = 1e-7

interface Projected {
  readonly query: Matrix
  readonly music: Matrix
}

function project(inputs: Inputs, { query, music }: Directions, pairs: Pairs): Projected {
  return {
    query: product(standardised(inputs.query, pairs), query),
    music: product(standardised(inputs.music, pairs), music),
  }
}

function weighted(
  { query, music }: Projected,
  { correlations }: Directions,
  { rank, power }: Pick<RidgeCcaSettings, 'rank' | 'power'>,
): CcaVectors {
  const dims = Math.min(rank, correlations.length)
  const weights = correlations.subarray(0, dims).map((rho) => rho ** power)
  return { dims, queries: unitRows(query, weights), tracks: unitRows(music, weights) }
}

function scoresOf({ dims, queries, tracks }: CcaVectors): Scores {
  return dotScores(queries, tracks, dims)
}

/** @returns the first columns, weighted, each row of length 1. */
function unitRows({ rows, columns, values }: Matrix, weights: Float64Array): Float32Array {
  const result = new Float32Array(rows * weights.length)
  for (let row = 0; row < rows; row++) {
    const one = unit(Float32Array.from(weights, (weight, column) => weight * values[row * columns + column]!))
    result.set(one, row * weights.length)
  }
  return result
}
