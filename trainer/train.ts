/**
 * Trains a model on pairs: epochs of shuffled batches, validated after each by retrieval; the weights that are kept are the
 * moving average of the epoch that validated best.
 *
 * Invariants:
 *   [derived]  what is random depends on the seed and the place in the run alone: order on the epoch, words, windows and
 *              masks on the batch. So a run that goes on from a checkpoint does what it would have done.
 *   [one way]  the same configuration, pairs, backend and threads give the same bytes
 */
import type { Parameters } from '../model/ops.ts'
import { seededRandom } from '../model/random.ts'
import type { VimlConfig } from '../model/viml.ts'
import { SetupError } from '../ports/errors.ts'
import { type AdamWConfig, adamWStep, learningRateAt } from './adamw.ts'
import { epochBatches, trainingInputs } from './batches.ts'
import type { CheckpointFolder, RunIdentity } from './checkpoint.ts'
import type { Pairs } from './data/pairs.ts'
import { GraphBackend } from './graph/graph-backend.ts'
import type { StepBackend, StepModel, StepResult } from './step-backend.ts'
import { modelConfig, mostSegments, type TrainConfig } from './train-config.ts'
import { averagedParameters, beginTraining, type EpochReport, isOver, type TrainingState } from './training-state.ts'

export type { EpochReport } from './training-state.ts'

export interface StepReport {
  /** From 1, of `steps`. */
  readonly step: number
  readonly steps: number
  readonly epoch: number
  readonly loss: number
  /** Before clipping. */
  readonly gradientNorm: number
  readonly learningRate: number
  readonly pairs: number
  readonly seconds: number
}

export interface TrainOptions {
  readonly config: TrainConfig
  readonly pairs: Pairs
  readonly threads: number
  /** Higher is better; of the averaged weights after each epoch. */
  validate(parameters: Parameters, model: VimlConfig): Promise<number>
  onStep?(report: StepReport): void
  onEpoch?(report: EpochReport): void
  /** Once it is aborted, training ends after the step under way, with a checkpoint where they are kept. */
  readonly signal?: AbortSignal | undefined
  /** What carries out the steps; the graph if absent. */
  openBackend?(model: StepModel): StepBackend
  readonly checkpoints?: CheckpointOptions | undefined
}

export interface CheckpointOptions {
  /** The run goes on from its latest checkpoint. */
  readonly folder: CheckpointFolder
  /** One is written after each epoch, and after so many steps. */
  readonly everySteps?: number | undefined
  /** Of data, validation and backend: what else must be the same. The configuration is compared in any case. */
  readonly identity: RunIdentity
}

export interface Trained {
  readonly model: VimlConfig
  /** Of the best epoch. */
  readonly parameters: Parameters
  readonly best: EpochReport
  readonly epochs: readonly EpochReport[]
}

/**
 * @throws SetupError 'diverged' when the loss, its gradients or a validation are not finite; what the checkpoint folder
 * refuses; the signal's reason.
 */
export async function train(options: TrainOptions): Promise<Trained> {
  const { config, pairs, threads, validate, onEpoch } = options
  const { temperature, seed } = config
  const model = modelConfig(config, {
    video: pairs.video.dims,
    music: pairs.music.dims,
    text: pairs.texts?.dims ?? 0,
  })
  const state = beginTraining(config, model, pairs)
  const identity = { ...configIdentity(config), ...options.checkpoints?.identity }
  await options.checkpoints?.folder.resume(state, identity)
  const stepModel: StepModel = { config: model, temperature, seed }
  const backend = options.openBackend?.(stepModel) ?? new GraphBackend(stepModel, { threads })
  const run: Run = { ...options, backend, state, keep: async () => options.checkpoints?.folder.write(state, identity) }
  try {
    while (!isOver(state, config)) {
      await trainEpoch(run)
      const startedAt = performance.now()
      const averaged = averagedParameters(state.parameters, state.optimiser)
      const score = await validate(averaged, model)
      if (!Number.isFinite(score)) throw diverged(state.epoch, `validation gave ${score}`)
      state.seconds += (performance.now() - startedAt) / 1_000
      const report = closeEpoch(state, score, averaged)
      onEpoch?.(report)
      await run.keep()
    }
  } finally {
    await backend.dispose()
  }
  const { best, epochs } = state
  return { model, parameters: best!.parameters, best: best!.report, epochs }
}

