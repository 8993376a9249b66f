/** Towers of the size that is served, on inputs like those of the encoders, against the trainer's own graphs. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { openFileModelStore } from '../../../adapters/model-store/file.ts'
import { loadTowers } from '../../../adapters/onnx/towers.ts'
import { initialParameters } from '../../../model/viml.ts'
import type { Pairs, RaggedSequences } from '../../../trainer/data/pairs.ts'
import { inputStatistics } from '../../../trainer/data/standardise.ts'
import { ASKS, towerVectors } from '../../../trainer/evaluation/tower-vectors.ts'
import { buildVimlRelease, type TrainedModel } from '../../../trainer/release/build.ts'
import { ownVectors, trainerVectors } from '../../../trainer/release/trainer-vectors.ts'
import { modelConfig, parseTrainConfig } from '../../../trainer/train-config.ts'
import { assertClose, randomValues } from '../../support/ops-check.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

/** The last is longer than the Transformer reads. */
const LENGTHS = [1, 18, 6, 3, 70]
const WIDTHS = { video: 1_280, music: 753, text: 384 }
const ENCODERS = {
  video: { id: 'video@1', dims: WIDTHS.video },
  music: { id: 'music@1', dims: WIDTHS.music },
  text: { id: 'text@1', dims: WIDTHS.text },
}

/** As a last ReLU gives them: half are 0, and a few are large. */
function activations(name: string, lengths: readonly number[], dims: number): RaggedSequences {
  const offsets = new Uint32Array(lengths.length + 1)
  for (const [i, length] of lengths.entries()) offsets[i + 1] = offsets[i]! + length
  const values = randomValues(name, [offsets.at(-1)!, dims]).map((value) => (value < 0 ? 0 : -Math.log(1 - value)))
  return { values, offsets, dims }
}

function likeReal(): Pairs {
  const ids = LENGTHS.map((length) => `pair-of-${length}`)
  const bound = Math.sqrt(3 / WIDTHS.text) // about unit rows
  return {
    count: ids.length,
    video: activations('video', LENGTHS, WIDTHS.video),
    music: activations('music', LENGTHS.toReversed(), WIDTHS.music),
    texts: {
      strings: ['', ...ids],
      dims: WIDTHS.text,
      vectors: randomValues('texts', [ids.length + 1, WIDTHS.text], -bound, bound),
      variants: 1,
      rows: Uint32Array.from(ids, (_, pair) => pair + 1),
    },
    videoIds: ids,
    trackIds: ids,
    artists: ids,
    weights: new Float32Array(ids.length).fill(1),
  }
}

/** Of the default size; what begins at 0 is as large as the rest, as if long trained. */
function modelOf(given: object, pairs: Pairs): TrainedModel {
  const model = modelConfig(parseTrainConfig(given), WIDTHS)
  const parameters = new Map(initialParameters(model, 1, inputStatistics(pairs)))
  for (const [name, parameter] of parameters) {
    if (!parameter.decays) continue
    const bound = Math.sqrt(3 / parameter.shape[0]!)
    parameters.set(name, { ...parameter, values: randomValues(name, parameter.shape, -bound, bound) })
  }
  return { model, parameters }
}

for (const [name, given] of Object.entries({
  'of Transformers': {},
  'of residual MLPs': { encoder: { kind: 'residual-mlp', layers: 2, hidden: 1_024 }, fusion: 'mlp' },
})) {
  test(`a release ${name}, of the default size, gives the trainer's vectors to within 1e-5`, async () => {
    const folder = temporaryFolder()
    const pairs = likeReal()
    const models = { viml: modelOf(given, pairs), mt: modelOf({ ...given, query: 'text' }, pairs), a: 0.35 }
    const directory = path.join(folder, 'bundle')
    const manifest = await buildVimlRelease({
      ...models,
      directory,
      xNull: pairs.texts!.vectors.slice(0, WIDTHS.text),
      encoders: ENCODERS,
      metrics: {},
      parent: null,
      createdAt: '2026-01-01T00:00:00.000Z',
      card: { data: '', licence: '', figures: '', limits: '' },
      training: {},
    })
    const store = openFileModelStore({ folder: path.join(folder, 'store') })
    await store.publish(manifest, directory)
    const towers = await loadTowers(store, manifest.release)
    const expected = trainerVectors(await ownVectors(models, pairs, { threads: 1 }), models.a, pairs)
    for (const ask of ASKS) {
      const found = await towerVectors(towers, pairs, ask)
      assert.equal(found.dims, expected[ask]!.dims)
      assertClose(found.queries, expected[ask]!.queries, 1e-5, `queries by ${ask}`)
      assertClose(found.tracks, expected[ask]!.tracks, 1e-5, 'tracks')
    }
    await towers.dispose()
  })
}
