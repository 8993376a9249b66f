/**
 * Which way of writing texts trains best (McKee et al. 2023, table 2), on any pairs: the same models on the same pairs, each
 * trained on one wording of the words and asked with every wording.
 *
 *     pairs, worded in several ways ─▶ ViML, MT for each ─▶ vectors of the validation pairs, in every wording ─▶ ranks
 *
 * Each model stops early by the validation pairs in its own wording. The queries of all wordings go through a trained model
 * as one stack of pairs, so what runs and is kept is what every experiment runs and keeps.
 */
import type { Pairs, RaggedSequences, Texts } from '../data/pairs.ts'
import type { TrainConfig } from '../train-config.ts'
import { bootstrap, bootstrapDifference, type RetrievalIntervals } from './bootstrap.ts'
import { keyOf, type RunProgress, resultsOf } from './experiments.ts'
import { runOf } from './methods.ts'
import { type PairVectors, scoresOf } from './model-scores.ts'
import { drawPools, evaluateRetrieval, type RetrievalResult } from './retrieval.ts'
import type { RunResult } from './runs.ts'
import type { Ask } from './tower-vectors.ts'

/** The same pairs, with texts of their own. */
export interface Wording {
  readonly id: string
  readonly training: Pairs
  readonly validation: Pairs
}

export interface TextExperimentOptions {
  readonly recipe: TrainConfig
  readonly wordings: readonly Wording[]
  readonly seeds: number
  readonly poolSize: number
  readonly jobs: number
  readonly folder: string
  onProgress?(trainedOn: string, progress: RunProgress): void
}

export const TEXT_ASKS = [
  { model: 'viml', ask: 'video+text', label: 'ViML, video + words' },
  { model: 'viml', ask: 'video', label: 'ViML, video alone' },
  { model: 'mt', ask: 'text', label: 'MT, words alone' },
] as const satisfies readonly { model: 'viml' | 'mt'; ask: Ask; label: string }[]

export interface TextRow {
  readonly label: string
  readonly trainedOn: string
  /** Ids of wordings; of 'video' none. */
  readonly askedWith: string
  readonly bySeed: readonly RetrievalResult[]
  readonly mean: RetrievalIntervals
  /** From the first wording, trained on and asked with, by the same model in the same way. */
  readonly difference: RetrievalIntervals
}

export interface TextExperiment {
  readonly rows: readonly TextRow[]
  readonly cpuSeconds: number
}

/** @throws InvalidRequestError 'pool-too-large' | SetupError of a run that fails */
export async function textExperiment(options: TextExperimentOptions): Promise<TextExperiment> {
  const { recipe, wordings, seeds, poolSize, jobs, folder } = options
  const asked = stacked(wordings.map(({ validation }) => validation))
  const { count, trackIds } = wordings[0]!.validation
  const pools = drawPools(count, poolSize)
  const rows: Omit<TextRow, 'difference'>[] = []
  let cpuSeconds = 0
  for (const { id: trainedOn, training, validation } of wordings) {
    const named = (['viml', 'mt'] as const).flatMap((model) =>
      seedsOf(seeds).map((seed) => ({
        name: `${model} on ${trainedOn}, seed ${recipe.seed + seed}`,
        run: runOf(model, recipe, seed),
      })),
    )
    const onProgress = (progress: RunProgress) => options.onProgress?.(trainedOn, progress)
    const { results } = await resultsOf(named, {
      data: { training, validation, test: asked },
      jobs,
      folder,
      onProgress,
    })
    for (const result of results.values()) cpuSeconds += result.cpuSeconds
    for (const { model, ask, label } of TEXT_ASKS) {
      const trained = seedsOf(seeds).map((seed) => results.get(keyOf(runOf(model, recipe, seed)))!)
      const ways = ask === 'video' ? [''] : wordings.map(({ id }) => id)
      for (const [copy, askedWith] of ways.entries()) {
        const bySeed = trained.map((result) => {
          const scores = scoresOf(copyOf(vectorsOf(result), copy, count), ask)
          return evaluateRetrieval(scores, trackIds, pools)
        })
        rows.push({ label, trainedOn, askedWith, bySeed, mean: bootstrap(bySeed.flatMap((one) => one.pools)) })
      }
    }
  }
  return { rows: rows.map((row) => ({ ...row, difference: differenceFrom(firstOf(row), row) })), cpuSeconds }

  function firstOf({ label }: Pick<TextRow, 'label'>): Omit<TextRow, 'difference'> {
    const [first] = wordings
    return rows.find(
      (row) => row.label === label && row.trainedOn === first!.id && ['', first!.id].includes(row.askedWith),
    )!
  }
}

function differenceFrom(first: Omit<TextRow, 'difference'>, row: Omit<TextRow, 'difference'>): RetrievalIntervals {
  const ranks = (one: Omit<TextRow, 'difference'>) => one.bySeed.flatMap(({ pools }) => pools)
  return bootstrapDifference(ranks(row), ranks(first))
}

function vectorsOf(result: RunResult): PairVectors {
  return result.vectors.get('test')!
}

/** @param copy of the stack, from 0. */
function copyOf({ dims, queries, tracks }: PairVectors, copy: number, count: number): PairVectors {
  const part = (rows: Float32Array) => rows.subarray(copy * count * dims, (copy + 1) * count * dims)
  return { dims, tracks: part(tracks), queries: new Map([...queries].map(([ask, rows]) => [ask, part(rows)])) }
}

/** The same pairs one after the other, each time with other texts. @param all of equal features and ids */
export function stacked(all: readonly Pairs[]): Pairs {
  const [first] = all
  const times = <T>(list: readonly T[]) => all.flatMap(() => list)
  return {
    count: first!.count * all.length,
    video: repeated(first!.video, all.length),
    music: repeated(first!.music, all.length),
    texts: joined(all.map(({ texts }) => texts!)),
    videoIds: times(first!.videoIds),
    trackIds: times(first!.trackIds),
    artists: times(first!.artists),
    weights: Float32Array.from(times([...first!.weights])),
  }
}

function repeated({ values, offsets, dims }: RaggedSequences, times: number): RaggedSequences {
  const rows = offsets.at(-1)!
  const all = new Float32Array(values.length * times)
  const ends = [0]
  for (let copy = 0; copy < times; copy++) {
    all.set(values, copy * values.length)
    for (const end of offsets.subarray(1)) ends.push(copy * rows + end)
  }
  return { values: all, offsets: Uint32Array.from(ends), dims }
}

/** One table of texts, '' first and once; of each pair its first variant, which is what is asked with. */
function joined(all: readonly Texts[]): Texts {
  const { dims } = all[0]!
  const strings = ['']
  const vectors = [all[0]!.vectors.subarray(0, dims)]
  const rows: number[] = []
  for (const texts of all) {
    const base = strings.length - 1
    strings.push(...texts.strings.slice(1))
    vectors.push(texts.vectors.subarray(dims))
    for (let at = 0; at < texts.rows.length; at += texts.variants) {
      const row = texts.rows[at]!
      rows.push(row === 0 ? 0 : base + row)
    }
  }
  const flat = new Float32Array(strings.length * dims)
  let at = 0
  for (const part of vectors) {
    flat.set(part, at)
    at += part.length
  }
  return { strings, vectors: flat, dims, rows: Uint32Array.from(rows), variants: 1 }
}

const seedsOf = (count: number) => Array.from({ length: count }, (_, seed) => seed)
