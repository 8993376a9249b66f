/** Distances between sets of vectors against closed forms, and retrieval of captions. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { ShapeError } from '../../../ports/errors.ts'
import { closenessTo, retrieveCaptions } from '../../../trainer/evaluation/captions/closeness.ts'
import { symmetricEigenvalues } from '../../../trainer/evaluation/captions/eigenvalues.ts'
import { frechet, type Gaussian, gaussianOf } from '../../../trainer/evaluation/captions/frechet.ts'
import { medianDistance, squaredMmd } from '../../../trainer/evaluation/captions/mmd.ts'
import { type Matrix, symmetricEigen } from '../../../trainer/evaluation/linear-algebra.ts'

const near = (value: number, expected: number, within = 1e-9) =>
  assert.ok(Math.abs(value - expected) <= within, `${value} is not ${expected}`)

/** Standard normal numbers (Box & Muller 1958). */
function normals(count: number, seed: string): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  )
}

const matrix = (rows: readonly (readonly number[])[]): Matrix => {
  return { rows: rows.length, columns: rows[0]!.length, values: Float64Array.from(rows.flat()) }
}
const gaussian = (mean: readonly number[], covariance: readonly (readonly number[])[]): Gaussian => {
  return { mean: Float64Array.from(mean), covariance: matrix(covariance) }
}

/** n unit vectors of 6 dimensions around one direction. */
function unitVectors(count: number, seed: string, towards = 0, pull = 1): Float32Array[] {
  const values = normals(count * 6, seed)
  return Array.from({ length: count }, (_, i) => {
    const vector = values.slice(i * 6, (i + 1) * 6)
    vector[towards]! += pull
    const norm = Math.hypot(...vector)
    return vector.map((value) => value / norm)
  })
}

describe('eigenvalues', () => {
  const sorted = (values: Float64Array) => [...values].sort((a, b) => b - a)

  test('they are those of Jacobi rotations, for full rank and for less', () => {
    for (const [n, rank] of [
      [1, 1],
      [2, 2],
      [3, 1],
      [24, 24],
      [24, 5],
    ] as const) {
      const factor = normals(n * rank, `eigenvalues ${n} ${rank}`)
      const values = Float64Array.from({ length: n * n }, (_, at) => {
        const [i, j] = [Math.floor(at / n), at % n]
        let sum = 0
        for (let k = 0; k < rank; k++) sum += factor[i * rank + k]! * factor[j * rank + k]!
        return sum
      })
      const square = { rows: n, columns: n, values }
      const expected = symmetricEigen(square).eigenvalues
      for (const [i, value] of sorted(symmetricEigenvalues(square)).entries()) near(value, expected[i]!, 1e-8)
    }
  })

  test('a matrix that is diagonal, or zero, is its own answer', () => {
    assert.deepEqual(
      sorted(
        symmetricEigenvalues(
          matrix([
            [1, 0, 0],
            [0, -2, 0],
            [0, 0, 3],
          ]),
        ),
      ),
      [3, 1, -2],
    )
    assert.deepEqual(
      [
        ...symmetricEigenvalues(
          matrix([
            [0, 0],
            [0, 0],
          ]),
        ),
      ],
      [0, 0],
    )
  })
})

describe('the Fréchet distance', () => {
  test('of Gaussians with independent parts it is that of their means and deviations', () => {
    const a = gaussian(
      [1, 2, 3],
      [
        [4, 0, 0],
        [0, 9, 0],
        [0, 0, 1],
      ],
    )
    const b = gaussian(
      [1, 0, 4],
      [
        [1, 0, 0],
        [0, 16, 0],
        [0, 0, 1],
      ],
    )
    near(frechet(a, b), 4 + 1 + (2 - 1) ** 2 + (3 - 4) ** 2)
  })

  test('of Gaussians that do not commute it is that of the 2 × 2 closed form', () => {
    // tr (AB)^½ = √(tr AB + 2 √(det A · det B)) for 2 × 2.
    const a = gaussian(
      [0, 0],
      [
        [2, 1],
        [1, 3],
      ],
    )
    const b = gaussian(
      [0, 0],
      [
        [5, -2],
        [-2, 1],
      ],
    )
    const traceOfProduct = 2 * 5 + 2 * (1 * -2) + 3 * 1
    near(frechet(a, b), 5 + 6 - 2 * Math.sqrt(traceOfProduct + 2 * Math.sqrt(5 * 1)))
    near(frechet(b, a), frechet(a, b))
  })

  test('of a set to itself it is 0, with less than full rank too', () => {
    for (const count of [40, 4]) {
      const own = gaussianOf(normals(count * 8, `frechet ${count}`), 8)
      near(frechet(own, own), 0, 1e-4)
    }
    const point = gaussian(
      [1, 1],
      [
        [0, 0],
        [0, 0],
      ],
    )
    near(
      frechet(
        point,
        gaussian(
          [0, 1],
          [
            [4, 0],
            [0, 1],
          ],
        ),
      ),
      1 + 5,
    )
  })

  test('of sampled vectors it comes near to what they were drawn from', () => {
    const dims = 4
    const shifted = normals(dims * 20_000, 'shifted').map((value, i) => 2 * value + (i % dims === 0 ? 1 : 0))
    const distance = frechet(gaussianOf(normals(dims * 20_000, 'plain'), dims), gaussianOf(shifted, dims))
    near(distance, 1 + dims, 0.15)
  })
})

