/**
 * The words for what is heard: 41 instruments, 20 genres, 28 moods and the kinds of vocals (vocabulary.json).
 *
 * A tag can be heard when it has `evidence` (labels of the taggers that speak for it) or a place on the circumplex of
 * moods. The others are words of the vocabulary without a confidence: no label of the embedded taggers supports them.
 */
import { createHash } from 'node:crypto'
import data from './vocabulary.json' with { type: 'json' }

export const CATEGORIES = ['instrument', 'genre', 'mood', 'vocals'] as const
export type Category = (typeof CATEGORIES)[number]

/** Labels that say the same, with their weights; a negative weight speaks against. */
export type Clause = Readonly<Record<string, number>>

export interface VocabularyTag {
  readonly category: Category
  readonly tag: string
  /** Ways to say it, for matching words against it. */
  readonly phrases: readonly string[]
  /** All clauses must hold: a tag is as certain as its weakest clause. Empty: nothing that the taggers hear speaks for it. */
  readonly evidence: readonly Clause[]
  /** Valence and arousal of a mood, -1 … 1. */
  readonly circumplex?: readonly [valence: number, arousal: number]
}

interface RawTag {
  category: string
  tag: string
  phrases: string[]
  evidence?: Record<string, number>[]
  circumplex?: number[]
}

/** Every tag, by category in the order of CATEGORIES. */
export const vocabulary: readonly VocabularyTag[] = (data.tags as RawTag[]).map((raw) => ({
  category: raw.category as Category,
  tag: raw.tag,
  phrases: raw.phrases,
  evidence: raw.evidence ?? [],
  ...(raw.circumplex === undefined ? {} : { circumplex: [raw.circumplex[0]!, raw.circumplex[1]!] as const }),
}))

/** Tags that can be heard, in the order of the tag columns of music features. */
export const audibleTags: readonly VocabularyTag[] = vocabulary.filter(
  (tag) => tag.evidence.length > 0 || tag.circumplex !== undefined,
)

/**
 * Where the music lies on the circumplex that the taggers' labels are said of, shrunk to 0 where they are seldom said
 * (mood.ts says how the places were found). Labels that describe no sound, such as decades, have none.
 */
export const labelPlaces: readonly (readonly [label: string, place: readonly [valence: number, arousal: number]])[] =
  Object.entries(data.labels as Record<string, number[]>).map(([label, place]) => [label, [place[0]!, place[1]!]])

/** Changes whenever the columns or their meaning do. */
export const vocabularySha256: string = createHash('sha256').update(JSON.stringify(data)).digest('hex')
