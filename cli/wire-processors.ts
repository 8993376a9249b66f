/** Gives every processor what its handler asks for; the compiler checks each pair. */
import type { LoadedProfile } from '../adapters/onnx/load-profile.ts'
import type { Catalogue } from '../ports/catalogue.ts'
import { SetupError } from '../ports/errors.ts'
import type { JoinState } from '../ports/join-state.ts'
import type { MediaDecoder, MediaStore } from '../ports/media.ts'
import type { VectorIndex } from '../ports/vector-index.ts'
import { analyseMusic } from '../processors/analyse-music/analyse-music.ts'
import { analyseVideo } from '../processors/analyse-video/analyse-video.ts'
import { answerRecommendations } from '../processors/answer-recommendations/answer-recommendations.ts'
import { describeMusic } from '../processors/describe-music/describe-music.ts'
import { embedMusic } from '../processors/embed-music/embed-music.ts'
import { embedVideo } from '../processors/embed-video/embed-video.ts'
import { indexEmbeddings } from '../processors/index-embeddings/index-embeddings.ts'
import { materializeTriplets } from '../processors/materialize-triplets/materialize-triplets.ts'
import type { Codec } from '../runtime/codec.ts'
import type { Config } from '../runtime/config.ts'
import { type WiredProcessor, wire } from '../runtime/define-processor.ts'
import type { Topic } from '../topics/topic.ts'
import { musicDescribed, musicFeatures, videoFeatures } from '../topics/topics.ts'
import type { ProjectionStores } from './projection.ts'
import type { Releases } from './releases.ts'

export interface Parts {
  readonly config: Config
  readonly codec: Codec
  readonly catalogue: Catalogue
  readonly index: VectorIndex
  /** The same stores, in the generation that index-embeddings fills. */
  readonly projection: ProjectionStores
  /** @throws OutageError while the index is being filled. */
  readonly assertFilled: () => Promise<void>
  readonly joins: JoinState
  readonly mediaStore: MediaStore
  /** Absent where no stage of this process decodes media. */
  readonly decoder: MediaDecoder | undefined
  readonly profile: LoadedProfile
  readonly releases: Releases
  readonly now: () => number
}

export function wireProcessors(parts: Parts): readonly WiredProcessor[] {
  const { config, codec, catalogue, index, joins, mediaStore, profile, releases, assertFilled, now } = parts
  const decoder = parts.decoder ?? absentDecoder
  const side = <T>(topic: Topic<string, T>) => ({
    encode: (value: T) => codec.encode(topic, value),
    decode: (bytes: Uint8Array) => codec.decode(topic, bytes),
  })
  const sides = { video: side(videoFeatures), music: side(musicFeatures), text: side(musicDescribed) }
  const inUse = { releases: () => releases.inUse(), now }
  const { imageEncoder, musicEncoder, textEncoder } = profile
  const takenDownAt = (id: string) => catalogue.takenDownAt(id)
  return [
    wire(analyseVideo, { mediaStore, decoder, imageEncoder, takenDownAt, now }),
    wire(analyseMusic, { mediaStore, decoder, musicEncoder, takenDownAt, now }),
    wire(describeMusic, { method: config.description, seed: config.seed, now }),
    wire(materializeTriplets, { state: joins, sides, now }),
    wire(embedMusic, inUse),
    wire(embedVideo, inUse),
    wire(indexEmbeddings, { ...parts.projection, now }),
    wire(answerRecommendations, { index, catalogue, textEncoder, currentTowers: releases.current, assertFilled, now }),
  ]
}

/** Stands where no stage decodes; reached only by a mistake in the wiring. */
const absent = () => {
  throw new SetupError('no-decoder', 'This process runs no stage that decodes media')
}
const absentDecoder: MediaDecoder = { probe: absent, frames: absent, samples: absent }
