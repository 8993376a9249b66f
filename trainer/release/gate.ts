/**
 * What a release must pass before it may serve:
 *
 *     1. it was made for the encoders whose features the evaluation pairs are;
 *     2. it answers every pair with unit vectors: nothing is infinite or NaN;
 *     3. its vectors are the trainer's own to within 1e-5: what was exported is what was trained;
 *     4. it ranks better than chance;
 *     5. it ranks better than the release that serves, or worse by no more than a margin.
 *
 * 4 and 5 are of R@10 in pools of the fixed evaluation set, with words and without, each by itself. Median ranks and words
 * alone are told and not judged. Where the serving release takes features of other encoders, or there is none, 5 is left
 * out, which a note says.
 */
import type { ReleaseTowers } from '../../ports/encoder.ts'
import { ShapeError } from '../../ports/errors.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import type { Pairs } from '../data/pairs.ts'
import {
  drawPools,
  evaluateRetrieval,
  namedFigures,
  type Pools,
  type RetrievalFigures,
} from '../evaluation/retrieval.ts'
import { dotScores } from '../evaluation/scores.ts'
import { ASKS, type Ask, queryVectors, type TowerVectors, trackVectors } from '../evaluation/tower-vectors.ts'
import type { VectorsByAsk } from './trainer-vectors.ts'

export interface GateInput {
  readonly candidate: ReleaseTowers
  readonly serving: ReleaseTowers | undefined
  /** The fixed set: never trained on, and the same for each release. */
  readonly evaluation: Pairs
  /** Those whose features the evaluation pairs are. */
  readonly encoders: ReleaseManifest['encoders']
  /** How much lower than the serving release's R@10 may be, 0 … 1. */
  readonly margin: number
  /** 500 by default, or all pairs where there are fewer. */
  readonly poolSize?: number | undefined
  /** One a pool; ten by default. */
  readonly seeds?: readonly number[] | undefined
  /** Of the same pairs (trainer-vectors.ts). */
  readonly trainerVectors?: VectorsByAsk | undefined
  readonly onProgress?: ((step: string) => void) | undefined
}

export type RefusalCode =
  | 'encoder-mismatch'
  | 'bad-vectors'
  | 'parity-broken'
  | 'no-better-than-chance'
  | 'worse-than-serving'

export type NoteCode = 'nothing-serving' | 'serving-not-comparable' | 'too-few-pairs'

export interface GateReason {
  /** A note refuses nothing. */
  readonly kind: 'refusal' | 'note'
  readonly code: RefusalCode | NoteCode
  readonly message: string
}

export interface GateResult {
  readonly passed: boolean
  readonly reasons: readonly GateReason[]
  /** `video+text.recallAt10`, `serving.video.medianRank`, `parity.largestDifference`, … */
  readonly metrics: Readonly<Record<string, number>>
}

const NAMED: Readonly<Record<Ask, string>> = {
  video: 'by video alone',
  'video+text': 'by video and words',
  text: 'by words alone',
}
const JUDGED: readonly Ask[] = ['video', 'video+text']
const POOL_SIZE = 500
const PARITY = 1e-5
/** How many standard errors above chance R@10 must be. */
const BEYOND_CHANCE = 3

/** @throws InvalidRequestError 'pool-too-large' */
export async function gateRelease(input: GateInput): Promise<GateResult> {
  const { candidate, evaluation, encoders, margin, trainerVectors, onProgress = () => {} } = input
  const size = input.poolSize ?? Math.min(POOL_SIZE, evaluation.count)
  const pools = drawPools(evaluation.count, size, input.seeds)
  const refusedAtOnce = (reason: GateReason) => ({ passed: false, reasons: [reason], metrics: {} })

  const mismatch = mismatchOf(candidate, encoders, evaluation)
  if (mismatch !== undefined) return refusedAtOnce(refusal('encoder-mismatch', mismatch))
  onProgress(`measuring ${candidate.release} on ${evaluation.count} pairs`)
  const measured = await measure(candidate, evaluation, pools)
  if (measured instanceof ShapeError) {
    const message = `${candidate.release} cannot answer the evaluation pairs. ${measured.message}`
    return refusedAtOnce(refusal('bad-vectors', message))
  }
  const before = await measureServing(input, pools)
  const parity = trainerVectors === undefined ? undefined : largestDifference(measured, trainerVectors)
  const reasons = [
    ...parityReasons(candidate.release, parity),
    ...chanceReasons(candidate.release, measured, pools),
    ...('kind' in before ? [before] : servingReasons(candidate.release, measured, before, margin)),
  ]
  const metrics = {
    ...metricsOf(measured, ''),
    ...(parity === undefined ? {} : { 'parity.largestDifference': parity.difference }),
    ...('kind' in before ? {} : metricsOf(before, 'serving.')),
  }
  return { passed: reasons.every(({ kind }) => kind === 'note'), reasons, metrics }
}

/** @returns a note where it cannot be measured. */
async function measureServing(input: GateInput, pools: Pools): Promise<Measured | GateReason> {
  const { candidate, serving, evaluation, encoders, onProgress = () => {} } = input
  const alone = (code: NoteCode, why: string) => note(code, `${candidate.release} was judged by itself. ${why}`)
  if (serving === undefined) return alone('nothing-serving', 'No release serves.')
  const mismatch = mismatchOf(serving, encoders, evaluation)
  if (mismatch !== undefined) return alone('serving-not-comparable', mismatch)
  onProgress(`measuring ${serving.release}, which serves`)
  const before = await measure(serving, evaluation, pools)
  return before instanceof ShapeError ? alone('serving-not-comparable', before.message) : before
}

