/** Scores of queries against tracks, a row at a time, so that memory stays small however many there are. */
import { InvalidRequestError, ShapeError } from '../../ports/errors.ts'

export interface Scores {
  readonly queries: number
  readonly tracks: number
  /** @returns (tracks,) of one query; the caller does not keep it. */
  row(query: number): Float32Array
}

/** Dot products; cosines where both are unit rows. @param queries (n, dims) @param tracks (m, dims), both row-major. */
export function dotScores(queries: Float32Array, tracks: Float32Array, dims: number): Scores {
  if (queries.length % dims !== 0 || tracks.length % dims !== 0) {
    throw new ShapeError(`${queries.length} and ${tracks.length} values are not rows of ${dims}.`)
  }
  const count = tracks.length / dims
  return {
    queries: queries.length / dims,
    tracks: count,
    row(query) {
      const row = new Float32Array(count)
      const from = query * dims
      for (let track = 0, at = 0; track < count; track++) {
        let sum = 0
        for (let i = 0; i < dims; i++) sum += queries[from + i]! * tracks[at++]!
        row[track] = sum
      }
      return row
    },
  }
}

/** An ensemble: (1 − a) · first + a · second. */
export function combine(first: Scores, second: Scores, a: number): Scores {
  const { queries, tracks } = first
  if (queries !== second.queries || tracks !== second.tracks) {
    throw new InvalidRequestError(
      'bad-ensemble',
      `Scores of ${queries} × ${tracks} and ${second.queries} × ${second.tracks} cannot be combined.`,
    )
  }
  return {
    queries,
    tracks,
    row(query) {
      const others = second.row(query)
      return first.row(query).map((score, track) => (1 - a) * score + a * others[track]!)
    },
  }
}
