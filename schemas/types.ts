// Generated from schemas/*.avsc by `npm run schemas`; do not edit.

export type MusicSource = 'track' | 'soundtrack'

/** One confidence of the vocabulary. */
export interface Tag {
  /** instrument, genre, mood or vocals. */
  readonly category: string
  readonly tag: string
  /** 0 … 1. */
  readonly confidence: number
}

/** Confidence from which a tag of a category is claimed, as calibrated for the tagger. */
export interface TagThresholds {
  readonly instrument: number
  readonly genre: number
  readonly mood: number
  readonly vocals: number
}

/** A description that a language model is to write once it answers again. */
export interface DescriptionDeferred {
  readonly trackId: string
  /** A soundtrack serves training and is not recommended. */
  readonly source: MusicSource
  /** Of the whole track, highest confidence first. */
  readonly tags: readonly Tag[]
  /** By category; null where the record is older than them. */
  readonly thresholds: null | TagThresholds
  /** Unix epoch, ms. */
  readonly taggedAt: number
  /** What kept the model from answering. */
  readonly code: string
  /** Unix epoch, ms. */
  readonly deferredAt: number
}

export type FeedbackAction = 'shown' | 'previewed' | 'chosen' | 'skipped'

/** What became of a recommendation. */
export interface FeedbackRecorded {
  readonly requestId: string
  readonly videoId: null | string
  readonly trackId: string
  readonly release: string
  readonly action: FeedbackAction
  /** From 1. */
  readonly rank: number
  /** Unix epoch, ms. */
  readonly recordedAt: number
}

export interface BundleFile {
  readonly name: string
  readonly sha256: string
  readonly bytes: number
}

/** A release of the model was published to the model store. */
export interface ModelReleased {
  readonly release: string
  readonly model: string
  readonly dims: number
  readonly files: readonly BundleFile[]
  readonly metrics: Readonly<Record<string, number>>
  readonly parent: null | string
  /** Unix epoch, ms. */
  readonly releasedAt: number
}

export type SynthesisMethod = 'prompt2text' | 'data2text' | 'tags'

/** What a language model was asked with. */
export interface DescriptionPrompt {
  readonly model: string
  readonly temperature: number
  readonly seed: number
  /** Examples in the prompt (k). */
  readonly pairs: number
  /** How they were chosen: similar, random or fixed. */
  readonly choice: string
  /** SHA-256 of the pool that they come from. */
  readonly pool: string
}

/** Why a text is not of the method that was asked for. */
export interface DescriptionFallback {
  /** The method that was asked for. */
  readonly from: SynthesisMethod
  /** checks-failed, or the code of what kept the model from answering. */
  readonly code: string
  /** Of checks-failed: what was wrong with the last text. */
  readonly faults: readonly string[]
  /** Whether it is written anew once the model answers again. */
  readonly deferred: boolean
}

/** A natural description of a track, made from its tags. */
export interface MusicDescribed {
  readonly trackId: string
  readonly source: MusicSource
  readonly text: string
  readonly method: SynthesisMethod
  /** What wrote it, with version. */
  readonly generator: string
  readonly promptVersion: null | string
  readonly tagsKept: readonly string[]
  readonly tagsOmitted: readonly string[]
  readonly tagsInvented: readonly string[]
  /** Unix epoch, ms. */
  readonly describedAt: number
  /** Of texts that a model wrote. */
  readonly prompt: null | DescriptionPrompt
  readonly fallback: null | DescriptionFallback
}

/** A track in the joint space of one release. */
export interface MusicEmbedded {
  readonly trackId: string
  readonly release: string
  /** d */
  readonly dims: number
  /** d float32, little endian, unit norm. */
  readonly vector: Uint8Array
  /** n; 0 where the release gives no vectors by segment. */
  readonly segments: number
  /** n × d float32, little endian, unit rows. */
  readonly segmentVectors: Uint8Array
  readonly segmentSeconds: number
  /** Unix epoch, ms. */
  readonly embeddedAt: number
}

/** Which frozen encoder made the features. */
export interface EncoderRef {
  readonly id: string
  readonly sha256: string
}

/** Feature sequence of a track, or of a video's soundtrack. */
export interface MusicFeatures {
  readonly trackId: string
  readonly source: MusicSource
  /** n */
  readonly segments: number
  /** d */
  readonly dims: number
  /** n × d float32, little endian, row-major. */
  readonly values: Uint8Array
  readonly segmentSeconds: number
  readonly durationSeconds: number
  readonly encoder: EncoderRef
  /** Unix epoch, ms. */
  readonly computedAt: number
}

/** Tags of one stretch. */
export interface SegmentTags {
  readonly startSeconds: number
  readonly seconds: number
  readonly tags: readonly Tag[]
}

export interface Tempo {
  readonly bpm: number
  readonly confidence: number
}

export type Mode = 'major' | 'minor'

export interface Key {
  readonly tonic: string
  readonly mode: Mode
  readonly confidence: number
}

