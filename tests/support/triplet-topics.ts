/** The topics that training reads, on the embedded broker or another, and records for them with features drawn by id. */
import { createHash } from 'node:crypto'
import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { EmbeddedSchemaRegistry } from '../../adapters/embedded/schema-registry.ts'
import { packFloats } from '../../model/features.ts'
import { seededRandom } from '../../model/random.ts'
import type { Broker } from '../../ports/broker.ts'
import { type Codec, createCodec } from '../../runtime/codec.ts'
import type { FeatureSequence, FeedbackAction, TripletMaterialized, UploadReceived } from '../../schemas/types.ts'
import type { Topic, TypedOutput } from '../../topics/topic.ts'
import {
  feedbackRecorded,
  musicDescribed,
  musicFeatures,
  topics,
  tripletsMaterialized,
  uploadsReceived,
  videoFeatures,
} from '../../topics/topics.ts'
import { receiptStamp, takedownStamp } from '../../topics/upload-stamp.ts'

export const RECEIVED_AT = 1_700_000_000_000
export const VIDEO_DIMS = 4
export const MUSIC_DIMS = 3

export interface TripletTopics {
  readonly broker: Broker
  readonly codec: Codec
  produce(...records: readonly TypedOutput[]): Promise<void>
}

export function tripletTopics(broker: Broker, codec: Codec): TripletTopics {
  const byName = new Map<string, Topic>(topics.map((topic) => [topic.name, topic]))
  return {
    broker,
    codec,
    async produce(...records) {
      for (const { topic, key, value, headers } of records) {
        const bytes = value === null ? null : await codec.encode(byName.get(topic)!, value)
        await broker.produce([{ topic, key, value: bytes, ...(headers === undefined ? {} : { headers }) }])
      }
    },
  }
}

export async function embeddedTripletTopics(dataFolder: string): Promise<TripletTopics & { close(): Promise<void> }> {
  const broker = await EmbeddedBroker.open({ dataFolder })
  const registry = new EmbeddedSchemaRegistry({ dataFolder })
  await broker.ensureTopics(topics)
  return {
    ...tripletTopics(broker, createCodec(registry)),
    async close() {
      await broker.close()
      await registry.close()
    },
  }
}

/** As the file with this name hashes. */
export const mediaOf = (name: string): string => createHash('sha256').update(name).digest('hex')

export function upload(
  id: string,
  { kind = 'video', media = id, artist = null, receivedAt = RECEIVED_AT }: Partial<Upload> = {},
): TypedOutput {
  const sha256 = mediaOf(media)
  return uploadsReceived.record(id, {
    uploadId: id,
    kind,
    media: { uri: `media:${sha256}`, sha256, bytes: 1 },
    title: null,
    artist,
    owner: null,
    rights: { licence: null, territories: [], explicit: false },
    receivedAt,
  }) as TypedOutput
}

interface Upload {
  readonly kind: UploadReceived['kind']
  readonly media: string
  readonly artist: string | null
  readonly receivedAt: number
}

export function triplet(id: string, { text = `Text of ${id}.`, receivedAt = RECEIVED_AT, ...given }: Given = {}) {
  const { videoEncoder = 'video@1', musicEncoder = 'music@1', seed = id } = given
  const value: TripletMaterialized = {
    uploadId: id,
    video: sequence(`${seed}/video`, VIDEO_DIMS, videoEncoder),
    music: sequence(`${seed}/music`, MUSIC_DIMS, musicEncoder),
    text,
    method: 'data2text',
    materializedAt: receivedAt,
  }
  return tripletsMaterialized.record(id, value, { headers: receiptStamp(receivedAt) }) as TypedOutput
}

interface Given {
  readonly text?: string
  readonly receivedAt?: number
  readonly videoEncoder?: string
  readonly musicEncoder?: string
  /** Other features for another; the id if absent. */
  readonly seed?: string
}

/** What the gateway and the stages leave of an upload. */
export function takedown(id: string, topic: Topic = uploadsReceived as Topic): TypedOutput {
  const headers = takedownStamp({ kind: 'video', receivedAt: RECEIVED_AT, removedAt: RECEIVED_AT + 1 })
  return topic.record(id, null, { headers })
}

/** What analysis leaves of a video, or of a track of the catalogue with its text. */
export function analysed(
  id: string,
  kind: UploadReceived['kind'],
  { encoder = `${kind === 'video' ? 'video' : 'music'}@1` } = {},
): TypedOutput[] {
  const options = { headers: receiptStamp(RECEIVED_AT) }
  const common = { durationSeconds: 10, computedAt: RECEIVED_AT }
  if (kind === 'video') {
    const features = sequence(`${id}/video`, VIDEO_DIMS, encoder)
    return [videoFeatures.record(id, { videoId: id, ...common, ...features }, options) as TypedOutput]
  }
  const about = { trackId: id, source: 'track' } as const
  const features = { ...about, ...common, ...sequence(`${id}/music`, MUSIC_DIMS, encoder) }
  const tags = { tagsKept: [], tagsOmitted: [], tagsInvented: [] }
  const by = { method: 'tags', generator: 'test', promptVersion: null, prompt: null, fallback: null } as const
  const text = { text: `Text of ${id}.`, ...by }
  return [
    musicFeatures.record(id, features, options) as TypedOutput,
    musicDescribed.record(id, { ...about, ...text, ...tags, describedAt: RECEIVED_AT }, options) as TypedOutput,
  ]
}

export function feedback(
  videoId: string | null,
  trackId: string,
  action: FeedbackAction,
  { requestId = 'request', recordedAt = RECEIVED_AT + 1_000 } = {},
): TypedOutput {
  const event = { requestId, videoId, trackId, release: 'r1', action, rank: 1, recordedAt }
  return feedbackRecorded.record(videoId ?? requestId, event) as TypedOutput
}

/** One to four segments. */
export function sequence(seed: string, dims: number, encoder: string): FeatureSequence {
  const random = seededRandom(seed)
  const segments = 1 + Math.floor(random() * 4)
  const values = Float32Array.from({ length: segments * dims }, () => random() - 0.5)
  const identity = { id: encoder, sha256: 'ab' }
  return { segments, dims, values: Buffer.from(packFloats(values)), segmentSeconds: 10, encoder: identity }
}
