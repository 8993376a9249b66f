/**
 * Symmetric InfoNCE (van den Oord et al. 2018) over the queries and tracks of one batch:
 *
 *     S = Q·Mᵀ / τ      L = −½ Σ_ij R_ij log softmax_j(S)_ij  −½ Σ_ij C_ij log softmax_i(S)_ij
 *
 * R and C hold what belongs together. With one track a query and equal weights both are the identity over B. Where a track
 * accompanies several videos of the batch each of them is right: a row of R shares its weight among them.
 */
import type { Ops } from '../model/ops.ts'

/** The parameter log(1/τ), where τ is learned. */
export const TEMPERATURE = 'temperature.log-inverse'

export interface Targets<T> {
  /** (B, B), rows: of each query, its tracks. Sums to 1 over all. */
  readonly rows: T
  /** (B, B), columns: of each track, its queries. Sums to 1 over all. */
  readonly columns: T
}

/**
 * @param queries (B, D) and tracks (B, D), unit.
 * @param temperature a number, or 'learned'.
 * @returns the loss, as (1, 1)
 */
export function infoNce<T>(
  ops: Ops<T>,
  queries: T,
  tracks: T,
  targets: Targets<T>,
  temperature: number | 'learned',
): T {
  const cosines = ops.matMul(queries, ops.transpose(tracks, [1, 0])) // (B, B)
  const scores =
    temperature === 'learned'
      ? ops.multiply(cosines, ops.exp(ops.parameter(TEMPERATURE)))
      : ops.affine(cosines, 1 / temperature)
  const byQuery = ops.multiply(ops.logSoftmax(scores), targets.rows)
  const byTrack = ops.multiply(ops.transpose(ops.logSoftmax(ops.transpose(scores, [1, 0])), [1, 0]), targets.columns)
  return ops.affine(ops.sum(ops.sum(ops.add(byQuery, byTrack), 0), 1), -0.5)
}

/**
 * @param trackIds of each pair of the batch: equal ones are one track.
 * @param weights of the pairs; all 1 if absent.
 */
export function targetsOf(
  trackIds: readonly string[],
  weights?: ArrayLike<number>,
): { rows: Float32Array; columns: Float32Array } {
  const size = trackIds.length
  const weightOf = (i: number) => weights?.[i] ?? 1
  const members = new Map<string, number[]>()
  for (const [i, id] of trackIds.entries()) members.set(id, [...(members.get(id) ?? []), i])
  let total = 0
  for (let i = 0; i < size; i++) total += weightOf(i)
  const rows = new Float32Array(size * size)
  const columns = new Float32Array(size * size)
  for (const same of members.values()) {
    for (const i of same) {
      for (const j of same) {
        rows[i * size + j] = weightOf(i) / total / same.length
        columns[i * size + j] = weightOf(j) / total / same.length
      }
    }
  }
  return { rows, columns }
}