describe('MMD', () => {
  test('it is that of the definition', () => {
    const k = (distance: number) => Math.exp(-(distance ** 2) / 8)
    const expected = k(1) + k(2) - (2 / 4) * (k(4) + k(6) + k(3) + k(5))
    near(squaredMmd(Float32Array.of(0, 1), Float32Array.of(4, 6), 1, 2), expected)
  })

  test('of samples of one distribution it is around 0, and of others above', () => {
    const dims = 5
    const sigma = medianDistance(normals(200 * dims, 'sigma'), dims)
    const values = Array.from({ length: 12 }, (_, i) =>
      squaredMmd(normals(150 * dims, `a${i}`), normals(150 * dims, `b${i}`), dims, sigma),
    )
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    assert.ok(Math.abs(mean) < 0.002, String(mean))
    assert.ok(
      values.some((value) => value < 0),
      'an unbiased estimate is never below 0',
    )
    const moved = normals(150 * dims, 'moved').map((value) => value + 0.5)
    assert.ok(squaredMmd(normals(150 * dims, 'still'), moved, dims, sigma) > 0.03)
  })

  test('the median distance is that of all pairs, and 1 where nothing differs', () => {
    assert.equal(medianDistance(Float32Array.of(0, 1, 5), 1), 4)
    assert.equal(medianDistance(Float32Array.of(2, 2, 2), 1), 1)
    assert.throws(() => squaredMmd(Float32Array.of(1), Float32Array.of(1, 2), 1, 1), ShapeError)
  })
})

describe('closeness', () => {
  const people = unitVectors(300, 'people')

  test('the floor is near 0, others of the same kind stand at it, and others of another kind above', () => {
    const { floor, of } = closenessTo(people, { seed: 1 })
    assert.equal(floor.half, 150)
    const same = of(unitVectors(300, 'like people'))!
    const other = of(unitVectors(300, 'unlike people', 1, 2))!
    assert.ok(Math.abs(floor.mmd.mean) < 0.01 && Math.abs(same.mmd.mean) < 0.02, `${floor.mmd.mean}, ${same.mmd.mean}`)
    assert.ok(other.mmd.mean > 0.1, String(other.mmd.mean))
    assert.ok(other.frechet!.mean > 5 * Math.max(floor.frechet!.mean, same.frechet!.mean))
    assert.deepEqual([floor.mmd.bySplit.length, floor.frechet!.bySplit.length], [5, 5])
  })

  test('a half with no more texts than dimensions has no Fréchet distance, and still an MMD', () => {
    const { floor, of } = closenessTo(people.slice(0, 12), { seed: 1 })
    assert.deepEqual([floor.half, floor.frechet], [6, undefined])
    assert.ok(Number.isFinite(floor.mmd.mean))
    assert.equal(of(people.slice(0, 12).map(() => undefined)), undefined)
  })

  test('texts that are not there are left out', () => {
    const { of } = closenessTo(people, { seed: 1 })
    const some = of(people.map((vector, i) => (i % 3 === 0 ? undefined : vector)))!
    assert.ok(some.half > 80 && some.half < 110, String(some.half))
  })
})

describe('retrieval of captions', () => {
  const people = unitVectors(60, 'captions')
  const captions = people.map((_, i) => `caption ${i}`)

  test('a text with the vector of its caption finds it first, and one with the opposite last', () => {
    const [found] = retrieveCaptions(people, people, captions, { sizes: [20] })
    assert.deepEqual([found!.figures.recall[1].value, found!.figures.medianRank.value], [1, 1])
    const opposite = people.map((vector) => vector.map((value) => -value))
    const [lost] = retrieveCaptions(opposite, people, captions, { sizes: [20] })
    assert.deepEqual([lost!.figures.recall[10].value, lost!.figures.medianRank.value], [0, 20])
  })

  test('sizes that the texts do not fill are left out, and the curve goes through the recall', () => {
    const texts = unitVectors(60, 'texts').map((vector, i) => (i < 20 ? undefined : vector))
    const found = retrieveCaptions(texts, people, captions, { sizes: [10, 40, 41], seed: 4 })
    assert.deepEqual(
      found.map(({ size }) => size),
      [10, 40],
    )
    for (const { figures, curve } of found) assert.equal(curve[4]!.value, figures.recall[5].value)
    assert.equal(found[0]!.curve.at(-1)!.value, 1)
  })

  test('another caption with the same words is as right', () => {
    const same = people.map((vector, i) => (i < 2 ? people[0]! : vector))
    const words = captions.map((caption, i) => (i < 2 ? 'the same' : caption))
    const [found] = retrieveCaptions(same, same, words, { sizes: [60] })
    assert.equal(found!.figures.recall[1].value, 1)
  })
})
