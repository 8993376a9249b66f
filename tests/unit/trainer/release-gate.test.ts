/** What the gate lets through and what it refuses, with which reason. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { unit } from '../../../model/vector.ts'
import type { ReleaseTowers } from '../../../ports/encoder.ts'
import { ShapeError } from '../../../ports/errors.ts'
import { type Pairs, selectPairs } from '../../../trainer/data/pairs.ts'
import { ASKS, towerVectors } from '../../../trainer/evaluation/tower-vectors.ts'
import { type GateInput, gateRelease } from '../../../trainer/release/gate.ts'
import type { VectorsByAsk } from '../../../trainer/release/trainer-vectors.ts'

const COUNT = 120
const DIMS = 8
const ENCODERS = {
  video: { id: 'video@1', dims: DIMS },
  music: { id: 'music@1', dims: DIMS },
  text: { id: 'text@1', dims: DIMS },
}

/** Each track has a direction of its own; its video and its words point there too. */
const pairs: Pairs = (() => {
  const random = seededRandom('directions')
  const values = Float32Array.from({ length: COUNT * DIMS }, () => 2 * random() - 1)
  const sequences = { dims: DIMS, offsets: Uint32Array.from({ length: COUNT + 1 }, (_, i) => i), values }
  const ids = Array.from({ length: COUNT }, (_, pair) => `pair-${pair}`)
  return {
    count: COUNT,
    video: sequences,
    music: sequences,
    texts: {
      strings: ['', ...ids],
      dims: DIMS,
      vectors: Float32Array.from([...new Float32Array(DIMS), ...values]),
      variants: 1,
      rows: Uint32Array.from(ids, (_, pair) => pair + 1),
    },
    videoIds: ids,
    trackIds: ids,
    artists: ids,
    weights: new Float32Array(COUNT).fill(1),
  }
})()

/** Towers that pass directions on, the more disturbed the more `noise`; those of words by `wordNoise` where it is given. */
function towersOf(
  release: string,
  { noise = 0, wordNoise, encoders = 'video@1' }: { noise?: number; wordNoise?: number; encoders?: string } = {},
): ReleaseTowers {
  const disturbed = (vector: Float32Array, by: number) => {
    const random = seededRandom(`${release} ${vector}`)
    return unit(vector.map((value) => value + by * (2 * random() - 1)))
  }
  return {
    release,
    dims: DIMS,
    encoders: { video: encoders, music: 'music@1', text: 'text@1' },
    async query({ video, text }) {
      return text === undefined ? disturbed(video!.values, noise) : disturbed(text, wordNoise ?? noise)
    },
    async music({ values }) {
      return { whole: unit(values), segments: unit(values) }
    },
  }
}

async function gate(candidate: ReleaseTowers, serving: ReleaseTowers | undefined, more: Partial<GateInput> = {}) {
  const given = {
    candidate,
    serving,
    evaluation: pairs,
    encoders: ENCODERS,
    margin: 0.05,
    poolSize: 100,
    seeds: [1, 2],
  }
  const { passed, reasons, metrics } = await gateRelease({ ...given, ...more })
  const message = reasons.map(({ message }) => message).join('\n')
  return { passed, codes: reasons.map(({ code }) => code), message, metrics }
}

async function vectorsOf(towers: ReleaseTowers): Promise<VectorsByAsk> {
  const entries = await Promise.all(ASKS.map(async (ask) => [ask, await towerVectors(towers, pairs, ask)]))
  return Object.fromEntries(entries)
}

