/** Gives every processor what its handler asks for; the compiler checks each pair. */
import type { LoadedProfile } from '../adapters/onnx/load-profile.ts'
import type { Catalogue } from '../ports/catalogue.ts'
import { SetupError } from '../ports/errors.ts'
import type { JoinState } from '../ports/join-state.ts'
import type { MediaDecoder, MediaStore } from '../ports/media.ts'
import type { VectorIndex } from '../ports/vector-index.ts'
import { analyseMusic } from '../processors/analyse-music/analyse-music.ts'
import { hearingOf } from '../processors/analyse-music/hearing.ts'
import { analyseVideo } from '../processors/analyse-video/analyse-video.ts'
import {
  type AnswerRecommendationsDeps,
  answerRecommendations,
} from '../processors/answer-recommendations/answer-recommendations.ts'
import { describeMusic } from '../processors/describe-music/describe-music.ts'
import { type EmbedMusicDeps, embedMusic } from '../processors/embed-music/embed-music.ts'
import { type EmbedVideoDeps, embedVideo } from '../processors/embed-video/embed-video.ts'
import { indexEmbeddings } from '../processors/index-embeddings/index-embeddings.ts'
import { materializeTriplets } from '../processors/materialize-triplets/materialize-triplets.ts'
import type { Codec } from '../runtime/codec.ts'
import { type WiredProcessor, wire } from '../runtime/define-processor.ts'
import type { Topic } from '../topics/topic.ts'
import { musicDescribed, musicFeatures, videoFeatures } from '../topics/topics.ts'
import type { Describing } from './describing.ts'
import type { ProjectionStores } from './projection.ts'

export interface Parts {
  readonly codec: Codec
  readonly catalogue: Catalogue
  readonly index: VectorIndex
  /** The same stores, in the generation that index-embeddings fills. */
  readonly projection: ProjectionStores
  /** @throws OutageError while the index is being filled. */
  readonly assertFilled: () => Promise<void>
  readonly joins: JoinState
  /** Absent where no stage of this process describes music. */
  readonly describing: Describing | undefined
  readonly mediaStore: MediaStore
  /** Absent where no stage of this process decodes media. */
  readonly decoder: MediaDecoder | undefined
  readonly profile: LoadedProfile
  readonly towersFor: AnswerRecommendationsDeps['towersFor']
  readonly now: () => number
}

/** All but those that run once for each release. */
export function wireProcessors(parts: Parts): readonly WiredProcessor[] {
  const { codec, catalogue, index, joins, describing, mediaStore, profile, towersFor, assertFilled, now } = parts
  const decoder = parts.decoder ?? absentDecoder
  const side = <T>(topic: Topic<string, T>) => ({
    encode: (value: T) => codec.encode(topic, value),
    decode: (bytes: Uint8Array) => codec.decode(topic, bytes),
  })
  const sides = { video: side(videoFeatures), music: side(musicFeatures), text: side(musicDescribed) }
  const { imageEncoder, musicEncoder, textEncoder } = profile
  const takenDownAt = (id: string) => catalogue.takenDownAt(id)
  const taggedAt = async (id: string) => (await catalogue.track(id))?.tagged?.taggedAt
  return [
    wire(analyseVideo, { mediaStore, decoder, imageEncoder, takenDownAt, now }),
    wire(analyseMusic, { mediaStore, decoder, musicEncoder, hearing: hearingOf(musicEncoder), takenDownAt, now }),
    wire(describeMusic, { ...(describing ?? { describer: absentDescriber }), takenDownAt, taggedAt, now }),
    wire(materializeTriplets, { state: joins, sides, now }),
    wire(indexEmbeddings, { ...parts.projection, now }),
    wire(answerRecommendations, { index, catalogue, textEncoder, towersFor, assertFilled, now }),
  ]
}

/** Processors that run once for each release in use. */
export const embeddingProcessors: readonly string[] = [embedMusic.name, embedVideo.name]

export function wireEmbedding(name: string, deps: EmbedMusicDeps & EmbedVideoDeps): WiredProcessor {
  return name === embedMusic.name ? wire(embedMusic, deps) : wire(embedVideo, deps)
}

/** They stand where no stage of this process needs them; reached only by a mistake in the wiring. */
const absent = (code: string, what: string) => () => {
  throw new SetupError(code, `This process runs no stage that ${what}`)
}
const noDecoder = absent('no-decoder', 'decodes media')
const absentDecoder: MediaDecoder = { probe: noDecoder, frames: noDecoder, samples: noDecoder }
const absentDescriber = { method: 'data2text', describe: absent('no-describer', 'describes music') } as const
