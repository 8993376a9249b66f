/**
 * Writes a natural description of each track from its tags.
 *
 *     music.tagged.v1 ──▶ describe-music ──▶ music.described.v1
 *
 * Key: trackId. Methods: `data2text` and `tags` (docs/glossary.md), the same text for the same seed and track.
 * Delivery: exactly once between topics.
 */
import { seededRandom, shuffled } from '../../model/random.ts'
import { defineProcessor } from '../../runtime/define-processor.ts'
import type { Tag } from '../../schemas/types.ts'
import { onlyFields } from '../../topics/topic.ts'
import { musicDescribed, musicTagged } from '../../topics/topics.ts'
import { uploadStamp } from '../../topics/upload-stamp.ts'
import { data2text } from './data2text.ts'
import { byConfidence, confidentTags } from './select-tags.ts'

export interface DescribeMusicDeps {
  readonly method: 'data2text' | 'tags'
  readonly seed: number
  readonly now: () => number
}

/** Changes whenever the same tags would give another text. */
const GENERATOR = { data2text: 'cuestream-data2text@1', tags: 'cuestream-tags@1' } as const
/** McKee et al. 2023, §3.1: the 10–15 top tags. */
const TOP_TAGS = 12

export const describeMusic = defineProcessor({
  name: 'describe-music',
  from: [onlyFields(musicTagged, ['source', 'tags'])],
  to: [musicDescribed],
  delivery: 'exactly-once',
  async handle({ key, value, headers }, { method, seed, now }: DescribeMusicDeps) {
    const random = seededRandom(`${seed}/${key}`)
    const { text, kept } = method === 'tags' ? topTags(value.tags, random) : describe(value.tags, random)
    const spoken = new Set(kept.map(({ tag }) => tag))
    const omitted = value.tags.filter(({ tag }) => !spoken.has(tag))
    return [
      musicDescribed.record(
        key,
        {
          trackId: key,
          source: value.source,
          text,
          method,
          generator: GENERATOR[method],
          promptVersion: null,
          tagsKept: [...spoken],
          tagsOmitted: omitted.map(({ tag }) => tag),
          tagsInvented: [],
          describedAt: now(),
        },
        { headers: uploadStamp(headers) },
      ),
    ]
  },
  async handleTombstone({ key, headers }) {
    return [musicDescribed.record(key, null, { headers: uploadStamp(headers) })]
  },
})

function describe(tags: readonly Tag[], random: () => number): { text: string; kept: readonly Tag[] } {
  const chosen = confidentTags(tags)
  const kept = Object.values(chosen).flat()
  return kept.length > 0 ? { text: data2text(chosen, random), kept } : topTags(tags, random)
}

/** Method III: the top tags, shuffled (no order dependence), joined by commas. */
function topTags(tags: readonly Tag[], random: () => number): { text: string; kept: readonly Tag[] } {
  const top = [...tags].sort(byConfidence).slice(0, TOP_TAGS)
  return {
    text: shuffled(top, random)
      .map(({ tag }) => tag)
      .join(', '),
    kept: top,
  }
}