function parityReasons(release: string, parity: Difference | undefined): GateReason[] {
  if (parity === undefined || parity.difference <= PARITY) return []
  const off = `its vectors of ${parity.where} are off by ${parity.difference.toExponential(1)}, more than ${PARITY}`
  return [refusal('parity-broken', `${release} is not what was trained: ${off}. Export it again.`)]
}

function chanceReasons(release: string, { figures }: Measured, pools: Pools): GateReason[] {
  const size = pools[0]!.length
  if (size <= 10) return [note('too-few-pairs', `Among ${size} tracks each is among the first 10: R@10 tells nothing.`)]
  const least = beyondChance(size, new Set(pools.flat()).size)
  return JUDGED.flatMap((ask) => {
    const found = figures[ask]
    if (found === undefined || found.recall[10] >= least) return []
    const message = `${release} ${NAMED[ask]}: R@10 is ${percent(found.recall[10])} in pools of ${size}; chance may give ${percent(least)}.`
    return [refusal('no-better-than-chance', message)]
  })
}

function servingReasons(release: string, { figures }: Measured, before: Measured, margin: number): GateReason[] {
  return JUDGED.flatMap((ask) => {
    const [now, then] = [figures[ask], before.figures[ask]]
    if (now === undefined || then === undefined || now.recall[10] >= then.recall[10] - margin) return []
    const told = ({ recall, medianRank }: RetrievalFigures) => `${percent(recall[10])} (median rank ${medianRank})`
    const message = `${release} ${NAMED[ask]}: R@10 is ${told(now)}, where ${before.release} has ${told(then)}; it may be ${percent(margin)} lower.`
    return [refusal('worse-than-serving', message)]
  })
}

function note(code: NoteCode, message: string): GateReason {
  return { kind: 'note', code, message }
}

function refusal(code: RefusalCode, message: string): GateReason {
  return { kind: 'refusal', code, message }
}

interface Measured {
  readonly release: string
  readonly tracks: Float32Array
  readonly queries: Partial<Record<Ask, Float32Array>>
  readonly figures: Partial<Record<Ask, RetrievalFigures>>
}

/** Vectors that are none, and features that the towers refuse, are a finding, which is returned. */
async function measure(towers: ReleaseTowers, pairs: Pairs, pools: Pools): Promise<Measured | ShapeError> {
  const queries: Partial<Record<Ask, Float32Array>> = {}
  const figures: Partial<Record<Ask, RetrievalFigures>> = {}
  try {
    const tracks = await trackVectors(towers, pairs)
    for (const ask of ASKS) {
      if (ask !== 'video' && pairs.texts === undefined) continue
      const rows = await queryVectors(towers, pairs, ask)
      queries[ask] = rows
      figures[ask] = evaluateRetrieval(dotScores(rows, tracks, towers.dims), pairs.trackIds, pools).figures
    }
    return { release: towers.release, tracks, queries, figures }
  } catch (error) {
    if (error instanceof ShapeError) return error
    throw error
  }
}

/** @returns what is wrong, if anything is. */
function mismatchOf(towers: ReleaseTowers, encoders: GateInput['encoders'], pairs: Pairs): string | undefined {
  const dims = { video: pairs.video.dims, music: pairs.music.dims, text: pairs.texts?.dims ?? encoders.text.dims }
  for (const side of ['video', 'music', 'text'] as const) {
    const { id, dims: width } = encoders[side]
    if (towers.encoders[side] !== id) {
      return `${towers.release} takes ${side} features of ${towers.encoders[side]}, and the evaluation pairs are of ${id}.`
    }
    if (dims[side] !== width) {
      return `The evaluation pairs have ${side} features of ${dims[side]} dims, where ${id} gives ${width}.`
    }
  }
  return undefined
}

interface Difference {
  readonly difference: number
  readonly where: string
}

function largestDifference(measured: Measured, trainer: VectorsByAsk): Difference {
  let largest: Difference = { difference: 0, where: 'tracks' }
  const look = (where: string, found: Float32Array, wanted: Float32Array) => {
    const difference = found.length === wanted.length ? furthest(found, wanted) : Number.POSITIVE_INFINITY
    if (!(difference <= largest.difference)) largest = { difference, where }
  }
  for (const [ask, wanted] of Object.entries(trainer) as [Ask, TowerVectors][]) {
    look('tracks', measured.tracks, wanted.tracks)
    const found = measured.queries[ask]
    if (found !== undefined) look(`queries ${NAMED[ask]}`, found, wanted.queries)
  }
  return largest
}

function furthest(a: Float32Array, b: Float32Array): number {
  let most = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!)
    if (!(difference <= most)) most = difference
  }
  return most
}

/** What R@10 must reach: chance, 10 of N, and some standard errors of as many queries; at most 1. N is above 10. */
function beyondChance(size: number, queries: number): number {
  const chance = 10 / size
  return Math.min(1, chance + BEYOND_CHANCE * Math.sqrt((chance * (1 - chance)) / queries))
}

function metricsOf({ figures }: Measured, prefix: string): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).flatMap(([ask, found]) => namedFigures(`${prefix}${ask}`, found)))
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
