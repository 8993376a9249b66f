/** The tags that a description speaks of. */
import { shuffled } from '../../model/random.ts'
import type { Tag } from '../../schemas/types.ts'

export type TagsByCategory = Readonly<Record<'genre' | 'mood' | 'instrument' | 'vocals', readonly Tag[]>>
export type TagCategory = keyof TagsByCategory
/** From which confidence a tag is claimed, as the tagger was calibrated. */
export type Thresholds = Readonly<Partial<Record<TagCategory, number>>>

export const TAG_CATEGORIES: readonly TagCategory[] = ['genre', 'mood', 'instrument', 'vocals']

/** A description claims no tag below this confidence where the tagger has no threshold of its own. */
const CLAIMED = 0.35
/** How many of a category a listener would name. */
const MOST = { genre: 2, mood: 3, instrument: 4, vocals: 1 } as const
/** McKee et al. 2023, §3.1: the 10–15 top tags. */
const TOP_LEAST = 10
const TOP_MOST = 15

/**
 * @returns the most confident tags of each category, highest first; a category with none above the threshold is empty.
 * A general tag ('guitar') says nothing beside a special one ('acoustic guitar'), and is left out.
 */
export function confidentTags(tags: readonly Tag[], thresholds: Thresholds = {}): TagsByCategory {
  const claimed = tagsByCategory(tags.filter((tag) => isClaimed(tag, thresholds)))
  const of = (category: TagCategory) => withoutGeneral(claimed[category]).slice(0, MOST[category])
  return { genre: of('genre'), mood: of('mood'), instrument: of('instrument'), vocals: of('vocals') }
}

/**
 * Method III: the top tags, in an order that says nothing.
 *
 * @returns all tags that are claimed, up to 15, and where they are fewer than 10 the next most confident besides.
 */
export function topTags(tags: readonly Tag[], random: () => number, thresholds: Thresholds = {}): Tag[] {
  const sorted = spokenTags(tags).sort(byConfidence)
  const claimed = sorted.filter((tag) => isClaimed(tag, thresholds))
  const others = sorted.filter((tag) => !isClaimed(tag, thresholds))
  const filled = others.slice(0, Math.max(0, TOP_LEAST - claimed.length))
  return shuffled([...claimed.slice(0, TOP_MOST), ...filled], random)
}

/** @returns all tags that can be spoken of, by category, highest first. */
export function tagsByCategory(tags: readonly Tag[]): TagsByCategory {
  const spoken = spokenTags(tags).sort(byConfidence)
  const of = (category: TagCategory) => spoken.filter((tag) => tag.category === category)
  return { genre: of('genre'), mood: of('mood'), instrument: of('instrument'), vocals: of('vocals') }
}

/**
 * Tags come from outside: what is no plain name in one of the four categories is dropped, so that nothing but words gets
 * into a text or a prompt.
 *
 * @returns each (category, lower-case name) once, with its highest confidence, clipped to 0 … 1.
 */
export function spokenTags(tags: readonly Tag[]): Tag[] {
  const spoken = new Map<string, Tag>()
  for (const { category, tag, confidence } of tags) {
    if (!isTagCategory(category) || !isTagName(tag) || !Number.isFinite(confidence)) continue
    const clipped = Math.min(Math.max(confidence, 0), 1)
    const id = tagId({ category, tag })
    if (clipped > (spoken.get(id)?.confidence ?? -1)) spoken.set(id, { category, tag, confidence: clipped })
  }
  return [...spoken.values()]
}

/** Words of letters, digits, &, ', - and /, one space apart, 40 characters at most. */
export function isTagName(name: string): boolean {
  return name.length <= 40 && /^[\p{L}\p{N}&'/-]+(?: [\p{L}\p{N}&'/-]+)*$/u.test(name) && /[\p{L}\p{N}]/u.test(name)
}

export function isTagCategory(category: string): category is TagCategory {
  return (TAG_CATEGORIES as readonly string[]).includes(category)
}

/** Equal for tags that say the same. */
export function tagId({ category, tag }: Pick<Tag, 'category' | 'tag'>): string {
  return `${category}:${tag.toLowerCase()}`
}

export function byConfidence(a: Tag, b: Tag): number {
  return b.confidence - a.confidence || (a.tag < b.tag ? -1 : 1)
}

function isClaimed({ category, confidence }: Tag, thresholds: Thresholds): boolean {
  return confidence >= (thresholds[category as TagCategory] ?? CLAIMED)
}

function withoutGeneral(tags: readonly Tag[]): readonly Tag[] {
  return tags.filter(({ tag }) => !tags.some((other) => other.tag.toLowerCase().endsWith(` ${tag.toLowerCase()}`)))
}
