/**
 * One training run, from data to a release that serves:
 *
 *     data ─▶ ViML, MT ─▶ a ─▶ bundle ─▶ gate ─▶ model store ─▶ roll-out
 *
 * A run that was stopped goes on where it was; one that the gate refuses leaves its bundle and the reasons.
 */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadTowers, openTowers } from '../../adapters/onnx/towers.ts'
import type { ReleaseTowers } from '../../ports/encoder.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import type { BackendChoice } from '../../trainer/backends.ts'
import { pairsFingerprint } from '../../trainer/data/fingerprint.ts'
import type { TrainerMetrics } from '../../trainer/metrics.ts'
import { buildVimlRelease } from '../../trainer/release/build.ts'
import { type GateResult, gateRelease } from '../../trainer/release/gate.ts'
import { type OwnVectors, ownVectors, trainerVectors } from '../../trainer/release/trainer-vectors.ts'
import type { TrainConfig } from '../../trainer/train-config.ts'
import { trainingLog } from '../../trainer/training-log.ts'
import { progressBar, say, table } from '../terminal.ts'
import { figureCells, type Measured, measureModels, metricsOf } from './measure.ts'
import { NAMES, observed } from './observe.ts'
import type { ReleaseTarget } from './release-target.ts'
import { type Outcome, RunFolder, shortHash } from './run-folder.ts'
import { mtConfig, type TrainedModels, trainModels } from './train-models.ts'
import type { DataContext, DataSource, TrainingData } from './training-data.ts'

export interface TrainReleaseOptions {
  readonly config: TrainConfig
  readonly source: DataSource
  readonly textEncoder: DataContext['textEncoder']
  readonly backend: BackendChoice
  readonly threads: number
  /** The run folder. */
  readonly out: string
  readonly everySteps: { readonly checkpoint: number; readonly log: number }
  /** Only the bundle is made where there is none. */
  readonly target: ReleaseTarget | undefined
  /** How much lower than the serving release's R@10 may be, 0 … 1. */
  readonly margin: number
  readonly metrics: TrainerMetrics
  readonly signal: AbortSignal
  readonly now: () => number
}

export async function trainRelease(options: TrainReleaseOptions): Promise<Outcome> {
  const { config, target, threads } = options
  const run = await RunFolder.open(options.out)
  const data = await loadData(options, run)
  say(data.description)
  target?.assertTakes(data.encoders)
  await run.begin(config)
  const models = await trained(options, run, data)
  const vectors = await ownVectors(models, data.evaluation, { threads })
  const measured = measureModels(vectors, models.a, data.evaluation)
  say(`\nOn ${measured.pairs} pairs that it was not trained on, in pools of ${measured.pool}, in %:`)
  say(table(figureCells(measured)))
  const make = (parent: string | null) => makeBundle(options, run, { data, models, measured }, parent)
  const judge = (manifest: ReleaseManifest, serving?: ReleaseTowers) =>
    judged(options, run, { data, models, vectors }, manifest, serving)

  if (target === undefined) {
    const manifest = await make(null)
    return conclude(run, manifest, await judge(manifest), 'bundled')
  }
  const { modelStore } = target
  return target.beside(async ({ serving, rollOut }) => {
    const manifest = await make(serving)
    const towers = await loadTowers(modelStore, serving)
    const verdict = await judge(manifest, towers).finally(() => towers.dispose())
    if (verdict.passed) {
      await modelStore.publish(manifest, run.bundle)
      await rollOut(manifest.release)
    }
    return conclude(run, manifest, verdict, 'released')
  })
}

async function loadData({ source, textEncoder, signal }: TrainReleaseOptions, run: RunFolder): Promise<TrainingData> {
  let bar: ReturnType<typeof progressBar> | undefined
  try {
    return await source({
      textEncoder,
      cacheFolder: join(run.path, 'texts'),
      onTexts(done, of) {
        signal.throwIfAborted()
        bar ??= progressBar('Texts encoded', of)
        bar.update(done, '', of)
      },
    })
  } finally {
    bar?.stop()
  }
}

