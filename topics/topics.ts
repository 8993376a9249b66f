/** Every topic of the pipeline. docs/architecture.md draws who writes and reads them. */
import type {
  DescriptionDeferred,
  FeedbackRecorded,
  ModelReleased,
  MusicDescribed,
  MusicEmbedded,
  MusicFeatures,
  MusicTagged,
  RecommendationAnswered,
  RecommendationRequested,
  TripletMaterialized,
  UploadReceived,
  UploadRemoved,
  VideoEmbedded,
  VideoFeatures,
} from '../schemas/types.ts'
import { DAY_MS, defineTopic, type Topic } from './topic.ts'

/** A feature sequence of an hour of video at the widest profile stays below this. */
const FEATURE_BYTES = 8 * 1024 * 1024

/** A takedown leaves a tombstone: by it the stages know, in the order in which the upload itself came to them. */
export const uploadsReceived = defineTopic<UploadReceived>()({
  name: 'uploads.received.v1',
  key: 'uploadId',
  retention: 'compacted',
})
export const uploadsRemoved = defineTopic<UploadRemoved>()({
  name: 'uploads.removed.v1',
  key: 'uploadId',
  retention: 'compacted',
})
export const musicTagged = defineTopic<MusicTagged>()({
  name: 'music.tagged.v1',
  key: 'trackId',
  retention: 'compacted',
  maxRecordBytes: FEATURE_BYTES,
})
export const musicDescribed = defineTopic<MusicDescribed>()({
  name: 'music.described.v1',
  key: 'trackId',
  retention: 'compacted',
})
/** Descriptions that wait for a language model to answer again. */
export const descriptionsDeferred = defineTopic<DescriptionDeferred>()({
  name: 'descriptions.deferred.v1',
  key: 'trackId',
  retention: 'compacted',
})
export const musicFeatures = defineTopic<MusicFeatures>()({
  name: 'music.features.v1',
  key: 'trackId',
  retention: 'compacted',
  maxRecordBytes: FEATURE_BYTES,
})
export const videoFeatures = defineTopic<VideoFeatures>()({
  name: 'video.features.v1',
  key: 'videoId',
  retention: 'compacted',
  maxRecordBytes: FEATURE_BYTES,
})
/** Keyed by (id, release), partitioned by id alone: a track's records share a partition with its tags and features. */
export const musicEmbedded = defineTopic<MusicEmbedded>()({
  name: 'music.embedded.v1',
  key: 'trackId/release',
  retention: 'compacted',
  maxRecordBytes: FEATURE_BYTES,
})
export const videoEmbedded = defineTopic<VideoEmbedded>()({
  name: 'video.embedded.v1',
  key: 'videoId/release',
  retention: 'compacted',
  maxRecordBytes: FEATURE_BYTES,
})
export const tripletsMaterialized = defineTopic<TripletMaterialized>()({
  name: 'triplets.materialized.v1',
  key: 'uploadId',
  retention: 'compacted',
  maxRecordBytes: 2 * FEATURE_BYTES,
})
export const modelsReleased = defineTopic<ModelReleased>()({
  name: 'models.released.v1',
  key: 'model',
  retention: 'compacted',
  partitions: 1,
})
/** Requests and their replies wait for no disk: by the time the power is back, nobody waits for them either. */
export const recommendationsRequested = defineTopic<RecommendationRequested>()({
  name: 'recommendations.requested.v1',
  key: 'requestId',
  retention: { ms: DAY_MS / 24 },
  flush: 'by-os',
})
export const recommendationsAnswered = defineTopic<RecommendationAnswered>()({
  name: 'recommendations.answered.v1',
  key: 'requestId',
  retention: { ms: DAY_MS / 24 },
  flush: 'by-os',
})
export const feedbackRecorded = defineTopic<FeedbackRecorded>()({
  name: 'feedback.recorded.v1',
  key: 'videoId',
  retention: { ms: 90 * DAY_MS },
})

export const topics: readonly Topic[] = [
  uploadsReceived,
  uploadsRemoved,
  musicTagged,
  musicDescribed,
  descriptionsDeferred,
  musicFeatures,
  videoFeatures,
  musicEmbedded,
  videoEmbedded,
  tripletsMaterialized,
  modelsReleased,
  recommendationsRequested,
  recommendationsAnswered,
  feedbackRecorded,
] as readonly Topic[]
