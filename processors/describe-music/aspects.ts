/** Free words of people about music ('soft female vocal', 'no voice', 'low quality') as tags of the vocabulary. */
import type { Tag } from '../../schemas/types.ts'
import { findClaims } from './find-claims.ts'
import { lexicon, nearestTagged } from './lexicon.ts'

/**
 * @returns each tag once, with confidence 1, in the order of the words. 'fiddle' gives violin, 'deep house' dance and
 * electronic; 'no vocals' gives instrumental; what else is denied, and words of other things, give nothing.
 */
export function tagsOfAspects(aspects: readonly string[]): Tag[] {
  const tags = new Map<string, Tag>()
  for (const { concept, negated } of aspects.flatMap(findClaims)) {
    const named = negated ? (concept === 'vocals' ? 'instrumental' : undefined) : concept
    for (const { category, tag } of named === undefined ? [] : nearestTagged(lexicon.get(named)!)) {
      tags.set(`${category}/${tag}`, { category, tag: tag!, confidence: 1 })
    }
  }
  return [...tags.values()]
}
