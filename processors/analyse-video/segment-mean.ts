/** Means of consecutive rows, `rowsPerSegment` at a time, without keeping the rows. */
export interface SegmentMean {
  /** @param rows (count, dims) row-major. */
  add(rows: Float32Array, count: number): void
  /** @returns (segments, dims); a last segment of fewer rows than a tenth of a full one is folded into the one before. */
  finish(): { values: Float32Array; segments: number; frames: number }
}

export function createSegmentMean(dims: number, rowsPerSegment: number): SegmentMean {
  const sums: Float64Array[] = []
  const counts: number[] = []
  let seen = 0
  return {
    add(rows, count) {
      for (let row = 0; row < count; row++, seen++) {
        const segment = Math.floor(seen / rowsPerSegment)
        sums[segment] ??= new Float64Array(dims)
        counts[segment] = (counts[segment] ?? 0) + 1
        const sum = sums[segment]!
        for (let column = 0; column < dims; column++) sum[column]! += rows[row * dims + column]!
      }
    },
    finish() {
      const last = sums.length - 1
      if (last > 0 && counts[last]! < rowsPerSegment / 10) {
        const tail = sums.pop()!
        const before = sums[last - 1]!
        for (let column = 0; column < dims; column++) before[column]! += tail[column]!
        counts[last - 1]! += counts.pop()!
      }
      const values = new Float32Array(sums.length * dims)
      for (const [segment, sum] of sums.entries()) {
        for (let column = 0; column < dims; column++) values[segment * dims + column] = sum[column]! / counts[segment]!
      }
      return { values, segments: sums.length, frames: seen }
    },
  }
}
