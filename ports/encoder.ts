/**
 * Frozen encoders g_v, g_m, g_t of an encoder profile, and the towers of a release (docs/glossary.md).
 * An encoder's id changes whenever its outputs do: features say which one made them.
 */
export interface EncoderIdentity {
  readonly id: string
  /** Over the files that make it, lower-case hex. */
  readonly sha256: string
  readonly dims: number
}

export interface ImageEncoder extends EncoderIdentity {
  /** @param pixels (count, 224, 224, 3) RGB bytes. @returns (count, dims) row-major. */
  encode(pixels: Uint8Array, count: number): Promise<Float32Array>
}

/** How a tagger's labels become the product's words: a mapping that comes with the product, by name, or one in full. */
export type LabelMapping = string | { readonly origin: string; readonly value: unknown }

export interface MusicEncoder extends EncoderIdentity {
  /** Samples of one patch at 16 kHz mono. */
  readonly patchSamples: number
  /** The tagger's own labels, in the order of `tags`. */
  readonly labels: readonly string[]
  readonly mapping: LabelMapping
  /**
   * @param pcm (count, patchSamples) row-major.
   * @returns embeddings (count, dims) and tag confidences (count, labels.length), row-major.
   */
  encode(pcm: Float32Array, count: number): Promise<{ embeddings: Float32Array; tags: Float32Array }>
}

export interface TextEncoder extends EncoderIdentity {
  /** @returns (texts.length, dims) row-major, unit rows. */
  encode(texts: readonly string[]): Promise<Float32Array>
}

/** A feature sequence (segments, dims), row-major. */
export interface FeatureSequence {
  readonly values: Float32Array
  readonly segments: number
  readonly dims: number
}

export interface QueryInput {
  readonly video?: FeatureSequence | undefined
  /** (text dims,) of the words wanted. */
  readonly text?: Float32Array | undefined
  /** How much each side weighs, ≥ 0; 1 and 1 by default. */
  readonly weights?: { readonly text: number; readonly video: number } | undefined
}

/** The served towers of one release. All vectors are unit (dims,). @throws ShapeError for a wrong shape or a value that is not finite. */
export interface ReleaseTowers {
  readonly release: string
  readonly dims: number
  /** Ids of the frozen encoders whose features the towers take. */
  readonly encoders: { readonly video: string; readonly music: string; readonly text: string }
  /** A video and words, either or both → the joint space. */
  query(input: QueryInput): Promise<Float32Array>
  /** A track's feature sequence → the joint space, whole and by segment (segments, dims). */
  music(features: FeatureSequence): Promise<{ whole: Float32Array; segments: Float32Array }>
}
