import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { InvalidRequestError } from '../../../ports/errors.ts'
import type { Pairs } from '../../../trainer/data/pairs.ts'
import { groupsOf, splitPairs, stableSplit } from '../../../trainer/data/split.ts'
import { inputStatistics } from '../../../trainer/data/standardise.ts'

test('pairs are one group when a chain of tracks and artists joins them', () => {
  const trackIds = ['t1', 't2', 't2', 't3', 't4', 't5']
  const artists = ['ann', 'ann', 'bob', 'bob', '', '']
  assert.deepEqual(groupsOf({ trackIds, artists }), [[0, 1, 2, 3], [4], [5]])
})

test('no track and no artist falls on two sides of a split', () => {
  const random = seededRandom(1)
  const draw = (prefix: string, of: number) =>
    Array.from({ length: 2000 }, () => `${prefix}${Math.floor(random() * of)}`)
  const trackIds = draw('t', 1900)
  const artists = draw('a', 5000).map((artist) => (random() < 0.5 ? '' : artist))
  const split = splitPairs({ trackIds, artists }, { train: 0.8, validation: 0.1, test: 0.1 }, 3)
  for (const keys of [trackIds, artists]) {
    const side = new Map<string, string>()
    for (const [name, chosen] of Object.entries(split)) {
      for (const pair of chosen) {
        if (keys[pair] === '') continue
        assert.equal(side.get(keys[pair]!) ?? name, name, `${keys[pair]} leaks`)
        side.set(keys[pair]!, name)
      }
    }
  }
  assert.deepEqual(
    Object.values(split)
      .flat()
      .sort((a, b) => a - b),
    [...trackIds.keys()],
  )
  assert.ok(Math.abs(split.train.length - 1600) < 40, `${split.train.length} train pairs`)
  assert.ok(Math.abs(split.test.length - 200) < 20, `${split.test.length} test pairs`)
})

test('a split is the same under the same seed and another under another', () => {
  const pairs = { trackIds: Array.from({ length: 100 }, (_, i) => `t${i}`), artists: Array(100).fill('') }
  const train = (seed: number) => splitPairs(pairs, { train: 0.5, rest: 0.5 }, seed).train
  assert.deepEqual(train(1), train(1))
  assert.notDeepEqual(train(1), train(2))
})

test('shares that are negative or nothing at all are refused', () => {
  const pairs = { trackIds: ['a'], artists: [''] }
  assert.throws(() => splitPairs(pairs, { train: 0 }, 0), InvalidRequestError)
  assert.throws(() => splitPairs(pairs, { train: 1, test: -1 }, 0), InvalidRequestError)
})

/** Two pairs of two segments and one, and a third without words. */
function pairs(): Pairs {
  return {
    count: 3,
    video: { values: Float32Array.of(1, 7, 3, 7, 5, 7, 7, 7), offsets: Uint32Array.of(0, 2, 3, 4), dims: 2 },
    music: { values: Float32Array.of(-1, 0, 1), offsets: Uint32Array.of(0, 1, 2, 3), dims: 1 },
    texts: {
      strings: ['', 'x', 'y'],
      vectors: Float32Array.of(100, 100, 2, 0, 4, 8),
      dims: 2,
      rows: Uint32Array.of(1, 2, 0),
      variants: 1,
    },
    videoIds: ['a', 'b', 'c'],
    trackIds: ['a', 'b', 'c'],
    artists: ['', '', ''],
    weights: Float32Array.of(1, 1, 1),
  }
}

test('statistics of a column are over all segments, and one that never changes is divided by 1', () => {
  const { video } = inputStatistics(pairs())
  assert.deepEqual(video.mean, Float32Array.of(4, 7))
  assert.deepEqual(video.deviation, Float32Array.of(Math.sqrt(5), 1))
})

test('texts are divided by one deviation for all columns, and the empty text says nothing of them', () => {
  const { text } = inputStatistics(pairs())
  assert.deepEqual(text.mean, Float32Array.of(3, 4))
  assert.deepEqual(text.deviation, Float32Array.of(2.5, 2.5))
})

test('pairs without texts have no text statistics', () => {
  assert.equal(inputStatistics({ ...pairs(), texts: undefined }).text.mean.length, 0)
})

