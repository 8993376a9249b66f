/**
 * What could be trained on of the shards of a sync: everything about each pair but its features, which are read again
 * once it is known which are wanted.
 */
import { unpackFloats } from '../../model/features.ts'
import type { FeatureSequence, MusicDescribed, MusicFeatures, VideoFeatures } from '../../schemas/types.ts'
import type { Topic } from '../../topics/topic.ts'
import { musicDescribed, musicFeatures, tripletsMaterialized, videoFeatures } from '../../topics/topics.ts'
import { readWeightedPairs } from './feedback-pairs.ts'
import type { ShardRow } from './shard-manifest.ts'
import { topicRows } from './shard-topic.ts'

/** Where a feature sequence lies, and its shape. */
export interface Side {
  /** `rowKey` of the row that it lies in. */
  readonly row: string
  readonly segments: number
  readonly dims: number
  /** Id of the frozen encoder that made it. */
  readonly encoder: string
}

/** A file, and who made it ('' where unknown). */
export type Media = NonNullable<ShardRow['upload']>

export interface Candidate {
  /** Whether the music is the video's own soundtrack, and not a track that users chose for it. */
  readonly own: boolean
  readonly videoId: string
  readonly trackId: string
  readonly videoMedia: Media
  readonly trackMedia: Media
  readonly video: Side
  readonly music: Side
  readonly text: string
  /** '' where there is no text. */
  readonly method: string
  readonly weight: number
}

export interface Survey {
  readonly candidates: Candidate[]
  /** Rows whose features are not what they say, or not finite. */
  readonly unusable: number
}

/** Of the topics' rows no two have the same. */
export function rowKey(topic: Pick<Topic, 'name'>, { id, at }: Pick<ShardRow, 'id' | 'at'>): string {
  return `${topic.name}/${at}/${id}`
}

/** @throws InvalidRecordError 'damaged-shard' */
export async function surveyed(folder: string): Promise<Survey> {
  const candidates: Candidate[] = []
  let unusable = 0
  for await (const { row, value } of topicRows(folder, tripletsMaterialized)) {
    const video = sideOf(tripletsMaterialized, row, value.video)
    const music = sideOf(tripletsMaterialized, row, value.music)
    if (video === undefined || music === undefined) unusable++
    else {
      const { id, upload } = row
      const media = { videoMedia: upload!, trackMedia: upload! }
      const { text, method } = value
      candidates.push({ own: true, videoId: id, trackId: id, ...media, video, music, text, method, weight: 1 })
    }
  }
  const weighted = await readWeightedPairs(folder)
  if (weighted.length === 0) return { candidates, unusable }
  const videos = await byId<VideoFeatures>(folder, videoFeatures)
  const tracks = await byId<MusicFeatures>(folder, musicFeatures)
  const texts = new Map<string, MusicDescribed>()
  for await (const { row, value } of topicRows(folder, musicDescribed)) texts.set(row.id, value)
  for (const { videoId, trackId, weight } of weighted) {
    const video = videos.sides.get(videoId)
    const music = tracks.sides.get(trackId)
    if (video === undefined || music === undefined) continue // not analysed yet, or counted as unusable
    const { text = '', method = '' } = texts.get(trackId) ?? {}
    candidates.push({
      own: false,
      videoId,
      trackId,
      videoMedia: video.media,
      trackMedia: music.media,
      video,
      music,
      text,
      method,
      weight,
    })
  }
  return { candidates, unusable: unusable + videos.unusable + tracks.unusable }
}

async function byId<T extends Features>(folder: string, topic: Topic<string, T>) {
  const sides = new Map<string, Side & { readonly media: Media }>()
  let unusable = 0
  for await (const { row, value } of topicRows(folder, topic)) {
    const side = sideOf(topic, row, value)
    if (side === undefined) unusable++
    else sides.set(row.id, { ...side, media: row.upload! })
  }
  return { sides, unusable }
}

type Features = Pick<FeatureSequence, 'segments' | 'dims' | 'values' | 'encoder'>

/** @returns undefined where the features are not what they say, or not finite. */
function sideOf(topic: Pick<Topic, 'name'>, row: ShardRow, given: Features): Side | undefined {
  const { segments, dims, values, encoder } = given
  const fits = segments > 0 && dims > 0 && values.length === 4 * segments * dims
  if (!fits || !areFinite(unpackFloats(values))) return undefined
  return { row: rowKey(topic, row), segments, dims, encoder: encoder.id }
}

/** A loop, since all features of all triplets pass here. */
function areFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false
  return true
}
