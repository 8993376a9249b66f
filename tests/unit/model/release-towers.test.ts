/** The served graphs of every variant, by itself and beside MT, against the definitions in float64. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Parameter } from '../../../model/ops.ts'
import { type ReleaseModel, releaseMusicTower, releaseQueryTower } from '../../../model/release-towers.ts'
import {
  type EncoderConfig,
  type Fusion,
  initialParameters,
  type Modality,
  type VimlConfig,
} from '../../../model/viml.ts'
import type { FeatureSequence } from '../../../ports/encoder.ts'
import { type EvaluationSession, evaluationSession } from '../../../trainer/graph/training-session.ts'
import { towersGraph } from '../../../trainer/graphs.ts'
import { TEMPERATURE } from '../../../trainer/loss.ts'
import type { Values } from '../../../trainer/step-backend.ts'
import { assertClose, randomValues } from '../../support/ops-check.ts'
import { type Asked, expectedQuery, expectedTrack } from '../../support/release-reference.ts'

const widths = { video: 7, music: 6, text: 5 }
const xNull = randomValues('x_null', [widths.text])
const encoders: readonly EncoderConfig[] = [
  { kind: 'residual-mlp', layers: 2, hidden: 12 },
  { kind: 'transformer', layers: 2, hidden: 12, heads: 2, segments: 4 },
]
const FUSIONS: readonly Fusion[] = ['add', 'linear', 'mlp', 'transformer-1', 'transformer-2']
/** Lengths of the sequences of a batch: some longer than the Transformer reads. */
const LENGTHS = [1, 3, 4, 6, 2, 9]
/** What padding holds. */
const JUNK = [Number.NaN, Number.POSITIVE_INFINITY, 1e30]
const TOLERANCE = 1e-5

function modelOf(query: VimlConfig['query'], encoder: EncoderConfig, fusion: Fusion, share: number): ReleaseModel {
  const config: VimlConfig = { query, widths, dims: 8, encoder, fusion, dropout: 0.3, inputDropout: 0.3 }
  const statistics = (modality: Modality) => ({
    mean: randomValues(`mean of ${modality}`, [widths[modality]]),
    deviation: randomValues(`deviation of ${modality}`, [widths[modality]], 0.5, 2),
  })
  const initial = initialParameters(config, 1, {
    video: statistics('video'),
    music: statistics('music'),
    text: statistics('text'),
  })
  const parameters = new Map<string, Parameter>()
  for (const [name, parameter] of initial) {
    const [low, high] = name.endsWith('.gain') ? [0.5, 1.5] : [-0.7, 0.7]
    const values = randomValues(`${query} ${name}`, parameter.shape, low, high)
    parameters.set(name, parameter.trained ? { ...parameter, values } : parameter)
  }
  parameters.set(TEMPERATURE, { shape: [1], values: Float32Array.of(2), trained: true, decays: false })
  return { config, parameters, share }
}

function sequence(name: string, segments: number, dims: number): FeatureSequence {
  return { values: randomValues(name, [segments, dims], -3, 3), segments, dims }
}

/** (B, S, dims) and (B, S); where nothing is stands junk. */
function padded(
  sequences: readonly (FeatureSequence | undefined)[],
  dims: number,
  junk: readonly number[] = JUNK,
): [features: Values, mask: Values] {
  const most = Math.max(...sequences.map((one) => one?.segments ?? 1))
  const features = Float32Array.from({ length: sequences.length * most * dims }, (_, i) => junk[i % junk.length]!)
  const mask = new Float32Array(sequences.length * most)
  for (const [i, one] of sequences.entries()) {
    if (one === undefined) continue
    features.set(one.values, i * most * dims)
    mask.fill(1, i * most, i * most + one.segments)
  }
  return [
    { shape: [sequences.length, most, dims], values: features },
    { shape: [sequences.length, most], values: mask },
  ]
}

async function musicVectors(models: readonly ReleaseModel[], tracks: readonly FeatureSequence[]) {
  const session = await evaluationSession(releaseMusicTower(models), { threads: 1 })
  const [features, mask] = padded(tracks, widths.music)
  const outputs = await session.run(new Map(Object.entries({ features, mask })))
  await session.dispose()
  return { whole: outputs.get('whole')!, segments: outputs.get('segments')! }
}

/** @returns (B, D), one row each. */
async function queryRows(session: EvaluationSession, asks: readonly Asked[]): Promise<Float32Array[]> {
  const [video, mask] = padded(
    asks.map((asked) => asked.video),
    widths.video,
  )
  const text = asks.flatMap((asked) => [...(asked.text ?? new Float32Array(widths.text).fill(Number.NaN))])
  const weights = asks.flatMap(({ weights = { text: 1, video: 1 }, ...asked }) => [
    asked.text === undefined ? 0 : weights.text,
    asked.video === undefined ? 0 : weights.video,
  ])
  const inputs = new Map<string, Values>([
    ['video', video],
    ['video_mask', mask],
    ['text', { shape: [asks.length, widths.text], values: Float32Array.from(text) }],
    ['weights', { shape: [asks.length, 2], values: Float32Array.from(weights) }],
  ])
  const { shape, values } = (await session.run(inputs)).get('vector')!
  return asks.map((_, i) => values.subarray(i * shape[1]!, (i + 1) * shape[1]!))
}

