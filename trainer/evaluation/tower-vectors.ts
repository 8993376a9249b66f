/**
 * Pairs through the served towers of a release, for what is measured on a release as users meet it:
 *
 *     pairs ──▶ query tower, asked in one way ──▶ queries (n, D)     pairs ──▶ music tower ──▶ tracks (n, D)
 *
 * Row i of both is pair i, so `dotScores` and `evaluateRetrieval` take them as they are.
 */
import type { QueryInput, ReleaseTowers } from '../../ports/encoder.ts'
import { InvalidRequestError, ShapeError } from '../../ports/errors.ts'
import { type Pairs, sequenceOf, textVectorOf } from '../data/pairs.ts'

/** What a query is asked with. Words are the first wording of a pair's text. */
export const ASKS = ['video', 'video+text', 'text'] as const
export type Ask = (typeof ASKS)[number]

export interface TowerVectors {
  /** (n, dims) unit rows. */
  readonly queries: Float32Array
  /** (n, dims) unit rows. */
  readonly tracks: Float32Array
  readonly dims: number
}

/** How many vectors of all there are. */
export type OnVectors = (done: number, all: number) => void

/** @throws ShapeError naming the pair, for features that the towers refuse or vectors that are no unit vectors. */
export async function towerVectors(
  towers: ReleaseTowers,
  pairs: Pairs,
  ask: Ask,
  onProgress: OnVectors = () => {},
): Promise<TowerVectors> {
  const all = 2 * pairs.count
  const queries = await queryVectors(towers, pairs, ask, (done) => onProgress(done, all))
  const tracks = await trackVectors(towers, pairs, (done) => onProgress(pairs.count + done, all))
  return { queries, tracks, dims: towers.dims }
}

/** @returns (n, towers.dims). @throws as `towerVectors`; InvalidRequestError 'no-texts' where words are asked for */
export async function queryVectors(
  towers: ReleaseTowers,
  pairs: Pairs,
  ask: Ask,
  onProgress: OnVectors = () => {},
): Promise<Float32Array> {
  const { texts } = pairs
  if (ask !== 'video' && texts === undefined) {
    throw new InvalidRequestError(
      'no-texts',
      `These ${pairs.count} pairs have no texts to ask with; ask by video alone.`,
    )
  }
  return rowsOf(towers, pairs.videoIds, onProgress, (pair) => {
    const input: QueryInput = {
      video: ask === 'text' ? undefined : featuresOf(pairs.video, pair),
      text: ask === 'video' ? undefined : textVectorOf(texts!, pair),
    }
    return towers.query(input)
  })
}

/** Whole tracks. @returns (n, towers.dims). @throws as `towerVectors` */
export function trackVectors(
  towers: ReleaseTowers,
  pairs: Pairs,
  onProgress: OnVectors = () => {},
): Promise<Float32Array> {
  return rowsOf(towers, pairs.trackIds, onProgress, async (pair) => {
    const { whole } = await towers.music(featuresOf(pairs.music, pair))
    return whole
  })
}

async function rowsOf(
  { release, dims }: ReleaseTowers,
  ids: readonly string[],
  onProgress: OnVectors,
  vectorOf: (pair: number) => Promise<Float32Array>,
): Promise<Float32Array> {
  const rows = new Float32Array(ids.length * dims)
  for (const [pair, id] of ids.entries()) {
    let vector: Float32Array
    try {
      vector = await vectorOf(pair)
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error
      throw new ShapeError(`${id}, pair ${pair}: ${error.message}`, { cause: error })
    }
    const squared = vector.reduce((sum, value) => sum + value * value, 0)
    if (vector.length !== dims || !(Math.abs(squared - 1) <= UNIT_TOLERANCE)) {
      throw new ShapeError(
        `${id}, pair ${pair}: release ${release} gave ${vector.length} values of length ${Math.sqrt(squared)}, not a unit vector of ${dims}.`,
      )
    }
    rows.set(vector, pair * dims)
    onProgress(pair + 1, ids.length)
  }
  return rows
}

/** How far the squared length of a vector may be from 1. */
const UNIT_TOLERANCE = 1e-3

function featuresOf(sequences: Pairs['video'], pair: number) {
  const values = sequenceOf(sequences, pair)
  return { values, segments: values.length / sequences.dims, dims: sequences.dims }
}
