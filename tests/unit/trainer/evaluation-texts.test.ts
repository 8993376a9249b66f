/** Which text trains best, on pairs of a toy world. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { textVectorOf } from '../../../trainer/data/pairs.ts'
import { modelVectors, scoresOf } from '../../../trainer/evaluation/model-scores.ts'
import { textMarkdown, textReport } from '../../../trainer/evaluation/report/text-report.ts'
import { drawPools, evaluateRetrieval } from '../../../trainer/evaluation/retrieval.ts'
import { stacked, textExperiment, type Wording } from '../../../trainer/evaluation/text-experiment.ts'
import { retrievalValidation } from '../../../trainer/evaluation/validation.ts'
import { train } from '../../../trainer/train.ts'
import { parseTrainConfig } from '../../../trainer/train-config.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { tinyPairs } from '../../support/tiny-pairs.ts'

const recipe = parseTrainConfig({
  dims: 8,
  encoder: { kind: 'residual-mlp', layers: 1, hidden: 8 },
  fusion: 'mlp',
  batch: 16,
  epochs: 2,
  learningRate: 0.01,
})
const [training, validation] = [tinyPairs(64, 1), tinyPairs(24, 2)]

/** The same pairs, whose words all say nothing. */
function mute(pairs: typeof training) {
  return { ...pairs, texts: { ...pairs.texts!, rows: new Uint32Array(pairs.texts!.rows.length) } }
}
const wordings: Wording[] = [
  { id: 'true', training, validation },
  { id: '<none>', training: mute(training), validation: mute(validation) },
]

test('a stack has the same features and ids each time, and the texts of each of its pairs', () => {
  const both = stacked(wordings.map((wording) => wording.validation))
  assert.equal(both.count, 2 * validation.count)
  assert.equal(both.texts!.variants, 1)
  for (let pair = 0; pair < validation.count; pair++) {
    assert.deepEqual(textVectorOf(both.texts!, pair), textVectorOf(validation.texts!, pair))
    assert.deepEqual(textVectorOf(both.texts!, validation.count + pair), textVectorOf(mute(validation).texts!, pair))
    assert.equal(both.trackIds[validation.count + pair], validation.trackIds[pair])
    const at = both.video.offsets[validation.count + pair]! * both.video.dims
    assert.equal(
      both.video.values[at],
      validation.video.values[validation.video.offsets[pair]! * validation.video.dims],
    )
  }
})

test('each model is trained on one wording and asked with every one, as if it were measured alone', async () => {
  const result = await textExperiment({ recipe, wordings, seeds: 1, poolSize: 20, jobs: 2, folder: temporaryFolder() })
  assert.deepEqual(result.rows.map(({ label, trainedOn, askedWith }) => `${label}: ${trainedOn} ${askedWith}`).sort(), [
    'MT, words alone: <none> <none>',
    'MT, words alone: <none> true',
    'MT, words alone: true <none>',
    'MT, words alone: true true',
    'ViML, video + words: <none> <none>',
    'ViML, video + words: <none> true',
    'ViML, video + words: true <none>',
    'ViML, video + words: true true',
    'ViML, video alone: <none> ',
    'ViML, video alone: true ',
  ])
  const config = { ...recipe, query: 'video+text', textDropout: 0.8 } as const
  const validate = retrievalValidation(validation, config, 1)
  const { model, parameters } = await train({ config, pairs: training, validate, threads: 1 })
  for (const { id, validation: asked } of wordings) {
    const scores = scoresOf(await modelVectors({ model, parameters }, asked, { threads: 1 }), 'video+text')
    const alone = evaluateRetrieval(scores, asked.trackIds, drawPools(asked.count, 20))
    const row = result.rows.find(
      (one) => one.label === 'ViML, video + words' && one.trainedOn === 'true' && one.askedWith === id,
    )!
    assert.deepEqual(row.bySeed[0]!.figures, alone.figures, id)
  }
  const markdown = textMarkdown(result)
  assert.match(markdown, /### MT, words alone/)
  assert.equal(markdown.match(/^\| true \| true \|/gm)?.length, 2)
  const page = textReport(result, ['about <b>'])
  assert.ok(page.includes('&#60;none&#62;') && !page.includes('<none>') && !page.includes('<b>'))
})
