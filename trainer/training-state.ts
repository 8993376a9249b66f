/**
 * All that a run goes on from, besides its configuration and data: what is random is derived from the seed and the place
 * in the run, so there is no state of a generator to keep.
 */
import type { Parameters } from '../model/ops.ts'
import { initialParameters, type VimlConfig } from '../model/viml.ts'
import { type AdamWState, beginAdamW } from './adamw.ts'
import type { Pairs } from './data/pairs.ts'
import { inputStatistics } from './data/standardise.ts'
import { TEMPERATURE } from './loss.ts'
import type { TrainConfig } from './train-config.ts'

export interface EpochReport {
  /** From 1. */
  readonly epoch: number
  /** Mean over the epoch's batches. */
  readonly loss: number
  /** What validation gave: higher is better. */
  readonly score: number
  readonly seconds: number
}

export interface TrainingState {
  /** Changed in place, as are the optimiser's arrays. */
  readonly parameters: Parameters
  readonly optimiser: AdamWState
  /** The epoch under way, from 1. */
  epoch: number
  /** Batches of it that are done. */
  batches: number
  /** Over those. */
  lossSum: number
  /** Spent on it. */
  seconds: number
  readonly epochs: EpochReport[]
  best: { readonly report: EpochReport; readonly parameters: Parameters } | undefined
}

/** Where a learned temperature begins (Radford et al. 2021). */
const FIRST_TEMPERATURE = 0.07

export function beginTraining(config: TrainConfig, model: VimlConfig, pairs: Pairs): TrainingState {
  const parameters = new Map(initialParameters(model, config.seed, inputStatistics(pairs)))
  if (config.temperature === 'learned') {
    const values = Float32Array.of(Math.log(1 / FIRST_TEMPERATURE))
    parameters.set(TEMPERATURE, { shape: [1], values, trained: true, decays: false })
  }
  const optimiser = beginAdamW(parameters)
  return { parameters, optimiser, epoch: 1, batches: 0, lossSum: 0, seconds: 0, epochs: [], best: undefined }
}

/** All epochs done, or none better for `patience` of them. */
export function isOver({ epoch, best }: TrainingState, { epochs, patience }: TrainConfig): boolean {
  if (epoch > epochs) return true
  return best !== undefined && patience !== undefined && epoch - 1 - best.report.epoch >= patience
}

/** The moving averages in place of the weights; a copy. */
export function averagedParameters(parameters: Parameters, { average }: AdamWState): Parameters {
  return withValues(parameters, (name, values) => (average.get(name) ?? values).slice())
}

/** The same record with other values. */
export function withValues(
  parameters: Parameters,
  valuesOf: (name: string, values: Float32Array) => Float32Array,
): Parameters {
  return new Map(
    [...parameters].map(([name, parameter]) => [name, { ...parameter, values: valuesOf(name, parameter.values) }]),
  )
}
