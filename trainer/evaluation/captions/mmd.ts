/**
 * Squared maximum mean discrepancy of two sets of vectors, unbiased (Gretton et al. 2012, Lemma 6): around 0 for sets from
 * one distribution, and then below 0 as often as above. Unlike the Fréchet distance it takes neither set for a Gaussian,
 * and its mean does not depend on their size (Bińkowski et al. 2018).
 *
 * The kernel is exp(−|x − y|² / 2σ²), with σ the median distance of the reference's vectors. The cubic kernel of KID is not
 * taken: on unit vectors, whose dot products it divides by the dimension, it is all but linear and sees the means alone.
 */
import { ShapeError } from '../../../ports/errors.ts'

/** @param a (n, dims) @param b (m, dims), row-major. @throws ShapeError for fewer than two rows. */
export function squaredMmd(a: Float32Array, b: Float32Array, dims: number, sigma: number): number {
  const [n, m] = [a.length / dims, b.length / dims]
  if (n < 2 || m < 2) throw new ShapeError(`MMD takes two vectors or more a side; there are ${n} and ${m}.`)
  return within(a, dims, sigma) + within(b, dims, sigma) - 2 * between(a, b, dims, sigma)
}

/** Median of the distances between rows. @returns 1 where all rows are the same. */
export function medianDistance(rows: Float32Array, dims: number): number {
  const count = rows.length / dims
  const distances = new Float64Array((count * (count - 1)) / 2)
  let at = 0
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) distances[at++] = Math.sqrt(squaredDistance(rows, i, rows, j, dims))
  }
  return distances.sort()[distances.length >> 1] || 1
}

/** Mean of the kernel over pairs of different rows. */
function within(rows: Float32Array, dims: number, sigma: number): number {
  const count = rows.length / dims
  let sum = 0
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) sum += kernel(squaredDistance(rows, i, rows, j, dims), sigma)
  }
  return (2 * sum) / (count * (count - 1))
}

function between(a: Float32Array, b: Float32Array, dims: number, sigma: number): number {
  const [n, m] = [a.length / dims, b.length / dims]
  let sum = 0
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) sum += kernel(squaredDistance(a, i, b, j, dims), sigma)
  }
  return sum / (n * m)
}

function kernel(squared: number, sigma: number): number {
  return Math.exp(-squared / (2 * sigma * sigma))
}

function squaredDistance(a: Float32Array, i: number, b: Float32Array, j: number, dims: number): number {
  let sum = 0
  for (let k = 0, p = i * dims, q = j * dims; k < dims; k++, p++, q++) {
    const difference = a[p]! - b[q]!
    sum += difference * difference
  }
  return sum
}
