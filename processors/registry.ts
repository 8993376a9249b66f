/** Every processor of the pipeline. tests/unit/processors/registry.test.ts walks the graph that this gives. */
import type { Processor } from '../runtime/define-processor.ts'
import { analyseMusic } from './analyse-music/analyse-music.ts'
import { analyseVideo } from './analyse-video/analyse-video.ts'
import { answerRecommendations } from './answer-recommendations/answer-recommendations.ts'
import { describeMusic } from './describe-music/describe-music.ts'
import { embedMusic } from './embed-music/embed-music.ts'
import { embedVideo } from './embed-video/embed-video.ts'
import { indexEmbeddings } from './index-embeddings/index-embeddings.ts'
import { materializeTriplets } from './materialize-triplets/materialize-triplets.ts'

export const processors = [
  analyseVideo,
  analyseMusic,
  describeMusic,
  materializeTriplets,
  embedMusic,
  embedVideo,
  indexEmbeddings,
  answerRecommendations,
] as unknown as readonly Processor[]

/**
 * Topics written or read by what is not a processor. `tombstones` are of what another writes: of a release that was retired,
 * and so embeds nothing any more.
 */
export const outside = {
  writes: {
    gateway: ['uploads.received.v1', 'uploads.removed.v1', 'recommendations.requested.v1', 'feedback.recorded.v1'],
    releases: ['models.released.v1'],
  },
  tombstones: {
    releases: ['music.embedded.v1', 'video.embedded.v1'],
  },
  reads: {
    gateway: ['recommendations.answered.v1'],
    trainer: [
      'triplets.materialized.v1',
      'feedback.recorded.v1',
      'uploads.received.v1',
      'video.features.v1',
      'music.features.v1',
      'music.described.v1',
    ],
    releases: ['models.released.v1'],
  },
} as const
