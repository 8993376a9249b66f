/**
 * Media: a store that keeps uploaded files by content, and a decoder that turns them into frames and samples.
 * Files are hostile: see adapters/media/ for what is allowed and the limits.
 */
export interface StoredMedia {
  /** `media:<sha256>` for what the store keeps. */
  readonly uri: string
  /** Lower-case hex. */
  readonly sha256: string
  readonly bytes: number
}

export interface MediaStore {
  /** Streams to disk, hashing; the same content is kept once. @throws InvalidRequestError 'media-too-large' (413) | 'media-empty' (422). */
  put(content: AsyncIterable<Uint8Array>, options?: { signal?: AbortSignal }): Promise<StoredMedia>
  /** Local path for reading. @throws InvalidRecordError 'media-missing' | 'media-uri' */
  path(uri: string): Promise<string>
  size(uri: string): Promise<number>
  remove(uri: string): Promise<void>
  /**
   * Removes what `isUsed` disowns and nobody has put for `unusedMs`: media of uploads that were taken down.
   * @returns how many.
   */
  sweep(isUsed: (uri: string) => boolean, unusedMs: number): Promise<number>
}

export interface MediaInfo {
  /** Of the container; undefined where it does not say. Never trusted for limits. */
  readonly durationSeconds: number | undefined
  readonly container: string
  readonly video: { readonly codec: string; readonly width: number; readonly height: number } | undefined
  readonly audio: { readonly codec: string; readonly sampleRateHz: number; readonly channels: number } | undefined
}

export interface FrameBatch {
  /** (count, 224, 224, 3) RGB bytes. */
  readonly pixels: Uint8Array
  readonly count: number
  /** Time of the first frame. */
  readonly startSeconds: number
}

/**
 * All throw InvalidRecordError with one of: 'media-empty', 'media-unreadable', 'media-format', 'media-no-video',
 * 'media-no-audio', 'media-too-many-pixels', 'media-too-long', 'media-timeout', 'media-too-large'.
 */
export interface MediaDecoder {
  probe(path: string, signal?: AbortSignal): Promise<MediaInfo>
  /** Frames at `framesPerSecond`, squashed to 224 × 224 RGB, `framesPerBatch` at a time (the last may be shorter). Stops the decoder when the consumer returns early. */
  frames(
    path: string,
    options: { framesPerSecond: number; framesPerBatch: number; signal?: AbortSignal },
  ): AsyncIterable<FrameBatch>
  /** Mono float32 PCM in chunks of `samplesPerChunk` (the last may be shorter). */
  samples(
    path: string,
    options: { sampleRateHz: number; samplesPerChunk: number; signal?: AbortSignal },
  ): AsyncIterable<Float32Array>
}
