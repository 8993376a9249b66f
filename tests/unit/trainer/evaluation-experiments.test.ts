/** The tables of the paper from pairs of a toy world, in processes of their own. */
import assert from 'node:assert/strict'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type ExperimentOptions, experiment } from '../../../trainer/evaluation/experiments.ts'
import { TABLE_IDS, tablesOf } from '../../../trainer/evaluation/methods.ts'
import { modelVectors, scoresOf } from '../../../trainer/evaluation/model-scores.ts'
import { markdownOf } from '../../../trainer/evaluation/report/markdown.ts'
import { evaluateRetrieval } from '../../../trainer/evaluation/retrieval.ts'
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
const data = { training: tinyPairs(64, 1), validation: tinyPairs(24, 2), test: tinyPairs(30, 3) }

describe('an experiment', () => {
  const folder = temporaryFolder()
  const options: ExperimentOptions = {
    recipe,
    data,
    tables: tablesOf(TABLE_IDS, true),
    seeds: 2,
    poolSizes: [20, 31],
    jobs: 2,
    folder,
  }

  test('trains each model once from each seed, measures every method, and keeps what is done', async () => {
    const first = await experiment(options)
    assert.equal(first.set, 'test')
    assert.deepEqual(first.leftOut, [31])
    assert.deepEqual([first.runs, first.kept], [2 + 2 * 14, 0])
    assert.deepEqual(
      first.measured.map(({ size }) => size),
      [20],
    )
    const rows = first.measured[0]!.tables.flatMap((table) => table.rows)
    assert.equal(rows.length, 6 + 10 + 10 + 6 + 4)
    for (const { mean, bySeed, method } of rows) {
      const seeds = bySeed.map(({ figures }) => figures.recall[10])
      const middle = seeds.reduce((sum, value) => sum + value, 0) / seeds.length
      assert.ok(Math.abs(mean.recall[10].value - middle) < 1e-9, `${method.id}: ${mean.recall[10].value}, ${seeds}`)
    }

    const [lost] = readdirSync(folder)
    const times = (name: string) => statSync(join(folder, name, 'run.json')).mtimeMs
    const before = readdirSync(folder).map((name) => [name, times(name)] as const)
    rmSync(join(folder, lost!), { recursive: true })
    const again = await experiment(options)
    assert.equal(again.kept, first.runs - 1)
    for (const [name, time] of before) {
      if (name !== lost) assert.equal(times(name), time, `${name} was done again`)
    }
    assert.equal(markdownOf(again), markdownOf(first))
  })

  test('figures are those of the model as trained here', async () => {
    const result = await experiment({ ...options, tables: tablesOf(['main'], true) })
    const { method, bySeed } = result.measured[0]!.tables[0]!.rows.at(-1)!
    assert.deepEqual(method, result.reference)
    const config = { ...recipe, textDropout: 0.8, seed: recipe.seed + 1 }
    const validate = retrievalValidation(data.validation, config, 1)
    const trained = await train({ config, pairs: data.training, threads: 1, validate })
    const scores = scoresOf(await modelVectors(trained, data.test, { threads: 1 }), 'video+text')
    const { figures } = evaluateRetrieval(scores, data.test.trackIds, result.measured[0]!.pools)
    assert.deepEqual(bySeed[1]!.figures, figures)
    assert.notDeepEqual(bySeed[0]!.figures, figures)
  })

  test('asked by video alone, a model is given what it is given where there are no words', async () => {
    const { texts, ...rest } = data.test
    const silent = { ...rest, texts: { ...texts!, rows: new Uint32Array(rest.count) } }
    const validate = async () => 1
    const trained = await train({ config: { ...recipe, textDropout: 0.5 }, pairs: data.training, threads: 1, validate })
    const { queries } = await modelVectors(trained, data.test, { threads: 1 })
    const { queries: without } = await modelVectors(trained, silent, { threads: 1 })
    assert.deepEqual(queries.get('video'), without.get('video+text'))
    assert.notDeepEqual(queries.get('video+text'), without.get('video+text'))
  })

  test('other pairs or another recipe are other runs', async () => {
    const tables = tablesOf(['temperature'], true)
    const other = { ...data, training: tinyPairs(64, 4) }
    assert.equal((await experiment({ ...options, tables, data: other, seeds: 1 })).kept, 0)
    assert.equal((await experiment({ ...options, tables, recipe: { ...recipe, epochs: 1 }, seeds: 1 })).kept, 0)
  })

  test('without words there are the models that take none', async () => {
    const wordless = <T extends object>(pairs: T) => ({ ...pairs, texts: undefined })
    const result = await experiment({
      ...options,
      data: { training: wordless(data.training), validation: wordless(data.validation) },
      tables: tablesOf(TABLE_IDS, false),
      poolSizes: [24],
    })
    assert.equal(result.set, 'validation')
    const labels = result.measured[0]!.tables.flatMap(({ rows }) => rows.map(({ method }) => method.label))
    assert.deepEqual(labels, ['ridge CCA, video', 'MVPt+, video'])
  })

  test('pools that are all too large are refused before anything is trained', async () => {
    await assert.rejects(experiment({ ...options, folder: join(folder, 'none'), poolSizes: [500, 2_000] }), {
      code: 'pool-too-large',
      message: /500, 2000 are larger than the 30 pairs/,
    })
  })

  test('a run that breaks down is named, and ends the experiment', async () => {
    const broken = { ...data, training: tinyPairs(64, 1) }
    broken.training.weights[0] = Number.POSITIVE_INFINITY
    await assert.rejects(experiment({ ...options, data: broken, tables: tablesOf(['dropout'], true) }), {
      code: 'diverged',
      message: /^(viml|p = 0(\.5)?), seed \d: Training broke down/,
    })
  })
})
