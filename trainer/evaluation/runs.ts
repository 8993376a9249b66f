/** One run of an experiment: a model that is trained, or the linear baseline that is fitted, and its vectors afterwards. */
import type { Pairs } from '../data/pairs.ts'
import { type EpochReport, train } from '../train.ts'
import type { TrainConfig } from '../train-config.ts'
import { modelVectors, type PairVectors } from './model-scores.ts'
import { chooseRidgeCca, fitRidgeCca, type RidgeCcaQuery, type RidgeCcaSettings } from './ridge-cca.ts'
import { retrievalValidation } from './validation.ts'

export type Run =
  | { readonly kind: 'model'; readonly config: TrainConfig }
  | { readonly kind: 'ridge-cca'; readonly query: RidgeCcaQuery }

/** Pairs that vectors are kept of: those that training stops by, and those that nothing was chosen by. */
export type PairSet = 'validation' | 'test'

export interface RunData {
  readonly training: Pairs
  readonly validation: Pairs
  readonly test?: Pairs | undefined
}

export interface RunResult {
  readonly vectors: ReadonlyMap<PairSet, PairVectors>
  /** Of a model. */
  readonly training?: { readonly epochs: readonly EpochReport[]; readonly bestEpoch: number }
  /** Of the linear baseline. */
  readonly settings?: RidgeCcaSettings
  readonly seconds: number
  /** Of the process, over all its threads. */
  readonly cpuSeconds: number
}

export interface RunOptions {
  readonly threads: number
  onEpoch?(report: EpochReport): void
  readonly signal?: AbortSignal
}

export async function perform(run: Run, data: RunData, options: RunOptions): Promise<RunResult> {
  const startedAt = performance.now()
  const cpuBefore = process.cpuUsage()
  const made = run.kind === 'model' ? await trained(run.config, data, options) : fitted(run.query, data)
  const { user, system } = process.cpuUsage(cpuBefore)
  return { ...made, seconds: (performance.now() - startedAt) / 1_000, cpuSeconds: (user + system) / 1e6 }
}

async function trained(config: TrainConfig, data: RunData, options: RunOptions) {
  const { threads } = options
  const validate = retrievalValidation(data.validation, config, threads)
  const { model, parameters, best, epochs } = await train({ ...options, config, pairs: data.training, validate })
  const vectors = new Map<PairSet, PairVectors>()
  for (const [set, pairs] of measuredPairs(data)) {
    vectors.set(set, await modelVectors({ model, parameters }, pairs, { threads }))
  }
  return { vectors, training: { epochs, bestEpoch: best.epoch } }
}

function fitted(query: RidgeCcaQuery, data: RunData) {
  const { settings } = chooseRidgeCca(data.training, query)
  const cca = fitRidgeCca(data.training, query, settings)
  const vectors = new Map<PairSet, PairVectors>()
  for (const [set, pairs] of measuredPairs(data)) {
    const { dims, queries, tracks } = cca.vectors(pairs)
    vectors.set(set, { dims, tracks, queries: new Map([[query === 'video' ? 'video' : 'video+text', queries]]) })
  }
  return { vectors, settings }
}

export function measuredPairs({ validation, test }: RunData): [PairSet, Pairs][] {
  return test === undefined
    ? [['validation', validation]]
    : [
        ['validation', validation],
        ['test', test],
      ]
}