async function trained(options: TrainReleaseOptions, run: RunFolder, data: TrainingData): Promise<TrainedModels> {
  const { config, everySteps, now, metrics } = options
  const pairs = { pairs: pairsFingerprint(data.train), validation: pairsFingerprint(data.validation) }
  const log = trainingLog({
    path: run.log,
    run: shortHash([config, pairs]),
    config: shortHash(config),
    everySteps: everySteps.log,
    now,
  })
  const observer = observed(log, metrics)
  try {
    const models = await trainModels({
      ...options,
      data,
      folder: run.path,
      everySteps: everySteps.checkpoint,
      observer,
      identity: pairs,
    })
    observer.stop()
    for (const model of ['viml', 'mt'] as const) {
      const { best, epochs } = models[model]
      const score = (100 * best.score).toFixed(2)
      say(`${NAMES[model]}: ${epochs.length} epochs; the best is ${best.epoch}, with ${score} % in validation`)
    }
    return models
  } finally {
    observer.stop()
  }
}

async function makeBundle(
  { config, backend, now }: TrainReleaseOptions,
  run: RunFolder,
  { data, models, measured }: { data: TrainingData; models: TrainedModels; measured: Measured },
  parent: string | null,
): Promise<ReleaseManifest> {
  await rm(run.bundle, { recursive: true, force: true })
  const { viml, mt, a } = models
  const { dims, vectors } = data.train.texts!
  const [head, ...rows] = figureCells(measured)
  const lines = [head!, head!.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  const manifest = await buildVimlRelease({
    directory: run.bundle,
    viml,
    mt,
    a,
    xNull: vectors.slice(0, dims),
    encoders: data.encoders,
    metrics: metricsOf(measured),
    parent,
    createdAt: new Date(now()).toISOString(),
    card: {
      data: data.description,
      licence: 'That of the data it was trained on, which is its operator’s to know.',
      figures: `On ${measured.pairs} pairs that it was not trained on, in pools of ${measured.pool}, in %:\n\n${lines.join('\n')}`,
      limits:
        'It was measured on pairs like those that it was trained on; other videos and music may be answered worse.',
    },
    training: {
      viml: config,
      mt: mtConfig(config),
      a,
      backend: backend.name,
      epochs: { viml: viml.epochs, mt: mt.epochs },
    },
  })
  await writeFile(join(run.bundle, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  return manifest
}

async function judged(
  { margin }: TrainReleaseOptions,
  run: RunFolder,
  { data, models, vectors }: { data: TrainingData; models: TrainedModels; vectors: OwnVectors },
  manifest: ReleaseManifest,
  serving: ReleaseTowers | undefined,
): Promise<GateResult> {
  const { evaluation, encoders } = data
  const candidate = await openTowers(manifest, run.bundle)
  try {
    const expected = trainerVectors(vectors, models.a, evaluation)
    return await gateRelease({ candidate, serving, evaluation, encoders, margin, trainerVectors: expected })
  } finally {
    await candidate.dispose()
  }
}

async function conclude(
  run: RunFolder,
  { release }: ReleaseManifest,
  { passed, reasons, metrics }: GateResult,
  state: 'released' | 'bundled',
): Promise<Outcome> {
  const outcome: Outcome = { release, state: passed ? state : 'refused', reasons, metrics }
  await run.end(outcome)
  for (const { kind, code, message } of reasons) say(kind === 'note' ? message : `${code}: ${message}`)
  if (outcome.state === 'refused') say(`${release} was refused; its bundle lies in ${run.bundle}`)
  else if (outcome.state === 'bundled') say(`${release} lies in ${run.bundle}`)
  else say(`${release} serves; its bundle lies in ${run.bundle}, too`)
  return outcome
}
