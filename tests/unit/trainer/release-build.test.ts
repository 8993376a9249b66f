/** A release from training to answers: trained by heart, built, published, loaded and asked as it is served. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openFileModelStore } from '../../../adapters/model-store/file.ts'
import { loadTowers, type OnnxTowers } from '../../../adapters/onnx/towers.ts'
import { dot } from '../../../model/vector.ts'
import type { ReleaseManifest } from '../../../ports/release-manifest.ts'
import { type Pairs, sequenceOf, textVectorOf } from '../../../trainer/data/pairs.ts'
import { drawPools, evaluateRetrieval } from '../../../trainer/evaluation/retrieval.ts'
import { dotScores } from '../../../trainer/evaluation/scores.ts'
import { ASKS, towerVectors } from '../../../trainer/evaluation/tower-vectors.ts'
import { buildSingleRelease, buildVimlRelease, type VimlReleaseInput } from '../../../trainer/release/build.ts'
import { gateRelease } from '../../../trainer/release/gate.ts'
import { ownVectors, trainerVectors } from '../../../trainer/release/trainer-vectors.ts'
import { train } from '../../../trainer/train.ts'
import { parseTrainConfig } from '../../../trainer/train-config.ts'
import { randomPairs } from '../../support/random-pairs.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const COUNT = 12
const WIDTHS = { video: 6, music: 5, text: 4 }
const ENCODERS = {
  video: { id: 'video@1', dims: WIDTHS.video },
  music: { id: 'music@1', dims: WIDTHS.music },
  text: { id: 'text@1', dims: WIDTHS.text },
}
const ENCODER = { kind: 'transformer', layers: 1, hidden: 16, heads: 2, segments: 4 }

function byHeart(pairs: Pairs, given: object) {
  const fixed = { dims: 16, dropout: 0, batch: COUNT, epochs: 120, emaDecay: 0, weightDecay: 0, learningRate: 0.02 }
  const config = parseTrainConfig({ ...fixed, encoder: ENCODER, fusion: 'mlp', ...given })
  let epochs = 0
  return train({ config, pairs, threads: 1, validate: async () => ++epochs })
}

describe('a release of ViML and MT that were trained by heart', () => {
  const folder = temporaryFolder()
  const pairs = randomPairs(1, COUNT)
  const store = openFileModelStore({ folder: path.join(folder, 'store') })
  let input: VimlReleaseInput
  let manifest: ReleaseManifest
  let towers: OnnxTowers

  before(async () => {
    input = {
      directory: path.join(folder, 'a'),
      viml: await byHeart(pairs, { textDropout: 0.5 }),
      mt: await byHeart(pairs, { query: 'text', textDropout: 0 }),
      a: 0.3,
      xNull: pairs.texts!.vectors.slice(0, WIDTHS.text),
      encoders: ENCODERS,
      metrics: { 'video.recallAt10': 1 },
      parent: 'zero-shot-1',
      createdAt: '2026-01-02T03:04:05.678Z',
      card: { data: 'Twelve random pairs.', licence: 'None is needed.', figures: 'By heart.', limits: 'All else.' },
      training: { seed: 1 },
    }
    manifest = await buildVimlRelease(input)
    await store.publish(manifest, input.directory)
    towers = await loadTowers(store, manifest.release)
  })

  after(() => towers.dispose())

  const features = (side: 'video' | 'music', pair: number) => {
    const values = sequenceOf(pairs[side], pair)
    return { values, segments: values.length / WIDTHS[side], dims: WIDTHS[side] }
  }
  const video = (pair: number) => features('video', pair)
  const text = (pair: number) => textVectorOf(pairs.texts!, pair)

  for (const ask of ASKS) {
    test(`${ask} ranks every pair's own track first`, async () => {
      const { queries, tracks, dims } = await towerVectors(towers, pairs, ask)
      const scores = dotScores(queries, tracks, dims)
      const { figures } = evaluateRetrieval(scores, pairs.trackIds, drawPools(COUNT, COUNT, [0]))
      assert.equal(figures.recall[1], 1)
    })
  }

  test('its vectors are those of the trainer, and it passes the gate', async () => {
    const vectors = trainerVectors(await ownVectors(input, pairs, { threads: 1 }), input.a, pairs)
    assert.deepEqual(Object.keys(vectors), [...ASKS])
    const { passed, reasons, metrics } = await gateRelease({
      candidate: towers,
      serving: undefined,
      evaluation: pairs,
      encoders: ENCODERS,
      margin: 0,
      trainerVectors: vectors,
    })
    assert.deepEqual(
      reasons.map(({ code }) => code),
      ['nothing-serving'],
    )
    assert.ok(passed, 'refused')
    assert.ok(metrics['parity.largestDifference']! < 1e-6, String(metrics['parity.largestDifference']))
    assert.equal(metrics['video+text.recallAt1'], 1)
  })

  test('with one weight that is NaN it is built and loaded, and the gate refuses it by the pair that shows it', async () => {
    const parameters = new Map(input.viml.parameters)
    const weight = parameters.get('video.projection.weight')!
    parameters.set('video.projection.weight', { ...weight, values: weight.values.with(5, Number.NaN) })
    const directory = path.join(folder, 'nan')
    const broken = await buildVimlRelease({ ...input, directory, viml: { ...input.viml, parameters } })
    await store.publish(broken, directory)
    const candidate = await loadTowers(store, broken.release)
    const { passed, reasons } = await gateRelease({
      candidate,
      serving: towers,
      evaluation: pairs,
      encoders: ENCODERS,
      margin: 1,
    })
    await candidate.dispose()
    assert.equal(passed, false)
    assert.deepEqual(
      reasons.map(({ code }) => code),
      ['bad-vectors'],
    )
    assert.match(reasons[0]!.message, /pair-0, pair 0: .* length NaN/)
  })

  test('the weights move a query from its video to its words in small steps', async () => {
    const [pictures, words] = [await towers.query({ video: video(0) }), await towers.query({ text: text(1) })]
    const steps = Array.from({ length: 101 }, (_, i) => i / 100)
    const path: Float32Array[] = []
    for (const share of steps) {
      const weights = { text: share, video: 1 - share }
      path.push(await towers.query({ video: video(0), text: text(1), weights }))
    }
    assert.deepEqual(path[0], pictures)
    assert.deepEqual(path.at(-1), words)
    for (const [i, vector] of path.slice(1).entries()) {
      assert.ok(dot(vector, path[i]!) > 0.99, `it jumps at ${steps[i]}`)
    }
    const nearness = path.slice(50).map((vector) => dot(vector, words))
    assert.deepEqual(
      nearness,
      nearness.toSorted((a, b) => a - b),
    )
    const equal = await towers.query({ video: video(0), text: text(1), weights: { text: 3, video: 3 } })
    assert.deepEqual(equal, await towers.query({ video: video(0), text: text(1) }))
  })

  test('a track is scored by the ensemble: (1 − a) by ViML and a by MT', async () => {
    const store = openFileModelStore({ folder: path.join(folder, 'parts') })
    const scoreOf = async (part: OnnxTowers) => {
      const { whole } = await part.music(features('music', 3))
      return dot(await part.query({ video: video(0), text: text(1) }), whole)
    }
    const alone = async (trained: VimlReleaseInput['viml'], directory: string) => {
      const single = await buildSingleRelease({ ...input, directory: path.join(folder, directory), trained })
      await store.publish(single, path.join(folder, directory))
      const part = await loadTowers(store, single.release)
      const score = await scoreOf(part)
      await part.dispose()
      return { score, model: single.model }
    }
    const [viml, mt] = [await alone(input.viml, 'viml'), await alone(input.mt, 'mt')]
    assert.deepEqual([viml.model, mt.model], ['viml', 'mt'])
    const expected = 0.7 * viml.score + 0.3 * mt.score
    assert.ok(Math.abs((await scoreOf(towers)) - expected) < 1e-5, `not ${expected}`)
  })

  test('the same models give the same bytes; its id tells its time and its content', async () => {
    const again = await buildVimlRelease({ ...input, directory: path.join(folder, 'b') })
    assert.deepEqual(again, manifest)
    assert.match(manifest.release, /^viml-20260102-030405-[0-9a-f]{8}$/)
    const other = await buildVimlRelease({ ...input, directory: path.join(folder, 'c'), a: 0.31 })
    assert.notEqual(other.release, manifest.release)
  })

  test('the bundle says how it was made', async () => {
    const { directory } = await store.fetch(manifest.release)
    const training = JSON.parse(await readFile(path.join(directory, 'training.json'), 'utf8'))
    assert.deepEqual(
      training.parts.map(({ query, share }: { query: string; share: number }) => [query, share]),
      [
        ['video+text', 0.7],
        ['text', 0.3],
      ],
    )
    assert.deepEqual(training.training, { seed: 1 })
    const card = await readFile(path.join(directory, 'card.md'), 'utf8')
    for (const part of [manifest.release, 'ViML & MT', 'Twelve random pairs.', 'None is needed.', 'music@1']) {
      assert.ok(card.includes(part), `the card does not say ${part}`)
    }
  })

  test('models that are not ViML and MT, of other encoders, or without weight are refused', async () => {
    const refused = async (change: Partial<VimlReleaseInput>, message: RegExp) => {
      await assert.rejects(buildVimlRelease({ ...input, directory: path.join(folder, 'bad'), ...change }), (error) => {
        assert.equal((error as { code?: string }).code, 'bad-release')
        assert.match((error as Error).message, message)
        return true
      })
    }
    await refused({ viml: input.mt }, /ask with text and text/)
    await refused({ a: 0 }, /a is 0/)
    await refused({ a: Number.NaN }, /a is NaN/)
    await refused({ xNull: new Float32Array(3) }, /x_NULL has 3 values/)
    await refused({ encoders: { ...ENCODERS, music: { id: 'music@2', dims: 9 } } }, /5 dims, where music@2 gives 9/)
  })
})
