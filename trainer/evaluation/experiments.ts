/**
 * The paper's tables on any pairs: trains every model from several seeds, fits the linear baseline beside them, and ranks
 * the same queries in the same pools by each method.
 *
 *     recipe ──▶ runs, in processes of their own, kept ──▶ vectors ──▶ scores ──▶ figures by seed, intervals, differences
 *
 * Intervals are of the mean over seeds, by bootstrap over queries: the luck of the queries. The figures by seed tell that
 * of training. Where there are no test pairs, the validation pairs are measured, which flatters what was stopped early or
 * tuned on them.
 */
import type { EpochReport } from '../train.ts'
import type { TrainConfig } from '../train-config.ts'
import { bootstrap, bootstrapDifference, type RetrievalIntervals } from './bootstrap.ts'
import { KeptRuns } from './kept-runs.ts'
import { type Method, type ModelName, modelsOf, type Part, referenceOf, runOf, type Table } from './methods.ts'
import { scoresOf } from './model-scores.ts'
import {
  drawPools,
  evaluateRetrieval,
  type Pools,
  type RetrievalResult,
  sizesThatFit,
  tuneWeight,
} from './retrieval.ts'
import { type NamedRun, performAll } from './run-pool.ts'
import type { PairSet, Run, RunData, RunResult } from './runs.ts'
import { combine, type Scores } from './scores.ts'
import { validationPools } from './validation.ts'

export interface ExperimentOptions {
  readonly recipe: TrainConfig
  readonly data: RunData
  readonly tables: readonly Table[]
  /** Of training, from the recipe's on. */
  readonly seeds: number
  /** N; sizes larger than the pairs are left out. */
  readonly poolSizes: readonly number[]
  /** Runs at a time. */
  readonly jobs: number
  /** Keeps results of runs. */
  readonly folder: string
  onProgress?(progress: RunProgress): void
}

export interface RunProgress {
  /** Epochs of models; a baseline counts as one. */
  readonly done: number
  readonly all: number
  /** Names of the runs that are under way. */
  readonly running: readonly string[]
  readonly runsLeft: number
}

export interface MeasuredMethod {
  readonly method: Method
  /** The weight of the second part, by seed; of ensembles. */
  readonly a?: readonly number[]
  readonly bySeed: readonly RetrievalResult[]
  /** Of the mean over seeds. */
  readonly mean: RetrievalIntervals
  /** From the reference, on the same queries in the same pools. */
  readonly difference: RetrievalIntervals
}

export interface MeasuredTable {
  readonly id: Table['id']
  readonly title: string
  readonly rows: readonly MeasuredMethod[]
}

export interface MeasuredPools {
  readonly size: number
  readonly pools: Pools
  readonly tables: readonly MeasuredTable[]
}

export interface Experiment {
  readonly set: PairSet
  readonly reference: Method
  /** By size of the pools. */
  readonly measured: readonly MeasuredPools[]
  /** Sizes that are larger than the pairs. */
  readonly leftOut: readonly number[]
  readonly seeds: number
  /** Those that were trained or fitted. */
  readonly models: readonly ModelName[]
  /** By model and seed, from 0. */
  resultOf(model: ModelName, seed: number): RunResult
  scoresOf(method: Method, seed: number): Scores
  /** Over the runs of this experiment, kept ones too. */
  readonly cpuSeconds: number
  /** Runs that were kept from an earlier time. */
  readonly kept: number
  readonly runs: number
}

