/**
 * The words for what is heard: 41 instruments, 20 genres, 28 moods and the kinds of vocals (vocabulary.json). They are the
 * product's own, whatever tagger listens: a mapping (mapping.ts) says which of its labels speak for which tag.
 */
import { createHash } from 'node:crypto'
import data from './vocabulary.json' with { type: 'json' }

export const CATEGORIES = ['instrument', 'genre', 'mood', 'vocals'] as const
export type Category = (typeof CATEGORIES)[number]

export interface VocabularyTag {
  readonly category: Category
  readonly tag: string
  /** Ways to say it, for matching words against it. */
  readonly phrases: readonly string[]
  /** Valence and arousal of a mood, -1 … 1. */
  readonly circumplex?: readonly [valence: number, arousal: number]
}

interface RawTag {
  category: string
  tag: string
  phrases: string[]
  circumplex?: number[]
}

/** Every tag, by category in the order of CATEGORIES. */
export const vocabulary: readonly VocabularyTag[] = (data.tags as RawTag[]).map((raw) => ({
  category: raw.category as Category,
  tag: raw.tag,
  phrases: raw.phrases,
  ...(raw.circumplex === undefined ? {} : { circumplex: [raw.circumplex[0]!, raw.circumplex[1]!] as const }),
}))

/** Version of the words: changes whenever they or their meaning do. */
export const vocabularySha256: string = createHash('sha256').update(JSON.stringify(data)).digest('hex')
