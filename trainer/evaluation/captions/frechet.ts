/**
 * Fréchet distance of two sets of vectors, each taken for a Gaussian (Dowson & Landau 1982; Heusel et al. 2017):
 *
 *   |μ₁ − μ₂|² + tr C₁ + tr C₂ − 2 tr (C₁C₂)^½
 *
 * With C₁ = LLᵀ, C₁C₂ has the eigenvalues of LᵀC₂L, which is symmetric. What is estimated from few vectors comes out too
 * large: compare distances of equally many vectors only. Heusel et al. ask for 10,000 vectors in 2,048 dimensions, about
 * five a dimension; at 384 dimensions that is some 2,000 on each side. With no more vectors than dimensions it says nothing.
 */
import { cholesky, crossMoments, type Matrix, product, transposed } from '../linear-algebra.ts'
import { symmetricEigenvalues } from './eigenvalues.ts'

/** Vectors a dimension, on each side, that are wanted. */
export const VECTORS_A_DIMENSION = 5
/** Of the mean variance: makes the factor of a covariance without full rank exist. */
const RIDGE = 1e-11

export interface Gaussian {
  readonly mean: Float64Array
  /** Unbiased, (dims, dims). */
  readonly covariance: Matrix
}

/** @param rows (n, dims) row-major, n of at least 2. */
export function gaussianOf(rows: Float32Array, dims: number): Gaussian {
  const count = rows.length / dims
  const mean = new Float64Array(dims)
  for (let i = 0; i < rows.length; i++) mean[i % dims]! += rows[i]! / count
  const centred = { rows: count, columns: dims, values: Float64Array.from(rows, (value, i) => value - mean[i % dims]!) }
  const { values } = crossMoments(centred, centred)
  const unbiased = values.map((value) => (value * count) / (count - 1))
  return { mean, covariance: { rows: dims, columns: dims, values: unbiased } }
}

/** @returns the squared distance, as FID is reported; 0 for equals. */
export function frechet(a: Gaussian, b: Gaussian): number {
  const between = a.mean.reduce((sum, value, i) => sum + (value - b.mean[i]!) ** 2, 0)
  return Math.max(0, between + trace(a.covariance) + trace(b.covariance) - 2 * traceOfRoot(a.covariance, b.covariance))
}

function traceOfRoot(a: Matrix, b: Matrix): number {
  const ridge = (RIDGE * trace(a)) / a.rows
  if (ridge === 0) return 0
  const factor = cholesky(a, ridge)
  const inner = product(product(transposed(factor), b), factor)
  return symmetricEigenvalues(inner).reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0)
}

function trace({ rows, values }: Matrix): number {
  let sum = 0
  for (let i = 0; i < rows; i++) sum += values[i * rows + i]!
  return sum
}
