/**
 * Joins the three sides of one uploaded video into a training example, whatever their order of arrival.
 *
 *     video.features.v1  ──┐
 *     music.features.v1  ──┼──▶ materialize-triplets ──▶ triplets.materialized.v1
 *     music.described.v1 ──┘
 *
 * Key: uploadId. A video's own soundtrack is its positive (McKee et al. 2023, §4), so only soundtracks join; tracks of
 * the catalogue pass by. A side that changes later makes the triplet anew; the topic keeps the latest of each key.
 * Delivery: exactly once between topics; the join's state is at least once and idempotent (JoinState [merge]).
 */
import type { Headers } from '../../ports/broker.ts'
import type { JoinState } from '../../ports/join-state.ts'
import { defineProcessor } from '../../runtime/define-processor.ts'
import type { MusicDescribed, MusicFeatures, VideoFeatures } from '../../schemas/types.ts'
import { musicDescribed, musicFeatures, tripletsMaterialized, videoFeatures } from '../../topics/topics.ts'
import { receivedAtOf, uploadStamp } from '../../topics/upload-stamp.ts'

export interface MaterializeTripletsDeps {
  readonly state: JoinState
  /** Bytes of one side and back, for the state. */
  readonly sides: {
    readonly video: SideCodec<VideoFeatures>
    readonly music: SideCodec<MusicFeatures>
    readonly text: SideCodec<MusicDescribed>
  }
  readonly now: () => number
}

export interface SideCodec<T> {
  encode(value: T): Promise<Uint8Array>
  decode(bytes: Uint8Array): Promise<T>
}

export const TRIPLET_SIDES = 3

export const materializeTriplets = defineProcessor({
  name: 'materialize-triplets',
  from: [videoFeatures, musicFeatures, musicDescribed],
  to: [tripletsMaterialized],
  delivery: 'exactly-once',
  async handle(record, { state, sides, now }: MaterializeTripletsDeps) {
    if (record.topic !== videoFeatures.name && record.value.source !== 'soundtrack') return []
    const [part, bytes] =
      record.topic === videoFeatures.name
        ? (['video', await sides.video.encode(record.value)] as const)
        : record.topic === musicFeatures.name
          ? (['music', await sides.music.encode(record.value)] as const)
          : (['text', await sides.text.encode(record.value)] as const)
    const parts = await state.merge(joinOf(record.key, record.headers), part, bytes, now())
    if (parts.size < TRIPLET_SIDES) return []
    const video = await sides.video.decode(parts.get('video')!)
    const music = await sides.music.decode(parts.get('music')!)
    const text = await sides.text.decode(parts.get('text')!)
    return [
      tripletsMaterialized.record(
        record.key,
        {
          uploadId: record.key,
          video: sequenceOf(video),
          music: sequenceOf(music),
          text: text.text,
          method: text.method,
          materializedAt: now(),
        },
        { headers: uploadStamp(record.headers) },
      ),
    ]
  },
  async handleTombstone({ key, headers }, { state }: MaterializeTripletsDeps) {
    await state.remove(joinOf(key, headers))
    return [tripletsMaterialized.record(key, null, { headers: uploadStamp(headers) })]
  },
})

/** Sides of two receipts of one id never join, and the takedown of one leaves the other. */
function joinOf(key: string, headers: Headers): string {
  const receivedAt = receivedAtOf(headers)
  return receivedAt === undefined ? key : `${key}@${receivedAt}`
}

function sequenceOf({ segments, dims, values, segmentSeconds, encoder }: VideoFeatures | MusicFeatures) {
  return { segments, dims, values, segmentSeconds, encoder }
}
