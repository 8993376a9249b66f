/** What a reader of tags finds in a text, whoever wrote it: the product's own checks, with the words that say so. */
import { checkText } from '../../processors/describe-music/check-text.ts'
import { findClaims } from '../../processors/describe-music/find-claims.ts'
import { allThatIs, entailedBy, lexicon } from '../../processors/describe-music/lexicon.ts'
import { TAG_CATEGORIES } from '../../processors/describe-music/select-tags.ts'
import type { Tag } from '../../schemas/types.ts'
import type { CheckedText, Mark } from '../../trainer/evaluation/captions/caption-set.ts'

export type TagReader = (text: string, tags: readonly Tag[]) => Omit<CheckedText, 'text' | 'fallback'>

export const categories: readonly string[] = TAG_CATEGORIES

/** @param name of a tag or of what a text invents. */
export function categoryOf(name: string): string {
  return lexicon.get(name)?.category ?? 'none'
}

export const readTags: TagReader = (text, tags) => {
  const { kept, omitted, invented, faults } = checkText(text, tags)
  return { kept, omitted, invented, faults, marks: marksOf(text, new Set(kept), new Set(invented)) }
}

const INVENTED: Readonly<Record<string, string>> = {
  instrument: 'invented-instrument',
  genre: 'invented-genre',
  vocals: 'invented-voice',
}

/** As people meant it: what their aspects say is not invented, though the vocabulary has no tag for it ('bass'). */
export function readPeople(text: string, tags: readonly Tag[], aspects: readonly string[]): ReturnType<TagReader> {
  const check = checkText(text, tags)
  const meant = aspects.flatMap(findClaims).filter(({ negated }) => !negated)
  const said = new Set(meant.flatMap(({ concept }) => [...entailedBy(concept)]))
  const invented = check.invented.filter((name) => !said.has(name))
  const left = new Set(invented.map((name) => INVENTED[categoryOf(name)]))
  const faults = check.faults.filter((fault) => !Object.values(INVENTED).includes(fault) || left.has(fault))
  return { ...check, invented, faults, marks: marksOf(text, new Set(check.kept), new Set(invented)) }
}

function marksOf(text: string, kept: ReadonlySet<string>, invented: ReadonlySet<string>): Mark[] {
  let free = 0
  return findClaims(text).flatMap(({ concept, words, at, negated }): Mark[] => {
    const says = [...allThatIs(concept)].some((name) => kept.has(name)) ? 'kept' : undefined
    const kind = invented.has(concept) ? 'invented' : says
    // Two claims may share a noun: 'acoustic and electric guitars'.
    if (kind === undefined || negated || at < free) return []
    free = at + words.length
    return [{ at, length: words.length, kind }]
  })
}
