/**
 * How varied a set of texts is.
 *
 *   distinct-n   different n-grams ÷ all n-grams (Li et al. 2016, §5.2). It falls with the size of a set, so that sets are
 *                compared at an equal number of words, in texts drawn by the seed of which the last is cut.
 *   vocabulary   different words among as many.
 *   self-BLEU    how much each text is like others of its set (self-bleu.ts): lower is more varied.
 *   repeated     share of the texts that are said more than once, word for word.
 *
 * N-grams stay within a text. Case and punctuation do not count.
 */
import { seededRandom, shuffled } from '../../../model/random.ts'
import { selfBleu } from './self-bleu.ts'
import { numberedGrams, wordsOf } from './words.ts'

export interface Diversity {
  readonly texts: number
  /** Words a text. */
  readonly lengths: readonly number[]
  readonly meanLength: number
  /** Of the sample. */
  readonly sdLength: number
  /** Distinct-1, -2 and -3 of the whole set. */
  readonly distinct: Distinct
  readonly atEqualWords: { readonly words: number; readonly distinct: Distinct; readonly vocabulary: number }
  /** None for a single text. */
  readonly selfBleu: number | undefined
  readonly repeatedShare: number
}

/** 0 … 1 for n of 1, 2 and 3; 0 where no text has n words. */
export type Distinct = readonly [number, number, number]

export interface DiversityOptions {
  /** Number of words that the set is cut to for comparison; all if absent. */
  readonly equalWords?: number | undefined
  readonly seed?: number
  /** Texts that self-BLEU holds each text against. */
  readonly references?: number
}

export function diversity(
  texts: readonly string[],
  { equalWords, seed = 0, references = 500 }: DiversityOptions = {},
): Diversity {
  const words = texts.map(wordsOf)
  const lengths = words.map((text) => text.length)
  const all = lengths.reduce((sum, length) => sum + length, 0)
  const mean = texts.length === 0 ? 0 : all / texts.length
  const squares = lengths.reduce((sum, length) => sum + (length - mean) ** 2, 0)
  const cut = cutTo(Math.min(equalWords ?? all, all), shuffled(words, seededRandom(`equal-words/${seed}`)))
  return {
    texts: texts.length,
    lengths,
    meanLength: mean,
    sdLength: texts.length < 2 ? 0 : Math.sqrt(squares / (texts.length - 1)),
    distinct: distinct(words),
    atEqualWords: {
      words: cut.reduce((sum, text) => sum + text.length, 0),
      distinct: distinct(cut),
      vocabulary: new Set(cut.flat()).size,
    },
    selfBleu: selfBleu(words, { references, seed }),
    repeatedShare: repeatedShare(words),
  }
}

/** @returns the number of words that the smallest of the sets has. */
export function equalWordsOf(sets: readonly (readonly string[])[]): number {
  const sizes = sets.map((texts) => texts.reduce((sum, text) => sum + wordsOf(text).length, 0))
  return sizes.reduce((least, size) => Math.min(least, size), Number.POSITIVE_INFINITY)
}

/** The first texts that have so many words; the last of them loses what is too much. */
function cutTo(count: number, texts: readonly (readonly string[])[]): (readonly string[])[] {
  const kept: (readonly string[])[] = []
  for (let left = count, i = 0; left > 0 && i < texts.length; left -= texts[i]!.length, i++) {
    kept.push(texts[i]!.slice(0, left))
  }
  return kept
}

function distinct(texts: readonly (readonly string[])[]): Distinct {
  const { grams, counts } = numberedGrams(texts, 3)
  return [1, 2, 3].map((n) => {
    const all = grams[n - 1]!.reduce((sum, text) => sum + text.length, 0)
    return all === 0 ? 0 : counts[n - 1]! / all
  }) as unknown as Distinct
}

function repeatedShare(words: readonly (readonly string[])[]): number {
  const times = new Map<string, number>()
  for (const text of words.map((text) => text.join(' '))) times.set(text, (times.get(text) ?? 0) + 1)
  const repeated = [...times.values()].filter((count) => count > 1).reduce((sum, count) => sum + count, 0)
  return words.length === 0 ? 0 : repeated / words.length
}
