/** `cuestream train` as a process: from a folder of pairs to a release that serves. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { before, describe, test } from 'node:test'
import { openFileModelStore } from '../../adapters/model-store/file.ts'
import { loadProfile } from '../../adapters/onnx/load-profile.ts'
import { loadTowers, openTowers } from '../../adapters/onnx/towers.ts'
import { dataPaths, repositoryPaths } from '../../cli/paths.ts'
import { encoderIdsOf } from '../../cli/profile-releases.ts'
import { musicLayout } from '../../model/features.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import { hearingOf } from '../../processors/analyse-music/hearing.ts'
import { writePairFolder } from '../support/pair-folder.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const RECIPE = {
  dims: 32,
  encoder: { kind: 'residual-mlp', layers: 1, hidden: 32 },
  fusion: 'mlp',
  textDropout: 0.5,
  temperature: 0.1,
  batch: 64,
  epochs: 8,
  learningRate: 0.01,
  emaDecay: 0.5,
}
const PAIRS = 400

const folder = temporaryFolder()
const pairs = join(folder, 'pairs')
const recipe = join(folder, 'recipe.json')
const dataFolder = join(folder, 'data')

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly errors: string
}

async function train(
  args: readonly string[],
  onLine: (line: string, child: ChildProcess) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, ['cli/bin.js', 'train', '--data-folder', dataFolder, '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit')
  const errors: Buffer[] = []
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line)
    onLine(line, child)
  }
  const [code] = await exited
  return { code, out: lines.join('\n'), errors: Buffer.concat(errors).toString() }
}

const run = (name: string) => join(folder, name)
const json = async (path: string) => JSON.parse(await readFile(path, 'utf8'))
const common = () => ['--pairs', pairs, '--recipe', recipe, '--threads', '1', '--backend', 'graph', '--log-every', '2']

describe('cuestream train', () => {
  before(async () => {
    const profile = await loadProfile('embedded', { repositoryModels: repositoryPaths.models, folder })
    const { video, music } = encoderIdsOf(profile)
    await writePairFolder(pairs, {
      count: PAIRS,
      video: { id: video, dims: profile.imageEncoder.dims },
      music: {
        id: music,
        dims: musicLayout(profile.musicEncoder.dims, hearingOf(profile.musicEncoder).tags.length).dims,
      },
    })
    await profile.dispose()
    await writeFile(recipe, JSON.stringify(RECIPE))
  })

  test('pairs in files become a bundle whose towers load, with figures, a log and the configuration beside it', async () => {
    const { code, out, errors } = await train([...common(), '--no-release', '--out', run('whole')])
    assert.equal(code, 0, `${out}\n${errors}`)
    assert.match(out, /ViML & MT, a = /)
    const bundle = join(run('whole'), 'bundle')
    const manifest: ReleaseManifest = await json(join(bundle, 'manifest.json'))
    assert.ok(manifest.metrics['viml.video+text.recallAt10']! > 0.8, JSON.stringify(manifest.metrics))
    const towers = await openTowers(manifest, bundle)
    const { dims } = manifest.encoders.video
    const vector = await towers.query({ video: { values: new Float32Array(dims).fill(0.1), segments: 1, dims } })
    assert.equal(vector.length, 2 * RECIPE.dims)
    await towers.dispose()

    assert.equal((await json(join(run('whole'), 'outcome.json'))).state, 'bundled')
    assert.equal((await json(join(run('whole'), 'config.json'))).epochs, RECIPE.epochs)
    const lines = (await readFile(join(run('whole'), 'log.jsonl'), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const of = (model: string, kind: string) => lines.filter((line) => line.model === model && line.kind === kind)
    assert.deepEqual(
      of('viml', 'epoch').map(({ epoch }) => epoch),
      [1, 2, 3, 4, 5, 6, 7, 8],
    )
    assert.deepEqual(
      of('mt', 'step')
        .slice(0, 2)
        .map(({ step }) => step),
      [2, 4],
    )
    for (const name of ['at', 'run', 'config', 'loss', 'gradientNorm', 'learningRate', 'pairsPerSecond', 'steps']) {
      assert.ok(
        of('viml', 'step').every((line) => line[name] !== undefined),
        `every step tells ${name}`,
      )
    }
    assert.equal(new Set(lines.map(({ run }) => run)).size, 1)
    assert.ok(!existsSync(join(run('whole'), 'viml')), 'a run that has ended keeps no checkpoints')
  })

  test('Ctrl-C ends it with 130, and the same command goes on to the very towers of a run that nobody stopped', async () => {
    const args = [...common(), '--no-release', '--out', run('stopped')]
    let stopped = false
    const first = await train(args, (line, child) => {
      if (stopped || !/^ViML, steps: [2-9]/.test(line)) return
      stopped = true
      child.kill('SIGINT')
    })
    assert.equal(first.code, 130, `${first.out}\n${first.errors}`)
    assert.ok(!existsSync(join(run('stopped'), 'bundle')), 'it was stopped before the end')
    const second = await train(args)
    assert.equal(second.code, 0, `${second.out}\n${second.errors}`)
    for (const tower of ['query.onnx', 'music.onnx']) {
      const [whole, resumed] = await Promise.all(
        ['whole', 'stopped'].map((name) => readFile(join(run(name), 'bundle', tower))),
      )
      assert.ok(whole!.equals(resumed!), `${tower} is the same, byte by byte`)
    }
  })

  test('a release that is better than what serves is rolled out; one that learned nothing is refused', async () => {
    const good = await train([...common(), '--out', run('good')])
    assert.equal(good.code, 0, `${good.out}\n${good.errors}`)
    const { release, state } = await json(join(run('good'), 'outcome.json'))
    assert.equal(state, 'released')
    assert.match(good.out, new RegExp(`${release} serves`))
    const towers = await loadTowers(openFileModelStore({ folder: dataPaths(dataFolder).releases }), release)
    assert.equal(towers.manifest.parent, 'zero-shot-1')
    await towers.dispose()

    const untrained = join(folder, 'untrained.json')
    await writeFile(untrained, JSON.stringify({ ...RECIPE, epochs: 1, learningRate: 1e-9 }))
    const bad = await train([...common(), '--recipe', untrained, '--out', run('bad')])
    assert.equal(bad.code, 1, `${bad.out}\n${bad.errors}`)
    assert.match(bad.out, /worse-than-serving: /)
    const refused = await json(join(run('bad'), 'outcome.json'))
    assert.equal(refused.state, 'refused')
    assert.ok(existsSync(join(run('bad'), 'bundle', 'query.onnx')), 'the bundle stays for whoever asks why')
    assert.deepEqual(await openFileModelStore({ folder: dataPaths(dataFolder).releases }).list(), [
      release,
      'zero-shot-1',
    ])
  })

  test('what cannot work is said at once, with what to do', async () => {
    const refusal = async (args: readonly string[]) => {
      const { code, errors } = await train(args)
      assert.equal(code, 2, errors)
      return errors
    }
    assert.match(
      await refusal(['--pairs', join(folder, 'nowhere')]),
      /^no-folder: There is no folder .*nowhere \(--pairs\)/,
    )
    const broken = join(folder, 'broken.json')
    await writeFile(broken, JSON.stringify({ batch: 1, epoch: 3 }))
    assert.match(await refusal(['--pairs', pairs, '--recipe', broken]), /^bad-train-config: [\s\S]*batch: [\s\S]*epoch/)
    assert.match(await refusal(['--validation', pairs]), /^bad-options: /)
    assert.match(await refusal(['--every', 'often']), /^bad-rhythm: /)
    assert.match(await refusal([...common(), '--no-release', '--out', run('whole')]), /^run-ended: /)
    const few = join(folder, 'few')
    await writePairFolder(few, { count: 12, video: { id: 'v', dims: 4 }, music: { id: 'm', dims: 3 } })
    assert.match(await refusal(['--pairs', few, '--out', run('few')]), /^too-few-pairs: .* 16 are the least/)
    const foreign = join(folder, 'foreign')
    await writePairFolder(foreign, { count: 200, video: { id: 'v', dims: 4 }, music: { id: 'm', dims: 3 } })
    assert.match(await refusal(['--pairs', foreign, '--out', run('foreign')]), /^encoder-mismatch: .*--no-release/)
  })
})
