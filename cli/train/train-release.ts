/**
 * One training run, from data to a release:
 *
 *     data ─▶ ViML, MT ─▶ a ─▶ bundle ─▶ gate ─▶ model store ─▶ roll-out
 *
 * Everything of it lies in the run folder:
 *
 *     config.json    training configuration          log.jsonl   a line every some steps and every epoch
 *     viml/, mt/     checkpoints                      texts/      encoded texts
 *     bundle/        the release: towers, card
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import type { BackendChoice } from '../../trainer/backends.ts'
import { buildVimlRelease } from '../../trainer/release/build.ts'
import type { TrainConfig } from '../../trainer/train-config.ts'
import { progressBar, say, table } from '../terminal.ts'
import { figureCells, type Measured, measureModels } from './measure.ts'
import { mtConfig, type TrainedModels, type TrainingObserver, trainModels } from './train-models.ts'
import type { DataSource, TrainingData } from './training-data.ts'

export interface TrainReleaseOptions {
  readonly config: TrainConfig
  readonly source: DataSource
  readonly profile: LoadedProfile
  readonly backend: BackendChoice
  readonly threads: number
  /** The run folder. */
  readonly out: string
  readonly everySteps: number
  readonly observer: TrainingObserver
  readonly signal: AbortSignal
  readonly now: () => number
}

export async function trainRelease(options: TrainReleaseOptions): Promise<ReleaseManifest> {
  const { config, source, profile, out, threads } = options
  await mkdir(out, { recursive: true })
  const data = await loadData(source, profile, out)
  say(data.description)
  await writeFile(join(out, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
  const models = await trainModels({ ...options, data, folder: out })
  const measured = await measureModels(models, data.evaluation, { threads })
  say(`On ${measured.pairs} pairs that were kept apart, in pools of ${measured.pool}:`)
  say(table(figureCells(measured)))
  return bundle(options, { data, models, measured })
}

async function loadData(source: DataSource, { textEncoder }: LoadedProfile, out: string): Promise<TrainingData> {
  let bar: ReturnType<typeof progressBar> | undefined
  try {
    return await source({
      textEncoder,
      cacheFolder: join(out, 'texts'),
      onTexts(done, of) {
        bar ??= progressBar('Texts encoded', of)
        bar.update(done, '', of)
      },
    })
  } finally {
    bar?.stop()
  }
}

async function bundle(
  { config, out, backend, now }: TrainReleaseOptions,
  made: { readonly data: TrainingData; readonly models: TrainedModels; readonly measured: Measured },
): Promise<ReleaseManifest> {
  const { data, models, measured } = made
  const directory = join(out, 'bundle')
  await rm(directory, { recursive: true, force: true })
  const { texts } = data.train
  const manifest = await buildVimlRelease({
    directory,
    viml: models.viml,
    mt: models.mt,
    a: models.a,
    xNull: texts!.vectors.slice(0, texts!.dims),
    encoders: data.encoders,
    metrics: metricsOf(measured),
    parent: null,
    createdAt: new Date(now()).toISOString(),
    card: {
      data: data.description,
      licence: 'That of the data it was trained on, which its operator knows.',
      figures: markdown(measured),
      limits: 'Measured on pairs like those that it was trained on; other videos and music may be answered worse.',
    },
    training: {
      viml: config,
      mt: mtConfig(config),
      a: models.a,
      backend: backend.name,
      epochs: { viml: models.viml.epochs, mt: models.mt.epochs },
    },
  })
  await writeFile(join(directory, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  return manifest
}

function metricsOf({ rows }: Measured): Record<string, number> {
  const names = ['viml.video', 'viml.video+text', 'mt.text', 'viml & mt']
  return Object.fromEntries(
    rows.flatMap(({ figures: { recall, medianRank } }, i) => [
      [`${names[i]}.recallAt1`, recall[1]],
      [`${names[i]}.recallAt5`, recall[5]],
      [`${names[i]}.recallAt10`, recall[10]],
      [`${names[i]}.medianRank`, medianRank],
    ]),
  )
}

function markdown(measured: Measured): string {
  const [head, ...rows] = figureCells(measured)
  const lines = [head!, head!.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  return [`On ${measured.pairs} pairs that were kept apart, in pools of ${measured.pool}, in %:`, '', ...lines].join(
    '\n',
  )
}
