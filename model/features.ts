/**
 * Layout of the feature sequences that the towers of a release take: rows of float32 with named column ranges.
 *
 *     music.features.v1, one row a segment:  embedding ++ tags ++ descriptors     (taggers' embedding, vocabulary, DSP)
 *     video.features.v1, one row a segment:  image ++ classes                     (image embedding, class probabilities)
 *
 * Any tower, zero-shot or trained, reads the same rows and takes the columns it wants, so a release is swapped without
 * a change of code. On the wire a sequence is n × d float32, little endian, row-major.
 */

export const SEGMENT_SECONDS = 10

export interface Columns {
  readonly start: number
  readonly size: number
}

/** What the DSP adds to a row; the order of the columns of `descriptors`. Each is about -1 … 1, 0 where unknown. */
export const MUSIC_DESCRIPTORS = [
  'tempo',
  'tempoConfidence',
  'majorness',
  'loudness',
  'dynamics',
  'brightness',
  'onsetRate',
  'percussiveness',
  'valence',
  'arousal',
] as const
export type MusicDescriptor = (typeof MUSIC_DESCRIPTORS)[number]

export interface MusicLayout {
  readonly embedding: Columns
  readonly tags: Columns
  readonly descriptors: Columns
  readonly dims: number
}

/** @param embeddingDims width of the tagger's embedding. @param tagCount tags of the vocabulary that can be heard. */
export function musicLayout(embeddingDims: number, tagCount: number): MusicLayout {
  const embedding = { start: 0, size: embeddingDims }
  const tags = { start: embeddingDims, size: tagCount }
  const descriptors = { start: embeddingDims + tagCount, size: MUSIC_DESCRIPTORS.length }
  return { embedding, tags, descriptors, dims: descriptors.start + descriptors.size }
}

export interface VideoLayout {
  readonly image: Columns
  readonly classes: Columns
  readonly dims: number
}

export function videoLayout(imageDims: number, classCount: number): VideoLayout {
  return {
    image: { start: 0, size: imageDims },
    classes: { start: imageDims, size: classCount },
    dims: imageDims + classCount,
  }
}

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** @returns the bytes of `values` as float32, little endian, on any machine; a copy. */
export function packFloats(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.slice().buffer)
  return LITTLE_ENDIAN ? bytes : swapped(bytes)
}

/** @throws RangeError if `bytes` is not a whole number of floats. The bytes may start anywhere in their buffer. */
export function unpackFloats(bytes: Uint8Array): Float32Array {
  if (bytes.byteLength % 4 !== 0) throw new RangeError(`${bytes.byteLength} bytes are not a whole number of float32.`)
  const copy = new Uint8Array(bytes) // aligned, whatever the offset
  return new Float32Array((LITTLE_ENDIAN ? copy : swapped(copy)).buffer)
}

function swapped(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(bytes.buffer).swap32().buffer)
}

/**
 * Averages rows inside segments as they arrive: memory grows with the segments, not with the rows.
 * A segment into which no row fell repeats the one before it (or the first that has one), so that every segment has a row.
 */
export class SegmentMeans {
  readonly dims: number
  readonly #segmentSeconds: number
  readonly #sums: Float64Array[] = []
  readonly #counts: number[] = []

  constructor(dims: number, segmentSeconds: number = SEGMENT_SECONDS) {
    this.dims = dims
    this.#segmentSeconds = segmentSeconds
  }

  /** @param startSeconds of the frame or patch. @param row (dims,) */
  add(startSeconds: number, row: Float32Array): void {
    if (row.length !== this.dims) throw new RangeError(`A row has ${row.length} values instead of ${this.dims}.`)
    const segment = Math.floor(startSeconds / this.#segmentSeconds)
    while (this.#sums.length <= segment) {
      this.#sums.push(new Float64Array(this.dims))
      this.#counts.push(0)
    }
    const sums = this.#sums[segment]!
    for (let i = 0; i < row.length; i++) sums[i]! += row[i]!
    this.#counts[segment]! += 1
  }

  /** @param segments how many rows to give (more repeat the last); as many as were seen unless given. */
  finish(segments: number = this.#sums.length): { values: Float32Array; segments: number; dims: number } {
    const values = new Float32Array(segments * this.dims)
    const filled = this.#counts.flatMap((count, index) => (count > 0 ? [index] : []))
    for (let segment = 0; segment < segments && filled.length > 0; segment++) {
      const source = filled.findLast((index) => index <= segment) ?? filled[0]!
      const count = this.#counts[source]!
      values.set(
        this.#sums[source]!.map((sum) => sum / count),
        segment * this.dims,
      )
    }
    return { values, segments, dims: this.dims }
  }
}