interface Run extends TrainOptions {
  readonly backend: StepBackend
  readonly state: TrainingState
  /** Writes a checkpoint, where they are kept. */
  keep(): Promise<void>
}

/** What is left of the epoch under way. */
async function trainEpoch(run: Run): Promise<void> {
  const { config, pairs, backend, state, signal, checkpoints, onStep, keep } = run
  const { seed, accumulate, textDropout } = config
  const { beta1, beta2, weightDecay, clipNorm, emaDecay } = config
  const optimiser: AdamWConfig = { beta1, beta2, epsilon: EPSILON, weightDecay, clipNorm, emaDecay }
  const batches = epochBatches(pairs.count, config.batch, seededRandom(`${seed}/epoch/${state.epoch}`))
  const steps = Math.ceil(batches.length / accumulate) * config.epochs
  while (state.batches < batches.length) {
    if (signal?.aborted) {
      await keep()
      signal.throwIfAborted()
    }
    const startedAt = performance.now()
    const chosen = batches.slice(state.batches, state.batches + accumulate)
    const results: StepResult[] = []
    for (const [i, batch] of chosen.entries()) {
      const number = (state.epoch - 1) * batches.length + state.batches + i // of the run, from 0
      const random = seededRandom(`${seed}/batch/${number}`)
      const inputs = trainingInputs(pairs, batch, { textDropout, random, mostSegments: mostSegments(config) })
      results.push(await backend.step(inputs, state.parameters, number))
    }
    const { loss, gradients } = meanOf(results)
    const learningRate = learningRateAt(state.optimiser.step, steps, config.learningRate, config.warmUp)
    const gradientNorm = adamWStep(state.parameters, gradients, state.optimiser, learningRate, optimiser)
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) throw diverged(state.epoch, `the loss was ${loss}`)
    const seconds = (performance.now() - startedAt) / 1_000
    state.batches += chosen.length
    state.lossSum += loss * chosen.length
    state.seconds += seconds
    const { step } = state.optimiser
    const count = chosen.reduce((sum, batch) => sum + batch.length, 0)
    onStep?.({ step, steps, epoch: state.epoch, loss, gradientNorm, learningRate, pairs: count, seconds })
    if (checkpoints?.everySteps !== undefined && step % checkpoints.everySteps === 0) await keep()
  }
}

const EPSILON = 1e-8

/** Of batches of one size. Each knows the negatives of its own pairs alone: k of them are not one that is k times as large. */
export function meanOf(results: readonly StepResult[]): StepResult {
  const [first, ...others] = results
  if (others.length === 0) return first!
  const share = 1 / results.length
  const gradients = new Map(
    [...first!.gradients].map(([name, values]) => {
      const sum = Float64Array.from(values)
      for (const other of others) {
        const more = other.gradients.get(name)!
        for (let i = 0; i < sum.length; i++) sum[i]! += more[i]!
      }
      return [name, Float32Array.from(sum, (value) => value * share)]
    }),
  )
  return { loss: results.reduce((sum, { loss }) => sum + loss, 0) * share, gradients }
}

function closeEpoch(state: TrainingState, score: number, parameters: Parameters): EpochReport {
  const { epoch, seconds } = state
  const report = { epoch, loss: state.lossSum / state.batches, score, seconds }
  state.epochs.push(report)
  if (state.best === undefined || score > state.best.report.score) state.best = { report, parameters }
  Object.assign(state, { epoch: epoch + 1, batches: 0, lossSum: 0, seconds: 0 })
  return report
}

function configIdentity(config: TrainConfig): RunIdentity {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [`config.${key}`, JSON.stringify(value)]))
}

function diverged(epoch: number, what: string): SetupError {
  return new SetupError(
    'diverged',
    `Training broke down in epoch ${epoch}: ${what}, or its gradients not finite. Lower learningRate or set clipNorm.`,
  )
}
