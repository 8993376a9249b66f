/**
 * Writes a natural description of each track from its tags.
 *
 *     music.tagged.v1 ──────────▶ describe-music ──┬▶ music.described.v1
 *                                   ▲              └▶ descriptions.deferred.v1 ─┐
 *                                   └───────────────────────────────────────────┘
 *
 * Key: trackId. Methods: `prompt2text`, `data2text` and `tags` (docs/descriptions.md).
 * Delivery: exactly once between topics. A model is asked at least once for each text; what it wrote is kept, so that a
 * record that comes again costs nothing.
 *
 *   [at once]   a track never waits for a model that does not answer: data2text describes it, marked as a fallback
 *   [put off]   beside such a text the track is put off on a topic that this stage alone writes and reads. Its records
 *               wait there until the model answers, then the track is described anew, once
 *   [last word] what was put off is void once the upload was taken down, or a track of the catalogue was tagged again
 */
import { NotYetError } from '../../ports/errors.ts'
import { defineProcessor, type InputOf } from '../../runtime/define-processor.ts'
import type { DescriptionDeferred, MusicDescribed, MusicTagged } from '../../schemas/types.ts'
import { onlyFields } from '../../topics/topic.ts'
import { descriptionsDeferred, musicDescribed, musicTagged } from '../../topics/topics.ts'
import { receivedAtOf, uploadStamp } from '../../topics/upload-stamp.ts'
import type { Describer, Description } from './describer.ts'

export interface DescribeMusicDeps {
  readonly describer: Describer
  /** Unix epoch ms up to which receipts of an upload are void. */
  readonly takenDownAt: (id: string) => Promise<number | undefined>
  /** Unix epoch ms at which the track was tagged last, where that is known. */
  readonly taggedAt: (id: string) => Promise<number | undefined>
  readonly now: () => number
  /** From one look at whether the model answers to the next, at least. */
  readonly lookAgainMs?: number
  readonly observe?: (described: { method: string; fallback: string; redone: boolean }) => void
}

const tagged = onlyFields(musicTagged, ['source', 'tags', 'taggedAt', 'thresholds'])
/** From one look at whether the model answers to the next, unless it says itself. */
const LOOK_AGAIN_MS = 15_000

export const describeMusic = defineProcessor({
  name: 'describe-music',
  from: [tagged, descriptionsDeferred],
  to: [musicDescribed, descriptionsDeferred],
  delivery: 'exactly-once',
  concurrency: 32,
  async handle(record: InputOf<typeof tagged | typeof descriptionsDeferred>, deps: DescribeMusicDeps, { signal }) {
    const isRedone = record.topic === descriptionsDeferred.name
    const { key, value } = record
    const headers = uploadStamp(record.headers)
    const done = descriptionsDeferred.record(key, null, { headers })
    if (isRedone && (await isVoid(record as InputOf<typeof descriptionsDeferred>, deps))) return [done]
    const description = await deps.describer.describe(key, value.tags, signal, value.thresholds)
    const error = description.fallback?.error
    if (isRedone && error !== undefined) {
      const retryAfterMs = Math.max(deps.lookAgainMs ?? LOOK_AGAIN_MS, error.retryAfterMs ?? 0)
      throw new NotYetError(error.code, error.message, { cause: error, retryAfterMs })
    }
    const { method, fallback } = description
    deps.observe?.({ method, fallback: fallback?.code ?? '', redone: isRedone })
    const described = musicDescribed.record(key, recordOf(key, value, description, deps.now()), { headers })
    if (isRedone) return [described, done]
    if (error === undefined) return [described]
    const { source, tags, taggedAt, thresholds } = value
    const deferred = { trackId: key, source, tags, thresholds, taggedAt, code: error.code, deferredAt: deps.now() }
    return [described, descriptionsDeferred.record(key, deferred, { headers })]
  },
  async handleTombstone({ topic, key, headers: { ...given } }) {
    if (topic === descriptionsDeferred.name) return []
    const headers = uploadStamp(given)
    return [musicDescribed.record(key, null, { headers }), descriptionsDeferred.record(key, null, { headers })]
  },
})

/** [last word] */
async function isVoid(
  { key, value, headers }: InputOf<typeof descriptionsDeferred>,
  deps: DescribeMusicDeps,
): Promise<boolean> {
  const receivedAt = receivedAtOf(headers)
  if (receivedAt !== undefined && receivedAt <= ((await deps.takenDownAt(key)) ?? -1)) return true
  return ((await deps.taggedAt(key)) ?? 0) > value.taggedAt
}

function recordOf(
  trackId: string,
  { source }: Pick<MusicTagged | DescriptionDeferred, 'source'>,
  description: Description,
  describedAt: number,
): MusicDescribed {
  const { text, method, generator, promptVersion, tagsKept, tagsOmitted, tagsInvented, prompt, fallback } = description
  return {
    trackId,
    source,
    text,
    method,
    generator,
    promptVersion,
    tagsKept,
    tagsOmitted,
    tagsInvented,
    describedAt,
    prompt: prompt ?? null,
    fallback:
      fallback === undefined
        ? null
        : {
            from: fallback.from,
            code: fallback.code,
            faults: fallback.faults,
            deferred: fallback.error !== undefined,
          },
  }
}
