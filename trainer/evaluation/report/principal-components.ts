/** Rows in two dimensions: along the two directions in which they vary most (Pearson 1901). */
import { crossMoments, type Matrix, symmetricEigen } from '../linear-algebra.ts'

export interface Plane {
  /** Share of the variance, 0 … 1, that the plane shows. */
  readonly share: number
  /** @param vector (dims,). @returns where it lies, with the rows' mean at (0, 0). */
  place(vector: Float32Array): readonly [x: number, y: number]
}

/** @param rows (n, dims) row-major. Signs are such that the largest part of a direction is positive. */
export function principalPlane(rows: Float32Array, dims: number): Plane {
  const count = rows.length / dims
  const mean = new Float64Array(dims)
  for (let i = 0; i < rows.length; i++) mean[i % dims]! += rows[i]! / count
  const centred: Matrix = {
    rows: count,
    columns: dims,
    values: Float64Array.from(rows, (value, i) => value - mean[i % dims]!),
  }
  const { eigenvalues, vectors } = symmetricEigen(crossMoments(centred, centred))
  const directions = [0, 1].map((column) => {
    const direction = Float64Array.from({ length: dims }, (_, row) => vectors.values[row * dims + column] ?? 0)
    const largest = direction.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)
    return largest < 0 ? direction.map((value) => -value) : direction
  }) as [Float64Array, Float64Array]
  const total = eigenvalues.reduce((sum, value) => sum + value, 0)
  return {
    share: total === 0 ? 0 : (eigenvalues[0]! + (eigenvalues[1] ?? 0)) / total,
    place(vector) {
      const along = (direction: Float64Array) =>
        direction.reduce((sum, part, i) => sum + part * (vector[i]! - mean[i]!), 0)
      return [along(directions[0]), along(directions[1])]
    },
  }
}
