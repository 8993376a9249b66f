/** What is measured: tracks with their tags and people's captions, and the texts of each method. */

export interface CaptionedTrack {
  readonly id: string
  readonly tags: readonly string[]
}

/** A text, and what a reader of tags finds in it, whoever wrote it. */
export interface CheckedText {
  readonly text: string
  readonly kept: readonly string[]
  readonly omitted: readonly string[]
  readonly invented: readonly string[]
  /** Kinds of what is wrong with it. */
  readonly faults: readonly string[]
  /** Where in the text it names them, in order, apart from each other. */
  readonly marks: readonly Mark[]
  /** Where another method stood in: why, and what was wrong with what was rejected. */
  readonly fallback?: { readonly method: string; readonly code: string; readonly faults: readonly string[] } | undefined
}

export interface Mark {
  /** In UTF-16 units. */
  readonly at: number
  readonly length: number
  readonly kind: 'kept' | 'invented'
}

export interface Cost {
  /** Wall time of all texts, as many at a time as the method was given. */
  readonly seconds: number
  readonly atATime: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly usd: number
  /** Texts that were kept from before, and took no time. */
  readonly cached: number
}

/** Texts of one writer: a row of the tables. */
export interface CaptionSet {
  readonly id: string
  readonly label: string
  readonly kind: 'people' | 'method' | 'draft'
  /** Of the palette, the same in every plot. */
  readonly colour: number
  /** In the order of the tracks; undefined where the writer gave none. */
  readonly texts: readonly (CheckedText | undefined)[]
  readonly cost?: Cost | undefined
}

/** @returns the texts that are there. */
export function textsOf({ texts }: CaptionSet): CheckedText[] {
  return texts.filter((text) => text !== undefined)
}

/** Counts of what is said of texts, commonest first. */
export function tally(kinds: readonly string[]): [kind: string, count: number][] {
  const counts = new Map<string, number>()
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
}