/** @throws InvalidRequestError 'pool-too-large' where no size fits | SetupError of a run that fails */
export async function experiment(options: ExperimentOptions): Promise<Experiment> {
  const { recipe, data, tables, seeds } = options
  const set: PairSet = data.test === undefined ? 'validation' : 'test'
  const pairs = data.test ?? data.validation
  const { fit, leftOut } = sizesThatFit(options.poolSizes, pairs.count)
  const reference = referenceOf(data.training.texts !== undefined)
  const models = modelsOf([reference, ...tables.flatMap((table) => table.methods)])
  const named = models.flatMap((model) =>
    Array.from(
      { length: seeds },
      (_, seed): NamedRun => ({
        name: `${model}, seed ${recipe.seed + seed}`,
        run: runOf(model, recipe, seed),
      }),
    ),
  )
  const { results, kept } = await resultsOf(named, options)
  const resultOf = (model: ModelName, seed: number) => results.get(keyOf(runOf(model, recipe, seed)))!

  const partScores = ({ model, ask }: Part, seed: number, of: PairSet) =>
    scoresOf(resultOf(model, seed).vectors.get(of)!, ask)
  const weights = new Map<string, number>()
  const weightOf = ({ id, parts, a }: Method, seed: number): number => {
    if (typeof a === 'number') return a
    const key = `${id}, ${seed}`
    const { trackIds, count } = data.validation
    const [first, second] = parts.map((part) => remembered(partScores(part, seed, 'validation'))) as [Scores, Scores]
    const tuned = weights.get(key) ?? tuneWeight(first, second, trackIds, validationPools(count)).a
    weights.set(key, tuned)
    return tuned
  }
  const methodScores = (method: Method, seed: number): Scores => {
    const [first, second] = method.parts
    const scores = partScores(first, seed, set)
    return second === undefined ? scores : combine(scores, partScores(second, seed, set), weightOf(method, seed))
  }

  const measure = (method: Method, pools: Pools) =>
    seedsOf(seeds).map((seed) => evaluateRetrieval(methodScores(method, seed), pairs.trackIds, pools))
  const measured = fit.map((size) => {
    const pools = drawPools(pairs.count, size)
    const against = measure(reference, pools).flatMap((result) => result.pools)
    const row = (method: Method): MeasuredMethod => {
      const bySeed = measure(method, pools)
      const ranks = bySeed.flatMap((result) => result.pools)
      return {
        method,
        ...(method.parts.length === 2 && { a: seedsOf(seeds).map((seed) => weightOf(method, seed)) }),
        bySeed,
        mean: bootstrap(ranks),
        difference: bootstrapDifference(ranks, against),
      }
    }
    return { size, pools, tables: tables.map(({ id, title, methods }) => ({ id, title, rows: methods.map(row) })) }
  })
  const cpuSeconds = [...results.values()].reduce((sum, result) => sum + result.cpuSeconds, 0)
  return {
    set,
    reference,
    measured,
    leftOut,
    seeds,
    models,
    resultOf,
    scoresOf: methodScores,
    cpuSeconds,
    kept,
    runs: results.size,
  }
}

/** Does what is not kept. @returns by `keyOf` */
export async function resultsOf(
  named: readonly NamedRun[],
  { data, folder, jobs, onProgress }: Pick<ExperimentOptions, 'data' | 'folder' | 'jobs' | 'onProgress'>,
): Promise<{ results: Map<string, RunResult>; kept: number }> {
  const keeping = new KeptRuns(folder, data)
  const results = new Map<string, RunResult>()
  const missing = new Map<string, NamedRun>()
  for (const one of named) {
    const key = keyOf(one.run)
    if (results.has(key) || missing.has(key)) continue
    const result = await keeping.read(one.run)
    if (result === undefined) missing.set(key, one)
    else results.set(key, result)
  }
  const kept = results.size
  const all = [...missing.values()].reduce((sum, { run }) => sum + lengthOf(run), 0)
  const running = new Map<NamedRun, number>()
  let done = 0
  let runsLeft = missing.size
  const tell = () => {
    const under = [...running.values()].reduce((sum, epochs) => sum + epochs, 0)
    onProgress?.({ done: done + under, all, running: [...running.keys()].map(({ name }) => name), runsLeft })
  }
  await performAll([...missing.values()], data, {
    jobs,
    threads: 1,
    onBegin(run) {
      running.set(run, 0)
      tell()
    },
    onEpoch(run: NamedRun, { epoch }: EpochReport) {
      running.set(run, epoch)
      tell()
    },
    async onDone(run, result) {
      await keeping.write(run.run, result)
      results.set(keyOf(run.run), result)
      running.delete(run)
      done += lengthOf(run.run)
      runsLeft--
      tell()
    },
  })
  return { results, kept }
}

/** Of a run among the results. */
export const keyOf = (run: Run) => JSON.stringify(run)
const lengthOf = (run: Run) => (run.kind === 'model' ? run.config.epochs : 1)
const seedsOf = (count: number) => Array.from({ length: count }, (_, seed) => seed)

/** Every row is computed once: n × m values are kept. */
function remembered(scores: Scores): Scores {
  const rows = new Map<number, Float32Array>()
  return {
    ...scores,
    row(query) {
      const row = rows.get(query) ?? scores.row(query)
      rows.set(query, row)
      return row
    },
  }
}