describe('the gate', () => {
  const good = towersOf('good', { noise: 0.6 })
  const bad = towersOf('bad', { noise: 1.6 })

  test('lets a better release through, and tells the figures of both', async () => {
    const { passed, codes, metrics } = await gate(good, bad)
    assert.deepEqual([passed, codes], [true, []])
    assert.ok(metrics['video.recallAt10']! > metrics['serving.video.recallAt10']! + 0.2, JSON.stringify(metrics))
    assert.ok(metrics['video+text.medianRank']! < metrics['serving.video+text.medianRank']!, JSON.stringify(metrics))
    assert.ok(Number.isFinite(metrics['text.recallAt1']), 'words alone are not told')
  })

  test('lets one through that ranks the same, even with no margin', async () => {
    assert.deepEqual((await gate(good, good, { margin: 0 })).passed, true)
  })

  test('refuses a worse one, and says which figures are worse by how much', async () => {
    const { passed, codes, message } = await gate(bad, good)
    assert.deepEqual([passed, codes], [false, ['worse-than-serving', 'worse-than-serving']])
    assert.match(message, /bad by video alone: R@10 is \d+\.\d % \(median rank \d+.*, where good has \d+\.\d %/)
    assert.match(message, /bad by video and words: /)
  })

  test('lets a worse one through within the margin', async () => {
    assert.equal((await gate(bad, good, { margin: 0.9 })).passed, true)
    assert.equal((await gate(bad, good, { margin: Number.NaN })).passed, false)
  })

  test('refuses one whose words mislead, though its videos do not', async () => {
    const { codes, message } = await gate(towersOf('wordless', { noise: 0.6, wordNoise: 1.6 }), good)
    assert.deepEqual(codes, ['worse-than-serving'])
    assert.match(message, /wordless by video and words/)
  })

  test('refuses one whose vectors are not finite, naming release and pair', async () => {
    const broken: ReleaseTowers = {
      ...good,
      release: 'broken',
      query: async () => new Float32Array(DIMS).fill(Number.NaN),
    }
    const { passed, codes, message } = await gate(broken, good)
    assert.deepEqual([passed, codes], [false, ['bad-vectors']])
    assert.match(message, /broken cannot answer the evaluation pairs\. pair-0, .* length NaN/)
  })

  test('refuses one that ranks no better than chance, though nothing serves', async () => {
    const { passed, codes, message } = await gate(towersOf('random', { noise: 1_000 }), undefined)
    assert.deepEqual([passed, codes], [false, ['no-better-than-chance', 'no-better-than-chance', 'nothing-serving']])
    assert.match(message, /random by video alone: R@10 is .* in pools of 100; chance may give 18\.\d %/)
  })

  test('passes one whose vectors are those of the trainer, and refuses one that was exported otherwise', async () => {
    const vectors = await vectorsOf(good)
    const whole = await gate(good, good, { trainerVectors: vectors })
    assert.deepEqual([whole.passed, whole.metrics['parity.largestDifference']], [true, 0])
    for (const part of ['tracks', 'queries'] as const) {
      const shifted = {
        ...vectors.text!,
        [part]: vectors.text![part].map((value, i) => (i === 99 ? value + 2e-5 : value)),
      }
      const { passed, codes, message } = await gate(good, good, { trainerVectors: { ...vectors, text: shifted } })
      assert.deepEqual([passed, codes], [false, ['parity-broken']])
      assert.match(
        message,
        part === 'tracks' ? /vectors of tracks are off by 2\.0e-5/ : /vectors of queries by words alone/,
      )
    }
    const narrow = { ...vectors.video!, tracks: vectors.video!.tracks.slice(1) }
    assert.deepEqual((await gate(good, good, { trainerVectors: { video: narrow } })).codes, ['parity-broken'])
  })

  test('refuses one for other encoders', async () => {
    const { passed, codes, message } = await gate(towersOf('other', { encoders: 'video@2' }), good)
    assert.deepEqual([passed, codes], [false, ['encoder-mismatch']])
    assert.match(message, /other takes video features of video@2, and the evaluation pairs are of video@1/)
    const wide = { ...ENCODERS, music: { id: 'music@1', dims: 9 } }
    assert.match(
      (await gate(good, good, { encoders: wide })).message,
      /music features of 8 dims, where music@1 gives 9/,
    )
  })

  test('judges by itself, with a note, where what serves is of other encoders or cannot answer', async () => {
    const other = await gate(bad, towersOf('other', { encoders: 'video@2' }))
    assert.deepEqual([other.passed, other.codes], [true, ['serving-not-comparable']])
    const failing: ReleaseTowers = { ...good, music: () => Promise.reject(new ShapeError('it takes 9 dims')) }
    const beside = await gate(bad, failing)
    assert.deepEqual([beside.passed, beside.codes], [true, ['serving-not-comparable']])
    assert.match(beside.message, /bad was judged by itself\. pair-0, pair 0: it takes 9 dims/)
  })

  test('does not hide a failure that is none of the release', async () => {
    const away: ReleaseTowers = { ...good, query: () => Promise.reject(new Error('the process ended')) }
    await assert.rejects(gate(away, good), /the process ended/)
  })

  test('judges pairs without texts by the video alone', async () => {
    const silent = { ...selectPairs(pairs, [...pairs.videoIds.keys()]), texts: undefined }
    const { passed, metrics } = await gate(good, bad, { evaluation: silent })
    assert.equal(passed, true)
    assert.deepEqual(
      Object.keys(metrics).filter((name) => name.includes('text')),
      [],
    )
  })

  test('says so where there are too few pairs for R@10 to tell anything', async () => {
    const { passed, codes } = await gate(bad, good, { poolSize: 10 })
    assert.deepEqual([passed, codes], [true, ['too-few-pairs']])
  })

  test('has no set to draw larger pools from', async () => {
    await assert.rejects(gate(good, bad, { poolSize: COUNT + 1 }), { code: 'pool-too-large' })
  })
})