describe('a split that data grow under', () => {
  /** Pairs as they come: tracks of their own, a third of them by one of a hundred artists. */
  function growing(count: number) {
    const random = seededRandom(7)
    const trackIds: string[] = []
    const artists: string[] = []
    for (let pair = 0; pair < count; pair++) {
      trackIds.push(random() < 0.02 ? `t${Math.floor(random() * pair)}` : `t${pair}`)
      artists.push(random() < 0.3 ? `a${Math.floor(random() * 100)}` : '')
    }
    return { trackIds, artists }
  }

  test('never evaluates what was trained on, and moves a pair to training only with its group', () => {
    let before: ReturnType<typeof stableSplit> | undefined
    let mergedBefore = 0
    for (let count = 200; count <= 3_000; count += 200) {
      const split = stableSplit(growing(count), 0.2)
      const evaluated = new Set(split.evaluation)
      assert.deepEqual(
        (before?.train ?? []).filter((pair) => evaluated.has(pair)),
        [],
      )
      const moved = (before?.evaluation ?? []).filter((pair) => !evaluated.has(pair)).length
      assert.ok(moved <= split.merged - mergedBefore, `${moved} pairs moved, and ${split.merged} are told as merged`)
      before = split
      mergedBefore = split.merged
    }
  })

  test('moves nothing where new pairs join no groups', () => {
    const { trackIds } = growing(2_000)
    const artists = trackIds.map(() => '')
    const small = stableSplit({ trackIds: trackIds.slice(0, 500), artists: artists.slice(0, 500) }, 0.2)
    const large = stableSplit({ trackIds, artists }, 0.2)
    assert.deepEqual(
      large.evaluation.filter((pair) => pair < 500),
      small.evaluation,
    )
    assert.equal(large.merged, 0)
  })

  test('keeps each track and artist on one side, and takes about the share', () => {
    const pairs = growing(3_000)
    const { train, evaluation } = stableSplit(pairs, 0.2)
    assert.equal(train.length + evaluation.length, 3_000)
    assert.ok(evaluation.length > 450 && evaluation.length < 700, `${evaluation.length} of 3000 are evaluated`)
    for (const keys of [pairs.trackIds, pairs.artists]) {
      const trained = new Set(train.map((pair) => keys[pair]).filter((key) => key !== ''))
      assert.deepEqual(
        evaluation.filter((pair) => trained.has(keys[pair])),
        [],
      )
    }
  })

  test('trains on a group that joins both sides, and tells how many pairs that took from evaluation', () => {
    const sideOf = (track: string) => stableSplit({ trackIds: [track], artists: [''] }, 0.5).evaluation.length
    const tracks = Array.from({ length: 50 }, (_, i) => `t${i}`)
    const evaluated = tracks.find((track) => sideOf(track) === 1)!
    const trained = tracks.find((track) => sideOf(track) === 0)!
    const artist = ['a', 'b', 'c', 'd', 'e', 'f'].find(
      (name) => stableSplit({ trackIds: [trained], artists: [name] }, 0.5).evaluation.length === 0,
    )!
    const split = stableSplit({ trackIds: [evaluated, evaluated], artists: ['', artist] }, 0.5)
    assert.deepEqual(split, { train: [0, 1], evaluation: [], merged: 1 })
  })

  test('holds more where the share is greater, and is another under another name', () => {
    const pairs = growing(1_000)
    const small = new Set(stableSplit(pairs, 0.1).evaluation)
    const large = new Set(stableSplit(pairs, 0.3).evaluation)
    assert.ok(
      [...small].every((pair) => large.has(pair)),
      'nothing left',
    )
    const heldOut = stableSplit(pairs, 0.3).evaluation
    const part = {
      trackIds: heldOut.map((pair) => pairs.trackIds[pair]!),
      artists: heldOut.map((pair) => pairs.artists[pair]!),
    }
    const halves = stableSplit(part, 0.5, 'halves')
    assert.ok(halves.train.length > 60 && halves.evaluation.length > 60, 'a part can be split again')
  })

  test('refuses shares that cannot be', () => {
    for (const share of [-0.1, 1.1, Number.NaN]) {
      assert.throws(() => stableSplit({ trackIds: ['t'], artists: [''] }, share), InvalidRequestError)
    }
  })
})
