/**
 * From what the taggers and the DSP measured to confidences of the vocabulary and the rows of music.features.v1.
 *
 *     label confidences by segment ──▶ evidence against base rates ──▶ tags ─┬─▶ music.tagged.v1
 *     descriptors ──▶ circumplex of moods ─────────────────────────────▶─────┴─▶ music.features.v1 rows
 *
 * Evidence: logit(confidence) - logit(base rate), the log likelihood ratio of a calibrated tagger; so labels of different
 * base rates can be weighed against each other, and 0.5 means "as likely as in music at large". Base rates follow the rank
 * of a label in its training set, in which the labels are ordered by frequency: rate(rank) = head · rank^-0.57. Heads
 * and exponent are those published of the sets: guitar 4,852 of 25,863 clips (MagnaTagATune, Law et al. 2009); rock
 * 101,071 … 00s 31,432 at rank 8 of 505,216 tagged tracks (Last.fm, Bertin-Mahieux et al. 2011).
 */
import { MUSIC_DESCRIPTORS, type MusicDescriptor, type MusicLayout, musicLayout } from '../../model/features.ts'
import type { FeatureSequence } from '../../ports/encoder.ts'
import type { MusicDescriptors } from './dsp/music-dsp.ts'
import { type MoodCues, type MoodHints, moodCues, moodEvidence, placeOnCircumplex } from './mood.ts'
import { audibleTags, type Category, type Clause, labelPlaces } from './vocabulary.ts'

export interface TagConfidence {
  readonly category: Category
  readonly tag: string
  /** 0 … 1. */
  readonly confidence: number
}

export interface HeardMusic {
  /** Rows of music.features.v1. */
  readonly features: FeatureSequence
  /** Confidences of `audibleTags` of the whole track and by segment (segments, tags). */
  readonly track: Float32Array
  readonly segments: Float32Array
}

const HEADS: Readonly<Record<string, number>> = { mtt: 4852 / 25_863, msd: 101_071 / 505_216 }
const RANK_EXPONENT = 0.57
/** Evidence stronger than this (odds of 50 to 1) says no more. */
const MOST_EVIDENCE = 4
/** What the labels for a mood's word count beside its place on the circumplex: they are weak. */
const MOOD_LABEL_WEIGHT = 0.25

/** What the labels say of mood, from their own places on the circumplex. */
const AROUSAL_HINTS: Clause = Object.fromEntries(labelPlaces.map(([label, [, arousal]]) => [label, arousal]))
const VALENCE_HINTS: Clause = Object.fromEntries(labelPlaces.map(([label, [valence]]) => [label, valence]))

/** Columns of music features for taggers of this embedding width. */
export function musicFeatureLayout(embeddingDims: number): MusicLayout {
  return musicLayout(embeddingDims, audibleTags.length)
}

/**
 * @param input.embeddings (segments, dims) of the taggers, averaged by segment.
 * @param input.labels (segments, labels) confidences of the taggers' labels, averaged by segment.
 * @param input.labelNames `mtt:…` and `msd:…`, each set in its training set's order of frequency.
 */
export function hearMusic(input: {
  embeddings: FeatureSequence
  labels: FeatureSequence
  labelNames: readonly string[]
  descriptors: MusicDescriptors
}): HeardMusic {
  const { embeddings, labels, labelNames, descriptors } = input
  const { segments: count } = labels
  const layout = musicFeatureLayout(embeddings.dims)
  const values = new Float32Array(count * layout.dims)
  const bySegment = new Float32Array(count * audibleTags.length)
  const baseRates = labelNames.map((name, index) => baseRate(name, index, labelNames))

  for (let segment = 0; segment < count; segment++) {
    const row = labels.values.subarray(segment * labels.dims, (segment + 1) * labels.dims)
    const evidence = new Map(labelNames.map((name, i) => [name, logit(row[i]!) - logit(baseRates[i]!)]))
    const cues = moodCues(descriptors, descriptors.segments[segment])
    const hints = { arousal: weigh(AROUSAL_HINTS, evidence), valence: weigh(VALENCE_HINTS, evidence) }
    const tags = tagConfidences(evidence, cues, hints)
    bySegment.set(tags, segment * tags.length)

    const at = segment * layout.dims
    values.set(embeddings.values.subarray(segment * embeddings.dims, (segment + 1) * embeddings.dims), at)
    values.set(tags, at + layout.tags.start)
    values.set(describe(cues, hints), at + layout.descriptors.start)
  }
  return {
    features: { values, segments: count, dims: layout.dims },
    track: meanRows(bySegment, count, audibleTags.length),
    segments: bySegment,
  }
}

/** @returns tags of at least `threshold`, highest first. */
export function confidentTags(confidences: Float32Array, threshold: number): TagConfidence[] {
  return audibleTags
    .map(({ category, tag }, i) => ({ category, tag, confidence: confidences[i]! }))
    .filter(({ confidence }) => confidence >= threshold)
    .sort((a, b) => b.confidence - a.confidence)
}

function tagConfidences(evidence: ReadonlyMap<string, number>, cues: MoodCues, hints: MoodHints): Float32Array {
  const place = placeOnCircumplex(cues, hints)
  return Float32Array.from(audibleTags, ({ evidence: clauses, circumplex }) => {
    const heard = clauses.length === 0 ? undefined : Math.min(...clauses.map((clause) => weigh(clause, evidence)))
    if (circumplex === undefined) return sigmoid(heard!)
    return sigmoid(moodEvidence(place, circumplex) + MOOD_LABEL_WEIGHT * (heard ?? 0))
  })
}

/** @returns the weighted mean of the evidence of a clause's labels. */
function weigh(clause: Clause, evidence: ReadonlyMap<string, number>): number {
  let [sum, weights] = [0, 0]
  for (const [label, weight] of Object.entries(clause)) {
    sum += weight * (evidence.get(label) ?? 0)
    weights += Math.abs(weight)
  }
  return sum / weights
}

function describe(cues: MoodCues, hints: MoodHints): Float32Array {
  const row: Record<MusicDescriptor, number> = { ...cues, ...placeOnCircumplex(cues, hints) }
  return Float32Array.from(MUSIC_DESCRIPTORS, (name) => row[name])
}

function baseRate(name: string, index: number, names: readonly string[]): number {
  const set = name.slice(0, name.indexOf(':'))
  const rank = index - names.findIndex((other) => other.startsWith(`${set}:`)) + 1
  return (HEADS[set] ?? 0.2) * rank ** -RANK_EXPONENT
}

function logit(probability: number): number {
  const odds = probability / (1 - probability)
  return Math.max(-MOST_EVIDENCE * 2, Math.min(MOST_EVIDENCE * 2, Math.log(odds)))
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

function meanRows(values: Float32Array, rows: number, dims: number): Float32Array {
  return Float32Array.from({ length: dims }, (_, i) => {
    let sum = 0
    for (let row = 0; row < rows; row++) sum += values[row * dims + i]!
    return rows === 0 ? 0 : sum / rows
  })
}
