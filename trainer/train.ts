/**
 * Trains a model on pairs: epochs of shuffled batches, validated after each by retrieval; the weights that are kept are the
 * moving average of the epoch that validated best.
 */
import type { Parameter, Parameters } from '../model/ops.ts'
import { seededRandom } from '../model/random.ts'
import { initialParameters, type VimlConfig } from '../model/viml.ts'
import { SetupError } from '../ports/errors.ts'
import { type AdamWState, adamWStep, beginAdamW, learningRateAt } from './adamw.ts'
import { epochBatches, trainingInputs } from './batches.ts'
import type { Pairs } from './data/pairs.ts'
import { inputStatistics } from './data/standardise.ts'
import { GraphBackend } from './graph/graph-backend.ts'
import { TEMPERATURE } from './loss.ts'
import type { StepBackend } from './step-backend.ts'
import { modelConfig, type TrainConfig } from './train-config.ts'

export interface EpochReport {
  /** From 1. */
  readonly epoch: number
  /** Mean over the epoch's batches. */
  readonly loss: number
  /** What validation gave: higher is better. */
  readonly score: number
  readonly seconds: number
}

export interface TrainOptions {
  readonly config: TrainConfig
  readonly pairs: Pairs
  readonly threads: number
  /** Higher is better; of the averaged weights after each epoch. */
  validate(parameters: Parameters, model: VimlConfig): Promise<number>
  onEpoch?(report: EpochReport): void
  readonly signal?: AbortSignal
}

export interface Trained {
  readonly model: VimlConfig
  /** Of the best epoch. */
  readonly parameters: Parameters
  readonly best: EpochReport
  readonly epochs: readonly EpochReport[]
}

/** @throws SetupError 'diverged' when the loss or its gradients are not finite; the signal's reason. */
export async function train({ config, pairs, threads, validate, onEpoch, signal }: TrainOptions): Promise<Trained> {
  const model = modelConfig(config, {
    video: pairs.video.dims,
    music: pairs.music.dims,
    text: pairs.texts?.dims ?? 0,
  })
  const parameters = beginning(config, model, pairs)
  const state = beginAdamW(parameters)
  const { beta1, beta2, weightDecay, clipNorm, emaDecay } = config
  const optimiser = { beta1, beta2, epsilon: EPSILON, weightDecay, clipNorm, emaDecay }
  const size = Math.min(config.batch, pairs.count)
  const steps = Math.floor(pairs.count / size) * config.epochs
  const { temperature, seed } = config
  const backend: StepBackend = new GraphBackend({ config: model, temperature, seed }, { threads })
  const epochs: EpochReport[] = []
  let best: { report: EpochReport; parameters: Parameters } | undefined
  try {
    for (let epoch = 1; epoch <= config.epochs; epoch++) {
      const startedAt = performance.now()
      const random = seededRandom(`${config.seed}/epoch/${epoch}`)
      const losses: number[] = []
      for (const chosen of epochBatches(pairs.count, size, random)) {
        signal?.throwIfAborted()
        const inputs = trainingInputs(pairs, chosen, { textDropout: config.textDropout, random })
        const { loss, gradients } = await backend.step(inputs, parameters, state.step)
        const rate = learningRateAt(state.step, steps, config.learningRate, config.warmUp)
        const norm = adamWStep(parameters, gradients, state, rate, optimiser)
        if (!Number.isFinite(loss) || !Number.isFinite(norm)) throw diverged(epoch, loss)
        losses.push(loss)
      }
      const averaged = averagedParameters(parameters, state)
      const score = await validate(averaged, model)
      const loss = losses.reduce((sum, value) => sum + value, 0) / losses.length
      const report = { epoch, loss, score, seconds: (performance.now() - startedAt) / 1_000 }
      epochs.push(report)
      onEpoch?.(report)
      if (best === undefined || score > best.report.score) best = { report, parameters: averaged }
      else if (epoch - best.report.epoch >= (config.patience ?? Number.POSITIVE_INFINITY)) break
    }
  } finally {
    await backend.dispose()
  }
  return { model, parameters: best!.parameters, best: best!.report, epochs }
}

function beginning(config: TrainConfig, model: VimlConfig, pairs: Pairs): Map<string, Parameter> {
  const parameters = new Map(initialParameters(model, config.seed, inputStatistics(pairs)))
  if (config.temperature === 'learned') {
    const values = Float32Array.of(Math.log(1 / FIRST_TEMPERATURE))
    parameters.set(TEMPERATURE, { shape: [1], values, trained: true, decays: false })
  }
  return parameters
}

const EPSILON = 1e-8
/** Where a learned temperature begins (Radford et al. 2021). */
const FIRST_TEMPERATURE = 0.07

/** The moving averages in place of the weights; a copy. */
export function averagedParameters(parameters: Parameters, { average }: AdamWState): Parameters {
  return new Map(
    [...parameters].map(([name, parameter]) => {
      const values = average.get(name) ?? parameter.values
      return [name, { ...parameter, values: values.slice() }]
    }),
  )
}

function diverged(epoch: number, loss: number): SetupError {
  return new SetupError(
    'diverged',
    `Training broke down in epoch ${epoch}: the loss was ${loss}, or its gradients not finite. Lower learningRate or set clipNorm.`,
  )
}
