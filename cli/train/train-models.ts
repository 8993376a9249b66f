/** ViML and MT on the same pairs, and how much of the score each has. */
import { join } from 'node:path'
import type { BackendChoice } from '../../trainer/backends.ts'
import { CheckpointFolder, type RunIdentity } from '../../trainer/checkpoint.ts'
import { modelVectors, scoresOf } from '../../trainer/evaluation/model-scores.ts'
import { tuneWeight } from '../../trainer/evaluation/retrieval.ts'
import { retrievalValidation, validationPools } from '../../trainer/evaluation/validation.ts'
import { type EpochReport, type StepReport, type Trained, train } from '../../trainer/train.ts'
import type { TrainConfig } from '../../trainer/train-config.ts'
import type { TrainingData } from './training-data.ts'

export type ModelName = 'viml' | 'mt'

/** What is told while a model trains. */
export interface TrainingObserver {
  onStep(model: ModelName, report: StepReport): void
  onEpoch(model: ModelName, report: EpochReport): void
}

export interface TrainModelsOptions {
  /** Of ViML. */
  readonly config: TrainConfig
  readonly data: TrainingData
  readonly backend: BackendChoice
  readonly threads: number
  /** Holds the checkpoints of each. */
  readonly folder: string
  readonly everySteps: number
  readonly observer: TrainingObserver
  /** Of the pairs, for the checkpoints. */
  readonly identity: RunIdentity
  readonly signal: AbortSignal
}

export interface TrainedModels {
  readonly viml: Trained
  readonly mt: Trained
  /** MT's share of the score. */
  readonly a: number
}

export async function trainModels(options: TrainModelsOptions): Promise<TrainedModels> {
  const viml = await trainOne('viml', options.config, options)
  const mt = await trainOne('mt', mtConfig(options.config), options)
  return { viml, mt, a: await tuned(viml, mt, options) }
}

/** The recipe of ViML for words alone: they never fall out, for nothing else is asked with. */
export function mtConfig(config: TrainConfig): TrainConfig {
  return { ...config, query: 'text', textDropout: 0 }
}

async function trainOne(name: ModelName, config: TrainConfig, options: TrainModelsOptions): Promise<Trained> {
  const { data, backend, threads, folder, everySteps, observer, identity, signal } = options
  return train({
    config,
    pairs: data.train,
    threads,
    validate: retrievalValidation(data.validation, config, threads),
    onStep: (report) => observer.onStep(name, report),
    onEpoch: (report) => observer.onEpoch(name, report),
    signal,
    openBackend: (model) => backend.open(model),
    checkpoints: {
      folder: await CheckpointFolder.open(join(folder, name)),
      everySteps,
      identity: {
        backend: backend.name,
        threads: `${threads}`,
        ...identity,
      },
    },
  })
}

/** Both models are part of a release, however little one of them adds (trainer/release/build.ts). */
const SHARES = Array.from({ length: 19 }, (_, step) => (step + 1) / 20)

async function tuned(viml: Trained, mt: Trained, { data, threads }: TrainModelsOptions): Promise<number> {
  const { validation } = data
  const first = scoresOf(await modelVectors(viml, validation, { threads }), 'video+text')
  const second = scoresOf(await modelVectors(mt, validation, { threads }), 'text')
  return tuneWeight(first, second, validation.trackIds, validationPools(validation.count), SHARES).a
}
