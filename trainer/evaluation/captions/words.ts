/** Texts as words, and their n-grams as numbers. */

/** Letters and digits of any script, in lower case; hyphens and apostrophes within a word belong to it. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}\p{M}]+(?:['’‑-][\p{L}\p{N}\p{M}]+)*/gu) ?? []
}

export interface NumberedGrams {
  /** By n − 1, then by text: the n-grams in their order, as numbers from 0. Equal n-grams have equal numbers. */
  readonly grams: readonly (readonly Int32Array[])[]
  /** By n − 1: how many different ones there are. */
  readonly counts: readonly number[]
}

/** @param most the largest n. */
export function numberedGrams(texts: readonly (readonly string[])[], most: number): NumberedGrams {
  const numbers = new Map<string, number>()
  const words = texts.map((text) => Int32Array.from(text, (word) => numberIn(numbers, word)))
  const grams: Int32Array[][] = [words]
  const counts = [numbers.size]
  for (let n = 2; n <= most; n++) {
    // An n-gram is an (n − 1)-gram and a word: the two numbers in one, which stays exact up to 2^53.
    const known = new Map<number, number>()
    const shorter = grams[n - 2]!
    grams.push(
      words.map((text, i) =>
        Int32Array.from({ length: Math.max(0, text.length - n + 1) }, (_, at) =>
          numberIn(known, shorter[i]![at]! * numbers.size + text[at + n - 1]!),
        ),
      ),
    )
    counts.push(known.size)
  }
  return { grams, counts }
}

function numberIn<K>(numbers: Map<K, number>, key: K): number {
  const known = numbers.get(key)
  if (known !== undefined) return known
  numbers.set(key, numbers.size)
  return numbers.size - 1
}
