import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { InvalidRequestError, ShapeError } from '../../../ports/errors.ts'
import { bootstrap, bootstrapDifference } from '../../../trainer/evaluation/bootstrap.ts'
import {
  drawPools,
  evaluateRetrieval,
  figuresOf,
  type PoolRanks,
  tuneWeight,
} from '../../../trainer/evaluation/retrieval.ts'
import { combine, dotScores, type Scores } from '../../../trainer/evaluation/scores.ts'

function table(rows: readonly (readonly number[])[]): Scores {
  return { queries: rows.length, tracks: rows[0]!.length, row: (query) => Float32Array.from(rows[query]!) }
}
const ids = (count: number) => Array.from({ length: count }, (_, i) => `t${i}`)
const near = (actual: number, expected: number, by = 1e-9) =>
  assert.ok(Math.abs(actual - expected) <= by, `${actual} is not ${expected}`)

test('each video asks for its own track among those of its pool alone', () => {
  const scores = table([
    [0.9, 0.1, 0.2, 1.0],
    [0.5, 0.4, 0.3, 1.0],
    [0.3, 0.2, 0.1, 1.0],
    [0, 0, 0, 0],
  ])
  const { pools, figures, tiedShare } = evaluateRetrieval(scores, ids(4), [[0, 1, 2]])
  assert.deepEqual([...pools[0]!.ranks], [1, 2, 3])
  near(figures.recall[1], 1 / 3)
  assert.equal(figures.recall[5], 1)
  assert.equal(figures.medianRank, 2)
  assert.equal(tiedShare, 0)
})

test('a tie ranks the true track last of those that tie, and is told', () => {
  const scores = table([
    [0.5, 0.5, 0.5, 0.1],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
  ])
  const { pools, tiedShare } = evaluateRetrieval(scores, ids(4), [[0, 1, 2, 3]])
  assert.deepEqual([...pools[0]!.ranks], [3, 1, 1, 1])
  assert.equal(tiedShare, 0.25)
})

test('a model that gives every track the same score finds nothing', () => {
  const scores = table(Array.from({ length: 20 }, () => Array(20).fill(1)))
  const { figures, tiedShare } = evaluateRetrieval(scores, ids(20), drawPools(20, 20))
  assert.deepEqual(figures, { recall: { 1: 0, 5: 0, 10: 0 }, medianRank: 20 })
  assert.equal(tiedShare, 1)
})

test('another row of the same track is a hit, and no rival', () => {
  const scores = table([
    [0.1, 0.5, 0.9],
    [0, 1, 0],
    [0.9, 0.5, 0.1],
  ])
  assert.deepEqual([...evaluateRetrieval(scores, ['a', 'b', 'a'], [[0, 1, 2]]).pools[0]!.ranks], [1, 1, 1])
  assert.deepEqual([...evaluateRetrieval(scores, ['a', 'b', 'a'], [[0, 1]]).pools[0]!.ranks], [2, 1])
})

test('a score that is not finite is an error, wherever it stands', () => {
  for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const scores = table([
      [1, wrong],
      [0, 1],
    ])
    assert.throws(
      () => evaluateRetrieval(scores, ids(2), [[0, 1]]),
      (error) => error instanceof ShapeError && /query 0/.test(error.message),
    )
  }
})

test('pools are drawn without repeats, the same under the same seeds, and no larger than what is there', () => {
  const pools = drawPools(50, 20)
  assert.equal(pools.length, 10)
  for (const pool of pools) assert.equal(new Set(pool).size, 20)
  assert.notDeepEqual(pools[0], pools[1])
  assert.deepEqual(drawPools(50, 20), pools)
  assert.throws(() => drawPools(50, 51), InvalidRequestError)
  assert.throws(() => drawPools(50, 0), InvalidRequestError)
})

test('random scores give the figures of chance', () => {
  const random = seededRandom(5)
  const scores = table(Array.from({ length: 400 }, () => Array.from({ length: 400 }, random)))
  const { figures } = evaluateRetrieval(scores, ids(400), drawPools(400, 100))
  near(figures.recall[10], 0.1, 0.02)
  near(figures.medianRank, 50, 4)
})

