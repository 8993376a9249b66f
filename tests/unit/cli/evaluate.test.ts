/** `cuestream evaluate pairs` and `release` as a user types them, on pairs of a toy world with the product's own words. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openFileModelStore } from '../../../adapters/model-store/file.ts'
import { type LoadedProfile, loadProfile } from '../../../adapters/onnx/load-profile.ts'
import { loadTowers } from '../../../adapters/onnx/towers.ts'
import { repositoryPaths } from '../../../cli/paths.ts'
import { initialParameters, type VimlConfig } from '../../../model/viml.ts'
import { writeNpy } from '../../../trainer/data/npy.ts'
import { pairsFromFiles } from '../../../trainer/data/pairs-from-files.ts'
import { inputStatistics } from '../../../trainer/data/standardise.ts'
import { drawPools, evaluateRetrieval } from '../../../trainer/evaluation/retrieval.ts'
import { dotScores } from '../../../trainer/evaluation/scores.ts'
import { ASKS, towerVectors } from '../../../trainer/evaluation/tower-vectors.ts'
import { buildVimlRelease } from '../../../trainer/release/build.ts'
import { runCommand } from '../../support/product-process.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { tinyPairs } from '../../support/tiny-pairs.ts'

const folder = temporaryFolder()
const dataFolder = join(folder, 'data')

/** @returns the folder, as an operator brings it. */
function pairsFolder(name: string, count: number, seed: number): string {
  const { video, music, texts, videoIds } = tinyPairs(count, seed)
  const path = join(folder, name)
  mkdirSync(path)
  writeFileSync(join(path, 'visual.f16.npy'), writeNpy({ shape: [count, video.dims], values: video.values }))
  writeFileSync(join(path, 'audio.f16.npy'), writeNpy({ shape: [count, music.dims], values: music.values }))
  const rows = videoIds.map((id, pair) => `${id},${texts!.strings[texts!.rows[pair]!]}`)
  writeFileSync(join(path, 'items.csv'), `id,text\n${rows.join('\n')}\n`)
  return path
}

describe('evaluate pairs', () => {
  const recipe = join(folder, 'recipe.json')
  const train = pairsFolder('train', 64, 1)
  const validation = pairsFolder('validation', 24, 2)
  const out = join(folder, 'out')
  const common = ['evaluate', 'pairs', '--train', train, '--validation', validation, '--recipe', recipe, '--out', out]
  before(() => {
    const encoder = { kind: 'residual-mlp', layers: 1, hidden: 8 }
    writeFileSync(recipe, JSON.stringify({ dims: 8, encoder, fusion: 'add', batch: 16, epochs: 2 }))
  })

  test('one command trains, prints the tables, and leaves them as text, JSON and a page', async () => {
    const { code, stdout, stderr } = await runCommand(dataFolder, [
      ...common,
      ...['--only', 'main,ensembles', '--seeds', '1', '--pool', '20,500', '--jobs', '1'],
    ])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /### Models, N = 20\n/)
    assert.match(stdout, /^\| ViML, video \+ words \| [\d.]+ \| [\d.]+ \| [\d.]+ \|/m)
    assert.match(stdout, /^\| ViML & MT \|.*\| [01]\.\d\d \|$/m)
    assert.match(stdout, /Pools of 500 are larger than the validation pairs and were left out/)
    assert.match(stdout, /which flatters/)
    const { pools } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
    const shares = pools[0].tables[0].rows.map(({ mean }: { mean: { recall: object } }) => mean.recall)
    assert.equal(shares.length, 6)
    const told = (100 * shares.at(-1)[10].value).toFixed(1)
    const [row] = /^\| ViML, video \+ words .*$/m.exec(readFileSync(join(out, 'report.md'), 'utf8'))!
    assert.equal(row.split(' | ')[3], told)
    assert.match(readFileSync(join(out, 'report.html'), 'utf8'), new RegExp(`<td>${told}</td>`))
  })

  test('what cannot be is told before anything is trained', async () => {
    const wrong: [args: string[], code: string][] = [
      [[...common.slice(0, 5), join(folder, 'nowhere'), ...common.slice(6)], 'no-file'],
      [[...common, '--recipe', join(folder, 'nothing.json')], 'no-file'],
      [[...common, '--pool', '25,500', '--out', join(folder, 'other')], 'pool-too-large'],
    ]
    for (const [args, expected] of wrong) {
      const { code, stderr } = await runCommand(dataFolder, args)
      assert.deepEqual([code, stderr.split(':')[0]], [2, expected], stderr)
      assert.doesNotMatch(stderr, /\n {4}at /)
    }
    assert.equal(existsSync(join(folder, 'other', 'runs')), false)
    const { code, stderr } = await runCommand(dataFolder, [...common, '--only', 'everything'])
    assert.deepEqual([code, /there are the tables main, dropout/.test(stderr)], [2, true], stderr)
  })
})

