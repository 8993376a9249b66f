/** Confidences of any stretch of a track, from those of its segments: a segment, a clip of 10 or 30 s, the whole. */

export interface Stretch {
  readonly startSeconds: number
  readonly seconds: number
}

/**
 * The mean of the segments, each by the time that it shares with the stretch. Where none shares any (a stretch of no
 * length, or past the end) it is the mean of the segments whose middle is nearest.
 *
 * @param confidences (segments, tags) row-major.
 * @returns (tags,); empty if there are no segments.
 */
export function aggregate(confidences: Float32Array, segments: readonly Stretch[], stretch: Stretch): Float32Array {
  const tags = segments.length === 0 ? 0 : confidences.length / segments.length
  if (!Number.isInteger(tags)) {
    throw new RangeError(`${confidences.length} confidences are not ${segments.length} rows of equal length.`)
  }
  const shared = segments.map((segment) => overlapSeconds(segment, stretch))
  const longest = Math.max(0, ...shared)
  const weights = longest > 0 ? shared.map((seconds) => seconds / longest) : nearest(segments, stretch)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return Float32Array.from({ length: tags }, (_, tag) => {
    let sum = 0
    for (const [row, weight] of weights.entries()) sum += weight * confidences[row * tags + tag]!
    return sum / total
  })
}

function overlapSeconds(a: Stretch, b: Stretch): number {
  const end = Math.min(a.startSeconds + a.seconds, b.startSeconds + b.seconds)
  return Math.max(0, end - Math.max(a.startSeconds, b.startSeconds))
}

/** 1 for the segments whose middle is nearest to that of the stretch, 0 for the others. */
function nearest(segments: readonly Stretch[], stretch: Stretch): number[] {
  const middle = (one: Stretch) => one.startSeconds + one.seconds / 2
  const distances = segments.map((segment) => Math.abs(middle(segment) - middle(stretch)))
  const least = Math.min(...distances)
  return distances.map((distance) => (distance === least ? 1 : 0))
}
