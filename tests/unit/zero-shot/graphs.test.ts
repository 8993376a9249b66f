import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { musicLayout, videoLayout } from '../../../model/features.ts'
import { seededRandom } from '../../../model/random.ts'
import { dot } from '../../../model/vector.ts'
import { jointDims, type ZeroShotParameters, zeroShotMusicTower, zeroShotQueryTower } from '../../../model/zero-shot.ts'
import type { FeatureSequence } from '../../../ports/encoder.ts'
import { referenceMusic, referenceQuery } from './reference-towers.ts'

const random = seededRandom(20)
const floats = (length: number, from = -1, to = 1) => Float32Array.from({ length }, () => from + (to - from) * random())
const unitRows = (rows: number, dims: number) => {
  const values = floats(rows * dims)
  for (let row = 0; row < rows; row++) {
    const part = values.subarray(row * dims, (row + 1) * dims)
    const length = Math.hypot(...part)
    part.forEach((value, i) => {
      part[i] = value / length
    })
  }
  return values
}

const music = musicLayout(7, 9)
const video = videoLayout(5, 12)
const parameters: ZeroShotParameters = {
  blocks: [4, 3, 2],
  phrases: unitRows(9 * 3, 16),
  phrasesPerTag: 3,
  textDims: 16,
  temperature: 0.1,
  nullCosine: 0.3,
  leastSaid: 0.05,
  tagTexts: floats(9 * 16),
  tagTextMean: floats(16, -0.1, 0.1),
  meaningWeight: 0.65,
  classTags: floats(12 * 9),
  classTexts: floats(12 * 16),
  topClasses: 4,
}

const D = jointDims(parameters)

const sequence = (segments: number, dims: number): FeatureSequence => ({
  values: floats(segments * dims, 0.01, 0.99),
  segments,
  dims,
})

/** Rows of different lengths side by side, with padding of a value that would be seen if it were not masked. */
function pad(sequences: readonly FeatureSequence[]) {
  const { dims } = sequences[0]!
  const longest = Math.max(...sequences.map(({ segments }) => segments))
  const values = new Float32Array(sequences.length * longest * dims).fill(0.5)
  const mask = new Float32Array(sequences.length * longest)
  sequences.forEach((one, b) => {
    values.set(one.values, b * longest * dims)
    mask.fill(1, b * longest, b * longest + one.segments)
  })
  return {
    values: new Tensor('float32', values, [sequences.length, longest, dims]),
    mask: new Tensor('float32', mask, [sequences.length, longest]),
    longest,
  }
}

function assertNear(actual: Float32Array, expected: readonly number[], what: string): void {
  assert.equal(actual.length, expected.length, what)
  expected.forEach((value, i) => {
    assert.ok(Math.abs(actual[i]! - value) < 1e-5, `${what}[${i}] is ${actual[i]}, should be ${value}`)
  })
}

test('the music graph gives what the plain implementation gives, for tracks of different lengths in one batch', async () => {
  const session = await InferenceSession.create(zeroShotMusicTower(parameters, music))
  const tracks = [1, 4, 2].map((segments) => sequence(segments, music.dims))
  const { values, mask, longest } = pad(tracks)
  const { whole, segments } = await session.run({ features: values, mask })
  assert.deepEqual(segments!.dims, [3, longest, D])
  tracks.forEach((track, b) => {
    const expected = referenceMusic(parameters, music, track)
    assertNear((whole!.data as Float32Array).slice(b * D, (b + 1) * D), expected.whole, `whole ${b}`)
    const padded = Array.from({ length: longest }, (_, n) => expected.segments[n] ?? new Array<number>(D).fill(0))
    const rows = (segments!.data as Float32Array).slice(b * longest * D, (b + 1) * longest * D)
    assertNear(rows, padded.flat(), `segments ${b}`)
  })
  await session.release()
})

test('the query graph gives what the plain implementation gives, for words, pictures and both in one batch', async () => {
  const session = await InferenceSession.create(zeroShotQueryTower(parameters, video))
  const videos = [3, 1, 2].map((segments) => sequence(segments, video.dims))
  const texts = unitRows(3, 16)
  const weights = [
    [1, 0.5],
    [0, 1],
    [2, 0],
  ] as const
  const { values, mask } = pad(videos)
  const { vector } = await session.run({
    video: values,
    video_mask: mask,
    text: new Tensor('float32', texts, [3, 16]),
    weights: new Tensor('float32', Float32Array.from(weights.flat()), [3, 2]),
  })
  videos.forEach((one, b) => {
    const text = texts.slice(b * 16, (b + 1) * 16)
    const expected = referenceQuery(parameters, video, { video: one, text, weights: weights[b]! })
    assertNear((vector!.data as Float32Array).slice(b * D, (b + 1) * D), expected, `query ${b}`)
  })
  await session.release()
})

test('words that match no phrase turn a query that has a video less than words that do', async () => {
  const text = parameters.phrases.slice(0, 16) // the first phrase itself
  const clip = sequence(2, video.dims)
  const turned = async (nullCosine: number) => {
    const session = await InferenceSession.create(zeroShotQueryTower({ ...parameters, nullCosine }, video))
    const ask = async (weights: readonly [number, number]) => {
      const { values, mask } = pad([clip])
      const { vector } = await session.run({
        video: values,
        video_mask: mask,
        text: new Tensor('float32', text, [1, 16]),
        weights: new Tensor('float32', Float32Array.from(weights), [1, 2]),
      })
      return vector!.data as Float32Array
    }
    const cosine = dot(await ask([1, 1]), await ask([0, 1]))
    await session.release()
    return 1 - cosine
  }
  assert.ok((await turned(2)) < (await turned(0.3))) // no cosine comes near 2
})

test('the same parameters give the same bytes', () => {
  assert.deepEqual(zeroShotMusicTower(parameters, music), zeroShotMusicTower(parameters, music))
  assert.deepEqual(zeroShotQueryTower(parameters, video), zeroShotQueryTower(parameters, video))
})