describe('evaluate release', () => {
  const pairs = pairsFolder('kept-apart', 40, 7)
  const bundles = join(folder, 'bundles')
  let profile: LoadedProfile
  before(async () => {
    profile = await loadProfile('embedded', {
      repositoryModels: repositoryPaths.models,
      folder: join(dataFolder, 'models'),
    })
  })
  after(() => profile.dispose())

  /** Untrained models: what they rank is as good as any to compare by. */
  async function bundle(release: string, textEncoder: string): Promise<string> {
    const { textEncoder: encoder } = profile
    const data = await pairsFromFiles(pairs, { textEncoder: encoder })
    const widths = { video: 6, music: 5, text: encoder.dims }
    const untrained = (query: VimlConfig['query'], seed: number) => {
      const kind = { kind: 'residual-mlp', layers: 1, hidden: 8 } as const
      const model: VimlConfig = { query, widths, dims: 8, encoder: kind, fusion: 'add', dropout: 0, inputDropout: 0 }
      return { model, parameters: initialParameters(model, seed, inputStatistics(data)) }
    }
    const directory = join(folder, `made-${release}`)
    const manifest = await buildVimlRelease({
      directory,
      release,
      viml: untrained('video+text', 1),
      mt: untrained('text', 2),
      a: 0.3,
      xNull: await encoder.encode(['']),
      encoders: {
        video: { id: 'video@1', dims: widths.video },
        music: { id: 'music@1', dims: widths.music },
        text: { id: textEncoder, dims: widths.text },
      },
      metrics: {},
      parent: null,
      createdAt: '2026-01-02T03:04:05.678Z',
      card: { data: 'Toy pairs.', licence: 'None is needed.', figures: 'Untrained.', limits: 'All.' },
      training: {},
    })
    await openFileModelStore({ folder: bundles }).publish(manifest, directory)
    return join(bundles, release)
  }

  test('the towers of a bundle are measured as they are served', async () => {
    const { textEncoder } = profile
    const { code, stdout, stderr } = await runCommand(dataFolder, [
      ...['evaluate', 'release', await bundle('viml-toy', textEncoder.id), '--pairs', pairs, '--pool', '30,500'],
    ])
    assert.equal(code, 0, stderr)
    const data = await pairsFromFiles(pairs, { textEncoder })
    const towers = await loadTowers(openFileModelStore({ folder: bundles }), 'viml-toy')
    for (const [row, ask] of ASKS.entries()) {
      const { queries, tracks, dims } = await towerVectors(towers, data, ask)
      const { figures } = evaluateRetrieval(dotScores(queries, tracks, dims), data.trackIds, drawPools(data.count, 30))
      const cells = stdout
        .split('\n')
        .filter((line) => / (alone|words) \|/.test(line))
        [row]!.split(' | ')
      const told = cells.slice(1, 4).map((cell) => cell.split(' ')[0])
      assert.deepEqual(
        told,
        [1, 5, 10].map((k) => (100 * figures.recall[k as 1 | 5 | 10]).toFixed(1)),
        ask,
      )
    }
    await towers.dispose()
    assert.match(stdout, /Pools of 500 are larger than the 40 pairs and were left out/)
  })

  test('a release for other words, one that is nowhere, and pools without enough pairs are refused', async () => {
    const other = await bundle('viml-other', 'another-encoder')
    const own = await bundle('viml-own', profile.textEncoder.id)
    const wrong: [args: string[], code: string][] = [
      [[other, '--pairs', pairs, '--pool', '30'], 'encoder-mismatch'],
      [['viml-nowhere', '--pairs', pairs], 'unknown-release'],
      [[own, '--pairs', pairs, '--pool', '41'], 'pool-too-large'],
    ]
    for (const [args, expected] of wrong) {
      const { code, stderr } = await runCommand(dataFolder, ['evaluate', 'release', ...args])
      assert.deepEqual([code, stderr.split(':')[0]], [2, expected], stderr)
    }
  })
})