/** Videos, words, both, and both by all kinds of weights. */
const asks: readonly Asked[] = [
  { video: sequence('v0', 3, widths.video), text: randomValues('t0', [widths.text]) },
  { video: sequence('v1', 1, widths.video) },
  { text: randomValues('t2', [widths.text]) },
  { video: sequence('v3', 9, widths.video), text: randomValues('t3', [widths.text]), weights: { text: 1, video: 3 } },
  { video: sequence('v4', 4, widths.video), text: randomValues('t4', [widths.text]), weights: { text: 5, video: 2 } },
  { video: sequence('v5', 2, widths.video), text: randomValues('t5', [widths.text]), weights: { text: 0, video: 0.1 } },
  { video: sequence('v6', 5, widths.video), text: randomValues('t6', [widths.text]), weights: { text: 9, video: 0 } },
  { video: sequence('v7', 6, widths.video), weights: { text: 0, video: 4 } },
]

const variants = encoders.flatMap((encoder) => [
  ...FUSIONS.map((fusion) => ({
    name: `ViML, ${encoder.kind}, fusion ${fusion}`,
    query: 'video+text' as const,
    encoder,
    fusion,
  })),
  { name: `MVPt+, ${encoder.kind}`, query: 'video' as const, encoder, fusion: 'add' as const },
  { name: `MT, ${encoder.kind}`, query: 'text' as const, encoder, fusion: 'add' as const },
])

const releases = variants.flatMap(({ name, query, encoder, fusion }) => {
  const alone = { name, models: [modelOf(query, encoder, fusion, 1)] }
  if (query !== 'video+text') return [alone]
  const models = [modelOf(query, encoder, fusion, 0.65), modelOf('text', encoder, 'add', 0.35)]
  return [alone, { name: `${name} & MT`, models }]
})

for (const { name, models } of releases) {
  describe(name, () => {
    test('tracks of a padded batch, and each of their segments, have the vectors of the definitions', async () => {
      const tracks = LENGTHS.map((segments, i) => sequence(`m${i}`, segments, widths.music))
      const { whole, segments } = await musicVectors(models, tracks)
      const [, most, dims] = segments.shape as [number, number, number]
      assert.deepEqual(segments.shape.slice(0, 2), [LENGTHS.length, Math.max(...LENGTHS)])
      for (const [i, track] of tracks.entries()) {
        const row = whole.values.subarray(i * dims, (i + 1) * dims)
        assertClose(row, expectedTrack(models, track), TOLERANCE, `track ${i}`)
        for (let at = 0; at < most; at++) {
          const found = segments.values.subarray((i * most + at) * dims, (i * most + at + 1) * dims)
          const values = track.values.subarray(at * widths.music, (at + 1) * widths.music)
          const expected =
            at < track.segments
              ? expectedTrack(models, { values, segments: 1, dims: widths.music })
              : new Array<number>(dims).fill(0)
          assertClose(found, expected, TOLERANCE, `track ${i}, segment ${at}`)
        }
      }
    })

    if (models.length === 1) {
      test('videos, words and tracks have the vectors of the graph that training validates with', async () => {
        const [model] = models
        const { bytes, inputs } = towersGraph(model!.config, model!.parameters)
        const videos = [1, 4, 2].map((segments, i) => sequence(`tv${i}`, segments, widths.video))
        const tracks = [3, 1, 4].map((segments, i) => sequence(`tm${i}`, segments, widths.music))
        const texts = videos.map((_, i) => randomValues(`tt${i}`, [widths.text]))
        const [video, videoMask] = padded(videos, widths.video, [0])
        const [music, musicMask] = padded(tracks, widths.music, [0])
        const given: Readonly<Record<string, Values>> = {
          video,
          'video.mask': videoMask,
          music,
          'music.mask': musicMask,
          text: { shape: [3, widths.text], values: Float32Array.from(texts.flatMap((text) => [...text])) },
        }
        const trainer = await evaluationSession(bytes, { threads: 1 })
        const outputs = await trainer.run(new Map(inputs.map((name) => [name, given[name]!])))
        await trainer.dispose()
        const session = await evaluationSession(releaseQueryTower(models, xNull), { threads: 1 })
        const asked = videos.map((video, i) => ({ video, text: texts[i]! }))
        const queries = (await queryRows(session, asked)).flatMap((row) => [...row])
        await session.dispose()
        assertClose(queries, outputs.get('query')!.values, TOLERANCE, 'queries')
        const { whole } = await musicVectors(models, tracks)
        assertClose(whole.values, outputs.get('track')!.values, TOLERANCE, 'tracks')
      })
    }

    test('queries by all weights, beside each other and alone, have the vectors of the definitions', async () => {
      const session = await evaluationSession(releaseQueryTower(models, xNull), { threads: 1 })
      for (const [i, row] of (await queryRows(session, asks)).entries()) {
        const expected = expectedQuery(models, xNull, asks[i]!)
        assertClose(row, expected, TOLERANCE, `query ${i}`)
        const [alone] = await queryRows(session, [asks[i]!])
        assertClose(alone!, expected, TOLERANCE, `query ${i} alone`)
      }
      await session.dispose()
    })
  })
}
