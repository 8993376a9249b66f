/** Finds the tags that labels mean which are words of the vocabulary themselves. */
import type { VocabularyTag } from './vocabulary.ts'

/**
 * A label is the tag of its name, or else the one that has it as a phrase; case, hyphens and underscores do not matter.
 * @returns labels by tag; labels that are no word of the vocabulary are left out.
 */
export function labelsByName(
  labels: readonly string[],
  tags: readonly VocabularyTag[],
): ReadonlyMap<VocabularyTag, readonly string[]> {
  const names = new Map(tags.map((tag) => [plain(tag.tag), tag]))
  const phrases = new Map(tags.flatMap((tag) => tag.phrases.map((phrase) => [plain(phrase), tag] as const)))
  const found = new Map<VocabularyTag, string[]>()
  for (const label of labels) {
    const tag = names.get(plain(label)) ?? phrases.get(plain(label))
    if (tag !== undefined) found.set(tag, [...(found.get(tag) ?? []), label])
  }
  return found
}

function plain(words: string): string {
  return words
    .toLowerCase()
    .replaceAll(/[-_\s]+/g, ' ')
    .trim()
}