test('the median of an even number of ranks is the mean of the middle two, and figures are means over pools', () => {
  const pool = (...ranks: number[]): PoolRanks => ({
    queries: Uint32Array.from(ranks.keys()),
    ranks: Uint32Array.from(ranks),
  })
  assert.equal(figuresOf([pool(1, 2, 4, 90)]).medianRank, 3)
  assert.equal(figuresOf([pool(5, 5, 1, 9)]).medianRank, 5)
  assert.deepEqual(figuresOf([pool(1, 6, 6), pool(12, 12, 12)]), {
    recall: { 1: 1 / 6, 5: 1 / 6, 10: 0.5 },
    medianRank: 9,
  })
})

test('scores are dot products of rows', () => {
  const scores = dotScores(Float32Array.of(1, 2, 0, 1), Float32Array.of(1, 0, 0, 1, 3, 3), 2)
  assert.deepEqual([...scores.row(0)], [1, 2, 9])
  assert.deepEqual([...scores.row(1)], [0, 1, 3])
})

test('an ensemble weighs the second scores by a and refuses scores of other shapes', () => {
  const first = table([[1, 0]])
  const second = table([[0, 1]])
  assert.deepEqual([...combine(first, second, 0.25).row(0)], [0.75, 0.25])
  assert.throws(() => combine(first, table([[1]]), 0.5), InvalidRequestError)
})

test('the tuned weight lies where both methods together find what neither finds alone', () => {
  // The first method mistakes even pairs, the second odd ones, each by a little.
  const wrongOn = (parity: number) =>
    table(
      Array.from({ length: 30 }, (_, query) =>
        Array.from({ length: 30 }, (_, track) => {
          if (track === query) return 1
          return query % 2 === parity && track !== 29 - query ? 1.1 : 0
        }),
      ),
    )
  const pools = drawPools(30, 30, [0])
  const alone = evaluateRetrieval(wrongOn(0), ids(30), pools).figures
  assert.equal(alone.recall[1], 0.5)
  const { a, figures } = tuneWeight(wrongOn(0), wrongOn(1), ids(30), pools)
  assert.equal(figures.recall[1], 1)
  assert.ok(a > 0 && a < 1)
  assert.equal(tuneWeight(wrongOn(0), wrongOn(0), ids(30), pools).a, 0, 'of equals it is the least')
})

/** Ranks of 200 queries in two pools of 150. */
function drawnRanks(hitShare: number, seed: number): PoolRanks[] {
  const random = seededRandom(seed)
  const ranks = Uint32Array.from({ length: 200 }, () => (random() < hitShare ? 1 : 11 + Math.floor(random() * 50)))
  return drawPools(200, 150, [0, 1]).map((pool) => ({
    queries: Uint32Array.from(pool),
    ranks: Uint32Array.from(pool, (query) => ranks[query]!),
  }))
}

test('an interval holds its value and is as wide as chance of the queries makes it', () => {
  const pools = drawnRanks(0.3, 1)
  const { recall, medianRank } = bootstrap(pools)
  const { value, low, high } = recall[1]
  assert.equal(value, figuresOf(pools).recall[1])
  assert.ok(low < value && value < high)
  // Of 200 independent queries, 4 standard errors are 0.13; those of one pool alone would make 0.15.
  near(high - low, 4 * Math.sqrt((value * (1 - value)) / 200), 0.03)
  assert.ok(medianRank.low <= medianRank.value && medianRank.value <= medianRank.high)
  assert.deepEqual(bootstrap(pools), { recall, medianRank })
})

test('two methods on the same queries are told apart when alike in most of them', () => {
  const worse = drawnRanks(0.3, 1)
  const better = worse.map(({ queries, ranks }) => ({
    queries,
    ranks: ranks.map((rank, place) => (queries[place]! % 12 === 0 ? 1 : rank)),
  }))
  const { recall } = bootstrapDifference(better, worse)
  assert.ok(recall[1].low > 0, 'the gain is not seen')
  assert.ok(bootstrap(worse).recall[1].high > bootstrap(better).recall[1].low, 'the test is too easy')
  const none = bootstrapDifference(worse, worse).recall[1]
  assert.deepEqual(none, { value: 0, low: 0, high: 0 })
  assert.throws(() => bootstrapDifference(worse, worse.slice(1)), InvalidRequestError)
})
