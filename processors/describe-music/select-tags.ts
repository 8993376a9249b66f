/** The tags that a description speaks of. */
import type { Tag } from '../../schemas/types.ts'

export type TagsByCategory = Readonly<Record<'genre' | 'mood' | 'instrument' | 'vocals', readonly Tag[]>>

/** A description claims no tag below this confidence. */
const CLAIMED = 0.35
const MOST = { genre: 2, mood: 3, instrument: 4, vocals: 1 } as const

/**
 * @returns the most confident tags of each category, highest first; a category with none above the threshold is empty.
 * A general tag ('guitar') says nothing beside a special one ('acoustic guitar'), and is left out.
 */
export function confidentTags(tags: readonly Tag[]): TagsByCategory {
  const claimed = tags.filter(({ confidence }) => confidence >= CLAIMED)
  const of = (category: keyof typeof MOST) =>
    withoutGeneral(claimed.filter((tag) => tag.category === category))
      .sort(byConfidence)
      .slice(0, MOST[category])
  return { genre: of('genre'), mood: of('mood'), instrument: of('instrument'), vocals: of('vocals') }
}

function withoutGeneral(tags: readonly Tag[]): Tag[] {
  return tags.filter(({ tag }) => !tags.some((other) => other.tag.endsWith(` ${tag}`)))
}

export function byConfidence(a: Tag, b: Tag): number {
  return b.confidence - a.confidence || (a.tag < b.tag ? -1 : 1)
}
