import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VectorRows } from '../../../adapters/embedded/vector-index-rows.ts'
import { seededRandom } from '../../../model/random.ts'
import { dot, unit } from '../../../model/vector.ts'

const DIMS = 24

/** Rows of which many are alike, some removed, and the plain list of those that stay. */
function manyRows(count: number, random: () => number) {
  const rows = new VectorRows(DIMS)
  const plain = new Map<string, Float32Array>()
  const vector = () => unit(Float32Array.from({ length: DIMS }, () => random() - 0.5))
  const common = vector()
  for (let i = 0; i < count; i++) {
    const id = `row-${String(count - i).padStart(5, '0')}`
    const value = i % 7 === 0 ? common : vector()
    rows.set(id, rows.claimKey(), value, {})
    plain.set(id, value)
  }
  // Removed rows lie as near to `common` as can be.
  const alike = [...plain].filter(([, value]) => value === common).slice(0, Math.min(60, count / 20))
  for (const [id] of alike) {
    rows.remove(id)
    plain.delete(id)
  }
  return { rows, plain, common, vector }
}

function best(plain: ReadonlyMap<string, Float32Array>, query: Float32Array, k: number): string[] {
  return [...plain]
    .map(([id, vector]) => ({ id, score: dot(vector, query) }))
    .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
    .slice(0, k)
    .map(({ id }) => id)
}

for (const count of [300, 3_000]) {
  test(`a scan of ${count} rows gives the best of those that are there, as a plain list does`, () => {
    const random = seededRandom(count)
    const { rows, plain, vector } = manyRows(count, random)
    for (let i = 0; i < 40; i++) {
      const query = vector()
      const k = 1 + Math.floor(random() * 40)
      assert.deepEqual(
        rows.scan(query, k).map(({ id }) => id),
        best(plain, query, k),
        `query ${i}, k ${k}`,
      )
    }
  })

  test(`where k cuts through equal scores of ${count} rows, the lower ids are in`, () => {
    const { rows, plain, common } = manyRows(count, seededRandom(count + 1))
    for (const k of [1, 5, 20])
      assert.deepEqual(
        rows.scan(common, k).map(({ id }) => id),
        best(plain, common, k),
      )
  })
}

test('as many hits as there are rows are given, and no more', () => {
  const { rows, plain, vector } = manyRows(2_000, seededRandom(3))
  assert.equal(rows.scan(vector(), 5_000).length, plain.size)
})
