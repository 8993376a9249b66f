/**
 * Training and evaluation data in memory: n pairs of a video and the track that is its soundtrack, with texts about the
 * track. Sequences are ragged: pair i has its own number of segments of each side.
 *
 * Invariants, held by `checkPairs`:
 *   1. every list has one entry a pair, every pair has at least one segment of each side, and all values are finite;
 *   2. texts.strings[0] is '', so row 0 of texts.vectors is x_NULL, what the model is given where no words are.
 */
import { InvalidRecordError, ShapeError } from '../../ports/errors.ts'

/** Sequences (segments_i, dims), one after the other. */
export interface RaggedSequences {
  readonly values: Float32Array
  /** (n + 1,) in rows: sequence i is rows offsets[i] … offsets[i + 1]. */
  readonly offsets: Uint32Array
  readonly dims: number
}

/** A table of the different texts, and which of them belong to each pair. */
export interface Texts {
  /** The first is ''. */
  readonly strings: readonly string[]
  /** (strings.length, dims) row-major, from the text encoder; dims is 0 where there is none. */
  readonly vectors: Float32Array
  readonly dims: number
  /** (n, variants) row-major, rows of the table: ways to word the same text. */
  readonly rows: Uint32Array
  readonly variants: number
}

export interface Pairs {
  readonly count: number
  readonly video: RaggedSequences
  readonly music: RaggedSequences
  readonly texts: Texts | undefined
  readonly videoIds: readonly string[]
  /** Pairs of one track id share their music. */
  readonly trackIds: readonly string[]
  /** Artist or other group of each track; '' where unknown. */
  readonly artists: readonly string[]
  /** How much a pair counts in the loss, ≥ 0. */
  readonly weights: Float32Array
}

/** @returns row-major (segments, dims) of pair i: a view. */
export function sequenceOf({ values, offsets, dims }: RaggedSequences, pair: number): Float32Array {
  return values.subarray(offsets[pair]! * dims, offsets[pair + 1]! * dims)
}

/** @returns the encoded text of a pair (dims,): a view. */
export function textVectorOf({ vectors, dims, rows, variants }: Texts, pair: number, variant = 0): Float32Array {
  const row = rows[pair * variants + (variant % variants)]!
  return vectors.subarray(row * dims, (row + 1) * dims)
}

/** @returns the mean of each sequence, (n, dims) row-major: what needs one vector a pair takes. */
export function meanRows(sequences: RaggedSequences): Float32Array {
  const { offsets, dims } = sequences
  const means = new Float32Array((offsets.length - 1) * dims)
  for (let pair = 0; pair < offsets.length - 1; pair++) {
    const rows = sequenceOf(sequences, pair)
    const share = dims / rows.length
    for (let i = 0; i < rows.length; i++) means[pair * dims + (i % dims)]! += rows[i]! * share
  }
  return means
}

/** @returns a copy of some of the pairs, in the order asked for; the table of texts is shared. */
export function selectPairs(pairs: Pairs, chosen: readonly number[]): Pairs {
  const { texts } = pairs
  const pickFrom = (list: readonly string[]) => chosen.map((pair) => list[pair]!)
  return {
    count: chosen.length,
    video: selectSequences(pairs.video, chosen),
    music: selectSequences(pairs.music, chosen),
    texts: texts && { ...texts, rows: selectTextRows(texts, chosen) },
    videoIds: pickFrom(pairs.videoIds),
    trackIds: pickFrom(pairs.trackIds),
    artists: pickFrom(pairs.artists),
    weights: Float32Array.from(chosen, (pair) => pairs.weights[pair]!),
  }
}

/** @throws InvalidRecordError 'bad-pairs' | ShapeError, naming the pair and what is wrong with it. */
export function checkPairs(pairs: Pairs): void {
  const { count, video, music, texts, videoIds, trackIds, artists, weights } = pairs
  for (const [name, list] of Object.entries({ videoIds, trackIds, artists, weights })) {
    if (list.length !== count) throw badPairs(`${count} pairs have ${list.length} ${name}`)
  }
  const weightless = weights.findIndex((weight) => !(weight >= 0 && weight < Number.POSITIVE_INFINITY))
  if (weightless >= 0) throw badPairs(`pair ${videoIds[weightless]} has the weight ${weights[weightless]}`)
  checkSequences('video', video, pairs)
  checkSequences('music', music, pairs)
  if (texts === undefined) return
  const { strings, vectors, dims, rows, variants } = texts
  if (strings[0] !== '') throw badPairs('the first text is not the empty one')
  if (vectors.length !== strings.length * dims) {
    throw new ShapeError(`${strings.length} texts of ${dims} dims have ${vectors.length} values.`)
  }
  if (variants < 1 || rows.length !== count * variants || rows.some((row) => row >= strings.length)) {
    throw badPairs(`the texts of ${count} pairs, ${variants} each, do not fit the table of ${strings.length}`)
  }
  const wrong = vectors.findIndex((value) => !Number.isFinite(value))
  if (wrong >= 0)
    throw new ShapeError(`The text "${strings[Math.floor(wrong / dims)]}" has a vector that is not finite.`)
}

function checkSequences(side: string, { values, offsets, dims }: RaggedSequences, { count, videoIds }: Pairs): void {
  if (offsets.length !== count + 1 || offsets[0] !== 0 || values.length !== offsets[count]! * dims) {
    throw new ShapeError(`${values.length} values of ${dims} dims are not the ${side} sequences of ${count} pairs.`)
  }
  for (let pair = 0; pair < count; pair++) {
    if (offsets[pair + 1]! <= offsets[pair]!) throw badPairs(`pair ${videoIds[pair]} has no segment of ${side}`)
  }
  const wrong = values.findIndex((value) => !Number.isFinite(value))
  if (wrong < 0) return
  const pair = offsets.findLastIndex((offset) => offset <= Math.floor(wrong / dims))
  throw new ShapeError(`The ${side} features of pair ${videoIds[pair]} are not finite; leave it out.`)
}

function selectSequences(sequences: RaggedSequences, chosen: readonly number[]): RaggedSequences {
  const { dims } = sequences
  const offsets = new Uint32Array(chosen.length + 1)
  for (const [i, pair] of chosen.entries()) offsets[i + 1] = offsets[i]! + sequenceOf(sequences, pair).length / dims
  const values = new Float32Array(offsets[chosen.length]! * dims)
  for (const [i, pair] of chosen.entries()) values.set(sequenceOf(sequences, pair), offsets[i]! * dims)
  return { values, offsets, dims }
}

function selectTextRows({ rows, variants }: Texts, chosen: readonly number[]): Uint32Array {
  const result = new Uint32Array(chosen.length * variants)
  for (const [i, pair] of chosen.entries()) {
    result.set(rows.subarray(pair * variants, (pair + 1) * variants), i * variants)
  }
  return result
}

function badPairs(what: string): InvalidRecordError {
  return new InvalidRecordError('bad-pairs', `The data cannot be used: ${what}.`)
}
