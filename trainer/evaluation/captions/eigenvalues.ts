/**
 * Eigenvalues of a symmetric matrix without their vectors: some ten times as fast as Jacobi rotations. Householder
 * reflections make it tridiagonal, implicit QL steps then diagonal (Golub & Van Loan 2013, §8.3; Press et al. 2007, §11.4).
 */
import type { Matrix } from '../linear-algebra.ts'

const MOST_STEPS = 60

/** @returns in no order, accurate to about 1e-15 of the largest. */
export function symmetricEigenvalues({ rows: n, values }: Matrix): Float64Array {
  const { diagonal, beside } = tridiagonal(values.slice(), n)
  return diagonalised(diagonal, beside)
}

/** @param a (n, n), which is used up. @returns the diagonal (n,) and what stands beside it (n,), the last of which is 0. */
function tridiagonal(a: Float64Array, n: number): { diagonal: Float64Array; beside: Float64Array } {
  const beside = new Float64Array(n)
  const v = new Float64Array(n)
  const w = new Float64Array(n)
  for (let k = 0; k < n - 1; k++) {
    let norm = 0
    for (let i = k + 1; i < n; i++) {
      v[i] = a[i * n + k]!
      norm = Math.hypot(norm, v[i]!)
    }
    if (norm === 0) continue
    const reflected = v[k + 1]! > 0 ? -norm : norm
    beside[k] = reflected
    v[k + 1]! -= reflected
    let size = 0
    for (let i = k + 1; i < n; i++) size += v[i]! ** 2
    const scale = 2 / size
    let along = 0
    for (let i = k + 1; i < n; i++) {
      let sum = 0
      for (let j = k + 1; j < n; j++) sum += a[i * n + j]! * v[j]!
      w[i] = scale * sum
      along += w[i]! * v[i]!
    }
    for (let i = k + 1; i < n; i++) w[i]! -= 0.5 * scale * along * v[i]!
    for (let i = k + 1; i < n; i++) {
      const [vi, wi] = [v[i]!, w[i]!]
      for (let j = k + 1; j < n; j++) a[i * n + j]! -= vi * w[j]! + wi * v[j]!
    }
  }
  return { diagonal: Float64Array.from({ length: n }, (_, i) => a[i * n + i]!), beside }
}

/** @param d diagonal, which becomes the result. @param e beside it. */
function diagonalised(d: Float64Array, e: Float64Array): Float64Array {
  const n = d.length
  let largest = 0
  for (let i = 0; i < n; i++) largest = Math.max(largest, Math.abs(d[i]!), Math.abs(e[i]!))
  const negligible = Number.EPSILON * largest
  for (let from = 0; from < n; from++) {
    for (let step = 0; step < MOST_STEPS; step++) {
      let to = from
      while (to < n - 1 && Math.abs(e[to]!) > negligible) to++
      if (to === from) break
      implicitStep(d, e, from, to)
    }
  }
  return d
}

/** One QL step with Wilkinson's shift on the block from … to. */
function implicitStep(d: Float64Array, e: Float64Array, from: number, to: number): void {
  const half = (d[from + 1]! - d[from]!) / (2 * e[from]!)
  const root = Math.hypot(half, 1)
  let g = d[to]! - d[from]! + e[from]! / (half + (half >= 0 ? root : -root))
  let [sine, cosine, moved] = [1, 1, 0]
  for (let i = to - 1; i >= from; i--) {
    const f = sine * e[i]!
    const b = cosine * e[i]!
    const r = Math.hypot(f, g)
    e[i + 1] = r
    if (r === 0) {
      d[i + 1]! -= moved
      e[to] = 0
      return
    }
    sine = f / r
    cosine = g / r
    g = d[i + 1]! - moved
    const turned = (d[i]! - g) * sine + 2 * cosine * b
    moved = sine * turned
    d[i + 1] = g + moved
    g = cosine * turned - b
  }
  d[from]! -= moved
  e[from] = g
  e[to] = 0
}
