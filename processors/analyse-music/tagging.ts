/**
 * From what the taggers and the DSP measured to confidences of the vocabulary and the rows of music.features.v1.
 *
 *     label confidences by segment ──▶ evidence against base rates ──▶ tags ─┬─▶ music.tagged.v1
 *     descriptors ──▶ circumplex of moods ─────────────────────────────▶─────┴─▶ music.features.v1 rows
 *
 * Evidence: logit(confidence) - logit(base rate), the log likelihood ratio of a calibrated tagger; so labels of different
 * base rates can be weighed against each other, and 0.5 means "as likely as in music at large". Which labels speak for a
 * tag, and their base rates, are the tagger's mapping (hearing.ts).
 */
import { MUSIC_DESCRIPTORS, type MusicDescriptor, musicLayout, SEGMENT_SECONDS } from '../../model/features.ts'
import type { FeatureSequence } from '../../ports/encoder.ts'
import { aggregate } from './aggregate.ts'
import type { MusicDescriptors } from './dsp/music-dsp.ts'
import type { Hearing } from './hearing.ts'
import type { Clause } from './mapping.ts'
import { type MoodCues, type MoodHints, moodCues, moodEvidence, placeOnCircumplex } from './mood.ts'
import type { Category } from './vocabulary.ts'

export interface TagConfidence {
  readonly category: Category
  readonly tag: string
  /** 0 … 1. */
  readonly confidence: number
}

export interface HeardMusic {
  /** Rows of music.features.v1. */
  readonly features: FeatureSequence
  /**
   * Confidences of the hearing's tags of the whole track and by segment (segments, tags). In the track every segment
   * counts alike, a last one that is shorter too.
   */
  readonly track: Float32Array
  readonly segments: Float32Array
}

/** Evidence stronger than this (odds of 50 to 1) says no more. */
const MOST_EVIDENCE = 4
/**
 * @param input.embeddings (segments, dims) of the taggers, averaged by segment.
 * @param input.labels (segments, labels) confidences of the taggers' labels, averaged by segment.
 */
export function hearMusic(input: {
  embeddings: FeatureSequence
  labels: FeatureSequence
  hearing: Hearing
  descriptors: MusicDescriptors
}): HeardMusic {
  const { embeddings, labels, hearing, descriptors } = input
  const { segments: count } = labels
  const layout = musicLayout(embeddings.dims, hearing.tags.length)
  const values = new Float32Array(count * layout.dims)
  const bySegment = new Float32Array(count * hearing.tags.length)

  for (let segment = 0; segment < count; segment++) {
    const row = labels.values.subarray(segment * labels.dims, (segment + 1) * labels.dims)
    const evidence = labelEvidence(row, hearing)
    const cues = moodCues(descriptors, descriptors.segments[segment])
    const hints = { arousal: weigh(hearing.hints.arousal, evidence), valence: weigh(hearing.hints.valence, evidence) }
    const tags = tagConfidences(hearing, evidence, cues, hints)
    bySegment.set(tags, segment * tags.length)

    const at = segment * layout.dims
    values.set(embeddings.values.subarray(segment * embeddings.dims, (segment + 1) * embeddings.dims), at)
    values.set(tags, at + layout.tags.start)
    values.set(describe(cues, hints), at + layout.descriptors.start)
  }
  return {
    features: { values, segments: count, dims: layout.dims },
    track: count === 0 ? new Float32Array(hearing.tags.length) : wholeTrack(bySegment, count),
    segments: bySegment,
  }
}

function wholeTrack(bySegment: Float32Array, count: number): Float32Array {
  const alike = Array.from({ length: count }, (_, i) => ({
    startSeconds: i * SEGMENT_SECONDS,
    seconds: SEGMENT_SECONDS,
  }))
  return aggregate(bySegment, alike, { startSeconds: 0, seconds: count * SEGMENT_SECONDS })
}

/** @returns tags of at least `threshold`, highest first. */
export function confidentTags({ tags }: Hearing, confidences: Float32Array, threshold: number): TagConfidence[] {
  return tags
    .map(({ category, tag }, i) => ({ category, tag, confidence: confidences[i]! }))
    .filter(({ confidence }) => confidence >= threshold)
    .sort((a, b) => b.confidence - a.confidence)
}

/** Of the labels that anything rests on. */
function labelEvidence(row: Float32Array, { labels, rates }: Hearing): ReadonlyMap<string, number> {
  const evidence = new Map<string, number>()
  for (const [i, label] of labels.entries()) {
    const rate = rates.get(label)
    if (rate !== undefined) evidence.set(label, logit(row[i]!) - logit(rate))
  }
  return evidence
}

function tagConfidences(
  { tags, moodLabelWeight }: Hearing,
  evidence: ReadonlyMap<string, number>,
  cues: MoodCues,
  hints: MoodHints,
): Float32Array {
  const place = placeOnCircumplex(cues, hints)
  return Float32Array.from(tags, ({ evidence: clauses, circumplex }) => {
    const heard = clauses.length === 0 ? undefined : Math.min(...clauses.map((clause) => weigh(clause, evidence)))
    if (circumplex === undefined) return sigmoid(heard!)
    return sigmoid(moodEvidence(place, circumplex) + moodLabelWeight * (heard ?? 0))
  })
}

/** @returns the weighted mean of the evidence of a clause's labels; 0 of a clause with none. */
function weigh(clause: Clause, evidence: ReadonlyMap<string, number>): number {
  let [sum, weights] = [0, 0]
  for (const [label, weight] of Object.entries(clause)) {
    sum += weight * evidence.get(label)!
    weights += Math.abs(weight)
  }
  return weights === 0 ? 0 : sum / weights
}

function describe(cues: MoodCues, hints: MoodHints): Float32Array {
  const row: Record<MusicDescriptor, number> = { ...cues, ...placeOnCircumplex(cues, hints) }
  return Float32Array.from(MUSIC_DESCRIPTORS, (name) => row[name])
}

function logit(probability: number): number {
  const odds = probability / (1 - probability)
  return Math.max(-MOST_EVIDENCE * 2, Math.min(MOST_EVIDENCE * 2, Math.log(odds)))
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}
