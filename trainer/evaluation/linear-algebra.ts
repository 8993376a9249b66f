/**
 * The little dense linear algebra that ridge CCA takes, in float64, row-major. For matrices of about a thousand rows.
 * Source: Golub & Van Loan, Matrix Computations (4th ed. 2013), §4.2 (Cholesky), §3.1 (substitution), §8.5 (Jacobi).
 */
import { ShapeError } from '../../ports/errors.ts'

export interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly values: Float64Array
}

/** aᵀ · b / rows. @param a (n, p) @param b (n, q); where it is `a` itself, half is computed. @returns (p, q) */
export function crossMoments(a: Matrix, b: Matrix): Matrix {
  const p = a.columns
  const q = b.columns
  const sums = new Float64Array(p * q)
  // Four rows at a time: the sums, which do not fit into the cache, are passed over a quarter as often.
  for (let n = 0; n < a.rows; n += 4) {
    const used = Math.min(4, a.rows - n)
    const at = (m: Matrix, row: number) =>
      row < used ? m.values.subarray((n + row) * m.columns, (n + row + 1) * m.columns) : new Float64Array(m.columns)
    const [a0, a1, a2, a3] = [at(a, 0), at(a, 1), at(a, 2), at(a, 3)]
    const [b0, b1, b2, b3] = [at(b, 0), at(b, 1), at(b, 2), at(b, 3)]
    for (let i = 0; i < p; i++) {
      const [w0, w1, w2, w3] = [a0[i]!, a1[i]!, a2[i]!, a3[i]!]
      const out = i * q
      for (let j = a === b ? i : 0; j < q; j++) {
        sums[out + j]! += w0 * b0[j]! + w1 * b1[j]! + w2 * b2[j]! + w3 * b3[j]!
      }
    }
  }
  if (a === b) for (let i = 0; i < p; i++) for (let j = 0; j < i; j++) sums[i * q + j] = sums[j * q + i]!
  return { rows: p, columns: q, values: sums.map((sum) => sum / a.rows) }
}

/** a · b. @param a (n, k) @param b (k, m). @returns (n, m) */
export function product(a: Matrix, b: Matrix): Matrix {
  const values = new Float64Array(a.rows * b.columns)
  for (let i = 0; i < a.rows; i++) {
    const out = values.subarray(i * b.columns, (i + 1) * b.columns)
    for (let k = 0; k < a.columns; k++) {
      const weight = a.values[i * a.columns + k]!
      const row = b.values.subarray(k * b.columns, (k + 1) * b.columns)
      for (let j = 0; j < out.length; j++) out[j]! += weight * row[j]!
    }
  }
  return { rows: a.rows, columns: b.columns, values }
}

export function transposed({ rows, columns, values }: Matrix): Matrix {
  const result = new Float64Array(values.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = values[i * columns + j]!
  return { rows: columns, columns: rows, values: result }
}

/** @returns lower L with L·Lᵀ = a + ridge·I. @throws ShapeError where that is not positive definite. */
export function cholesky({ rows: n, values: a }: Matrix, ridge: number): Matrix {
  const lower = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    const rowI = lower.subarray(i * n, i * n + i + 1)
    for (let j = 0; j <= i; j++) {
      const rowJ = lower.subarray(j * n, j * n + j + 1)
      let sum = a[i * n + j]! + (i === j ? ridge : 0)
      for (let k = 0; k < j; k++) sum -= rowI[k]! * rowJ[k]!
      if (i !== j) rowI[j] = sum / rowJ[j]!
      else if (sum > 0) rowI[j] = Math.sqrt(sum)
      else throw new ShapeError(`The matrix of ${n} rows is not positive definite with a ridge of ${ridge}; take more.`)
    }
  }
  return { rows: n, columns: n, values: lower }
}

/** L⁻¹ · b, forward substitution. @param lower (n, n) @param b (n, m) */
export function solveLower({ rows: n, values: lower }: Matrix, b: Matrix): Matrix {
  const m = b.columns
  const x = b.values.slice()
  for (let i = 0; i < n; i++) {
    const row = x.subarray(i * m, (i + 1) * m)
    for (let k = 0; k < i; k++) subtract(row, lower[i * n + k]!, x, k * m)
    divide(row, lower[i * n + i]!)
  }
  return { rows: n, columns: m, values: x }
}

/** L⁻ᵀ · b, back substitution. @param lower (n, n) @param b (n, m) */
export function solveLowerTransposed({ rows: n, values: lower }: Matrix, b: Matrix): Matrix {
  const m = b.columns
  const x = b.values.slice()
  for (let i = n - 1; i >= 0; i--) {
    const row = x.subarray(i * m, (i + 1) * m)
    for (let k = i + 1; k < n; k++) subtract(row, lower[k * n + i]!, x, k * m)
    divide(row, lower[i * n + i]!)
  }
  return { rows: n, columns: m, values: x }
}

function subtract(row: Float64Array, factor: number, from: Float64Array, at: number): void {
  for (let j = 0; j < row.length; j++) row[j]! -= factor * from[at + j]!
}

function divide(row: Float64Array, divisor: number): void {
  for (let j = 0; j < row.length; j++) row[j]! /= divisor
}

/** Of a symmetric matrix, by cyclic Jacobi rotations. @returns eigenvalues, descending, and their vectors in columns. */
export function symmetricEigen({ rows: n, values }: Matrix): { eigenvalues: Float64Array; vectors: Matrix } {
  const a = values.slice()
  const v = new Float64Array(n * n) // vectors in rows, until the end
  for (let i = 0; i < n; i++) v[i * n + i] = 1
  const size = a.reduce((sum, value) => sum + value * value, 0)
  for (let sweep = 0; sweep < 50 && offDiagonal(a, n) > 1e-24 * size; sweep++) {
    for (let p = 0; p < n - 1; p++) for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q)
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * n + j]! - a[i * n + i]!)
  const sorted = new Float64Array(n * n)
  for (const [to, from] of order.entries()) sorted.set(v.subarray(from * n, (from + 1) * n), to * n)
  return {
    eigenvalues: Float64Array.from(order, (i) => a[i * n + i]!),
    vectors: transposed({ rows: n, columns: n, values: sorted }),
  }
}

function offDiagonal(a: Float64Array, n: number): number {
  let sum = 0
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (i !== j) sum += a[i * n + j]! ** 2
  return sum
}

/** Makes a[p, q] zero: a ← JᵀaJ, and the vectors with it. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]!
  if (apq === 0) return
  const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * apq)
  const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
  const c = 1 / Math.sqrt(t * t + 1)
  const s = t * c
  for (let k = 0; k < n; k++) {
    const [akp, akq] = [a[k * n + p]!, a[k * n + q]!]
    a[k * n + p] = c * akp - s * akq
    a[k * n + q] = s * akp + c * akq
  }
  for (const rows of [a, v]) {
    for (let k = 0; k < n; k++) {
      const [pk, qk] = [rows[p * n + k]!, rows[q * n + k]!]
      rows[p * n + k] = c * pk - s * qk
      rows[q * n + k] = s * pk + c * qk
    }
  }
}
