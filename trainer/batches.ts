/** Pairs as the padded batches that the graphs take. */
import { shuffled } from '../model/random.ts'
import { type Pairs, type RaggedSequences, sequenceOf, textVectorOf } from './data/pairs.ts'
import { targetsOf } from './loss.ts'
import type { Values } from './step-backend.ts'

export interface BatchDraw {
  /** How often words are replaced by x_NULL. */
  readonly textDropout: number
  /** The most segments of a sequence: of a longer one a window is drawn, the same of a video and its sound. */
  readonly mostSegments?: number
  readonly random: () => number
}

/**
 * One epoch's batches of pair numbers, all of the same size: the pairs that are left over wait for another epoch. Where a
 * batch is as large as the data, one batch.
 */
export function epochBatches(count: number, size: number, random: () => number): number[][] {
  const order = shuffled(
    Array.from({ length: count }, (_, pair) => pair),
    random,
  )
  const width = Math.min(size, count)
  return Array.from({ length: Math.floor(count / width) }, (_, i) => order.slice(i * width, (i + 1) * width))
}

/** A training graph is made for each shape of batch (graph/graph-backend.ts): this keeps them few. */
const PADDED_TO = 8

/** What a training step is fed: sequences with their masks, words or x_NULL, and what belongs together. */
export function trainingInputs(pairs: Pairs, chosen: readonly number[], draw: BatchDraw): Map<string, Values> {
  const { rows, columns } = targetsOf(
    chosen.map((pair) => pairs.trackIds[pair]!),
    chosen.map((pair) => pairs.weights[pair]!),
  )
  const square = [chosen.length, chosen.length]
  const most = draw.mostSegments ?? Number.POSITIVE_INFINITY
  const window = {
    most,
    places: Float32Array.from(chosen, () => (most === Number.POSITIVE_INFINITY ? 0 : draw.random())),
    paddedTo: PADDED_TO,
  }
  const textOf = (pair: number) => {
    if (pairs.texts === undefined || draw.random() < draw.textDropout) return undefined
    return textVectorOf(pairs.texts, pair, Math.floor(draw.random() * pairs.texts.variants))
  }
  return new Map([
    ...featureInputs(pairs, chosen, textOf, window),
    ['targets.rows', { shape: square, values: rows }],
    ['targets.columns', { shape: square, values: columns }],
  ])
}

/** Which segments of longer sequences are taken. */
export interface SegmentWindow {
  readonly most: number
  /** 0 … 1 of each chosen pair: where between its first and its last window. The first if absent. */
  readonly places?: Float32Array | undefined
  /** The batch is padded to a multiple of so many segments; to the longest sequence if absent. */
  readonly paddedTo?: number | undefined
}

/**
 * @param textOf a pair (dims,); undefined for x_NULL.
 * @param window all segments if absent.
 */
export function featureInputs(
  pairs: Pairs,
  chosen: readonly number[],
  textOf: (pair: number) => Float32Array | undefined,
  window: SegmentWindow = { most: Number.POSITIVE_INFINITY },
): Map<string, Values> {
  return new Map([
    ...padded('video', pairs.video, chosen, window),
    ...padded('music', pairs.music, chosen, window),
    textInput(),
  ])

  function textInput(): [string, Values] {
    const { dims = 0, vectors } = pairs.texts ?? {}
    const values = new Float32Array(chosen.length * dims)
    for (const [i, pair] of chosen.entries()) {
      const vector = textOf(pair) ?? vectors?.subarray(0, dims)
      if (vector !== undefined) values.set(vector, i * dims)
    }
    return ['text', { shape: [chosen.length, dims], values }]
  }
}

/** (B, S, dims) and (B, S), S being the longest of the batch, or somewhat more. */
function padded(
  name: string,
  sequences: RaggedSequences,
  chosen: readonly number[],
  { most, places, paddedTo }: SegmentWindow,
): [string, Values][] {
  const { dims } = sequences
  const rows = chosen.map((pair, i) => {
    const row = sequenceOf(sequences, pair)
    const left = row.length / dims - most
    if (left <= 0) return row
    const start = Math.floor((places?.[i] ?? 0) * (left + 1))
    return row.subarray(start * dims, (start + most) * dims)
  })
  const longest = Math.max(...rows.map(({ length }) => length / dims))
  const segments = Math.min(
    most,
    paddedTo === undefined || longest === 1 ? longest : Math.ceil(longest / paddedTo) * paddedTo,
  )
  const features = new Float32Array(chosen.length * segments * dims)
  const mask = new Float32Array(chosen.length * segments)
  for (const [i, row] of rows.entries()) {
    features.set(row, i * segments * dims)
    mask.fill(1, i * segments, i * segments + row.length / dims)
  }
  return [
    [name, { shape: [chosen.length, segments, dims], values: features }],
    [`${name}.mask`, { shape: [chosen.length, segments], values: mask }],
  ]
}
