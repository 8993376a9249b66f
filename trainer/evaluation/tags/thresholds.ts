/**
 * From which confidence a tag is claimed, for one category.
 *
 *   [base rate]  the least threshold at which no more tags a track are claimed than musicians name in a description. It
 *                bounds over-claiming. It says nothing of whether the right ones are claimed.
 *   [labels]     where tracks are labelled, the threshold with the best F1 over pairs of track and tag.
 *   [both]       labels may raise the threshold of the base rate, and never lower it; fewer than LEAST_LABELLED tracks
 *                say nothing.
 */
import { seededRandom } from '../../../model/random.ts'

/** Thresholds that are tried. */
export const GRID: readonly number[] = Array.from({ length: 97 }, (_, i) => (i + 2) / 100)
/** Labelled tracks of a category from which their F1 has a say. */
export const LEAST_LABELLED = 30

export interface LabelledTrack {
  /** Confidences of all tags. */
  readonly confidences: Float32Array
  /** Columns of the tags that are right. */
  readonly right: ReadonlySet<number>
  /** Columns that count neither way. */
  readonly either: ReadonlySet<number>
}

export interface LabelScore {
  readonly threshold: number
  /** 1 where nothing is claimed. */
  readonly precision: number
  readonly recall: number
  readonly f1: number
}

export interface BaseRate {
  readonly threshold: number
  /** 'met'; or no threshold claims so many, or every one claims more. */
  readonly state: 'met' | 'always-fewer' | 'always-more'
}

/** @returns tags of `columns` claimed by a track, by threshold of GRID. */
export function claimCounts(confidences: Float32Array, columns: readonly number[]): number[] {
  return GRID.map((threshold) => claimedOf(confidences, columns, threshold))
}

export function claimedOf(confidences: Float32Array, columns: readonly number[], threshold: number): number {
  return columns.filter((column) => confidences[column]! >= threshold).length
}

/** @param counts by track, as claimCounts. @returns their mean by threshold; it never rises. */
export function claimCurve(counts: readonly (readonly number[])[]): number[] {
  return GRID.map((_, i) => mean(counts.map((row) => row[i]!)))
}

/** [base rate] @param curve tags claimed a track, by threshold. @param named tags a description. */
export function matchBaseRate(curve: readonly number[], named: number): BaseRate {
  const at = curve.findIndex((claimed) => claimed <= named)
  if (at === -1) return { threshold: GRID.at(-1)!, state: 'always-more' }
  return { threshold: GRID[at]!, state: at === 0 && curve[0]! < named ? 'always-fewer' : 'met' }
}

/** The luck of the tracks and of the descriptions, both drawn anew. @returns 95 % of the thresholds. */
export function baseRateInterval(
  counts: readonly (readonly number[])[],
  named: readonly number[],
  { resamples = 400, seed = 0 }: { resamples?: number; seed?: number } = {},
): readonly [low: number, high: number] {
  const random = seededRandom(`base-rate/${seed}`)
  const draw = <T>(items: readonly T[]) => items.map(() => items[Math.floor(random() * items.length)]!)
  const thresholds = Array.from(
    { length: resamples },
    () => matchBaseRate(claimCurve(draw(counts)), mean(draw(named))).threshold,
  ).sort((a, b) => a - b)
  const at = (share: number) => thresholds[Math.min(resamples - 1, Math.floor(share * resamples))]!
  return [at(0.025), at(0.975)]
}

/** Over all pairs of a labelled track and a tag of the category. @param threshold of GRID or another. */
export function labelScore(
  tracks: readonly LabelledTrack[],
  columns: readonly number[],
  threshold: number,
): LabelScore {
  let [claimed, right, wanted] = [0, 0, 0]
  for (const track of tracks) {
    for (const column of columns) {
      if (track.either.has(column)) continue
      const isRight = track.right.has(column)
      const isClaimed = track.confidences[column]! >= threshold
      if (isRight) wanted++
      if (isClaimed) claimed++
      if (isRight && isClaimed) right++
    }
  }
  const precision = claimed === 0 ? 1 : right / claimed
  const recall = wanted === 0 ? 1 : right / wanted
  return { threshold, precision, recall, f1: claimed + wanted === 0 ? 1 : (2 * right) / (claimed + wanted) }
}

export function labelCurve(tracks: readonly LabelledTrack[], columns: readonly number[]): LabelScore[] {
  return GRID.map((threshold) => labelScore(tracks, columns, threshold))
}

/** @returns the best F1; of equal ones that of the highest threshold. */
export function bestScore(curve: readonly LabelScore[]): LabelScore {
  return curve.reduce((best, one) => (one.f1 >= best.f1 ? one : best))
}

/** [both] @param best of `labelled` tracks; undefined without any. */
export function reconcile(baseRate: number, best: number | undefined, labelled: number): number {
  return best === undefined || labelled < LEAST_LABELLED ? baseRate : Math.max(baseRate, best)
}

export function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
}
