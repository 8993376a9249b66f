/**
 * What inputs are standardised by, from the training pairs alone: (x − mean) / deviation, saved with the model as
 * parameters that are not trained.
 *
 *     video, music   mean and standard deviation of each column, over all segments
 *     text           mean of each column, and one deviation for all: the mean of the columns' (their directions carry the
 *                    meaning, and columns that hardly vary would be noise made loud)
 *
 * A column that never changes has the deviation 1, so it becomes 0. The text statistics are over one variant of each pair
 * with a text; pairs without any say nothing of texts.
 */
import type { InputStatistics, Modality } from '../../model/viml.ts'
import { type Pairs, sequenceOf, textVectorOf } from './pairs.ts'

/** Below this share of the mean's size, a deviation is rounding. */
const ROUNDING = 1e-6

/** @returns statistics by modality; those of text are empty where pairs have no text vectors. */
export function inputStatistics(pairs: Pairs): Record<Modality, InputStatistics> {
  return {
    video: columnStatistics(sequenceRows(pairs, 'video'), pairs.video.dims),
    music: columnStatistics(sequenceRows(pairs, 'music'), pairs.music.dims),
    text: textStatistics(pairs),
  }
}

/** @param rows each (k, dims) row-major. Two passes in float64. */
export function columnStatistics(rows: readonly Float32Array[], dims: number): InputStatistics {
  const count = rows.reduce((sum, { length }) => sum + length, 0) / dims
  const mean = new Float64Array(dims)
  for (const part of rows) for (let i = 0; i < part.length; i++) mean[i % dims]! += part[i]! / count
  const squares = new Float64Array(dims)
  for (const part of rows) for (let i = 0; i < part.length; i++) squares[i % dims]! += (part[i]! - mean[i % dims]!) ** 2
  const deviation = Float32Array.from(squares, (sum, column) => {
    const root = Math.sqrt(sum / count)
    return root > ROUNDING * Math.abs(mean[column]!) ? root : 1
  })
  return { mean: Float32Array.from(mean), deviation }
}

function textStatistics({ texts, count }: Pairs): InputStatistics {
  const dims = texts?.dims ?? 0
  const worded = Array.from({ length: count }, (_, pair) => pair).filter((pair) => texts?.rows[pair * texts.variants])
  if (texts === undefined || dims === 0 || worded.length === 0) {
    return { mean: new Float32Array(dims), deviation: new Float32Array(dims).fill(1) }
  }
  return withOneDeviation(
    columnStatistics(
      worded.map((pair) => textVectorOf(texts, pair)),
      dims,
    ),
  )
}

/** All columns are divided by the mean of their deviations. */
export function withOneDeviation({ mean, deviation }: InputStatistics): InputStatistics {
  const one = deviation.reduce((sum, value) => sum + value, 0) / deviation.length
  return { mean, deviation: new Float32Array(deviation.length).fill(one) }
}

function sequenceRows(pairs: Pairs, side: 'video' | 'music'): Float32Array[] {
  return Array.from({ length: pairs.count }, (_, pair) => sequenceOf(pairs[side], pair))
}