/** What is heard in a track, or in a video's soundtrack. */
export interface MusicTagged {
  readonly trackId: string
  /** A soundtrack serves training and is not recommended. */
  readonly source: MusicSource
  /** Of the whole track, highest confidence first. */
  readonly tags: readonly Tag[]
  readonly segments: readonly SegmentTags[]
  readonly tempo: Tempo
  readonly key: Key
  /** Integrated, ITU-R BS.1770, measured on 16 kHz mono. */
  readonly loudnessLufs: number
  readonly durationSeconds: number
  readonly tagger: EncoderRef
  /** Unix epoch, ms. */
  readonly taggedAt: number
  /** By category; null where the record is older than them. */
  readonly thresholds: null | TagThresholds
}

/** Why there is no list. */
export interface AnswerError {
  readonly code: string
  readonly message: string
}

/** Where the track fits best. */
export interface Highlight {
  readonly startSeconds: number
  readonly seconds: number
}

export interface RankedTrack {
  readonly trackId: string
  readonly score: number
  /** Similarity by part of the query. */
  readonly parts: Readonly<Record<string, number>>
  readonly highlight: null | Highlight
  readonly why: readonly string[]
}

/** The answer to one request, from one release. */
export interface RecommendationAnswered {
  readonly requestId: string
  readonly release: null | string
  readonly error: null | AnswerError
  /** Tracks that match the filters. */
  readonly total: number
  readonly results: readonly RankedTrack[]
  readonly nextCursor: null | string
  /** Unix epoch, ms. */
  readonly answeredAt: number
}

/** How much each side of the query weighs, ≥ 0. */
export interface Weights {
  readonly text: number
  readonly video: number
}

/** anyOf, noneOf or a range on one field. */
export interface FilterCondition {
  readonly field: string
  readonly anyOf: readonly string[]
  readonly noneOf: readonly string[]
  readonly min: null | number
  readonly max: null | number
}

/** A query; reply partition and deadline travel in headers. */
export interface RecommendationRequested {
  readonly requestId: string
  readonly videoId: null | string
  readonly text: null | string
  readonly excludeText: null | string
  readonly likeTrackId: null | string
  readonly weights: Weights
  readonly filters: readonly FilterCondition[]
  readonly limit: number
  readonly cursor: null | string
  readonly explain: boolean
  /** Unix epoch, ms. */
  readonly requestedAt: number
}

export interface FeatureSequence {
  readonly segments: number
  readonly dims: number
  /** float32, little endian, row-major. */
  readonly values: Uint8Array
  readonly segmentSeconds: number
  readonly encoder: EncoderRef
}

/** (video, music, text) of one upload, whole, ready to train on. */
export interface TripletMaterialized {
  readonly uploadId: string
  readonly video: FeatureSequence
  readonly music: FeatureSequence
  readonly text: string
  readonly method: string
  /** Unix epoch, ms. */
  readonly materializedAt: number
}

export type UploadKind = 'video' | 'track'

/** The content, by hash. */
export interface MediaRef {
  /** media:<sha256> */
  readonly uri: string
  readonly sha256: string
  readonly bytes: number
}

/** What may be done with it. */
export interface Rights {
  readonly licence: null | string
  /** ISO 3166-1 alpha-2; empty means worldwide. */
  readonly territories: readonly string[]
  readonly explicit: boolean
}

/** A video or track was received; its media lie in the media store (claim check). */
export interface UploadReceived {
  readonly uploadId: string
  readonly kind: UploadKind
  readonly media: MediaRef
  readonly title: null | string
  readonly artist: null | string
  readonly owner: null | string
  readonly rights: Rights
  /** Unix epoch, ms. */
  readonly receivedAt: number
}

/** Takedown: the upload leaves the index, the triplets and the catalogue. */
export interface UploadRemoved {
  readonly uploadId: string
  readonly kind: UploadKind
  readonly reason: null | string
  /** Unix epoch, ms. */
  readonly removedAt: number
}

/** A video, with no words asked, in the joint space of one release. */
export interface VideoEmbedded {
  readonly videoId: string
  readonly release: string
  /** d */
  readonly dims: number
  /** d float32, little endian, unit norm. */
  readonly vector: Uint8Array
  /** n; 0 where the release gives no vectors by segment. */
  readonly segments: number
  /** n × d float32, little endian, unit rows. */
  readonly segmentVectors: Uint8Array
  readonly segmentSeconds: number
  /** Unix epoch, ms. */
  readonly embeddedAt: number
}

/** Feature sequence of a video: frame embeddings averaged inside each segment. */
export interface VideoFeatures {
  readonly videoId: string
  /** n */
  readonly segments: number
  /** d */
  readonly dims: number
  /** n × d float32, little endian, row-major. */
  readonly values: Uint8Array
  readonly segmentSeconds: number
  readonly durationSeconds: number
  readonly encoder: EncoderRef
  /** Unix epoch, ms. */
  readonly computedAt: number
}
