/**
 * Media that cost next to nothing to decode, for tests of everything around the decoding: a line of JSON that says what
 * would be heard and seen. Pictures and samples follow from its seed, so the same file gives the same features.
 */
import { readFile } from 'node:fs/promises'
import { seededRandom } from '../../model/random.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import type { MediaDecoder } from '../../ports/media.ts'

export interface StandInMedia {
  readonly kind: 'track' | 'video'
  readonly seconds: number
  /** A silent track is refused by its stage; a silent video has no soundtrack to learn from. */
  readonly silent: boolean
  /** What its decoder has a bug for. */
  readonly crashes?: boolean
  readonly seed: string
}

const MARK = 'stand-in-media '
export const PICTURE_BYTES = 224 * 224 * 3

export function standInMedia(media: StandInMedia): Buffer {
  return Buffer.from(`${MARK}${JSON.stringify(media)}`)
}

/** As an upload gives it. */
export async function* standInContent(media: StandInMedia): AsyncGenerator<Buffer> {
  yield standInMedia(media)
}

export async function readStandIn(path: string): Promise<StandInMedia> {
  const text = await readFile(path, 'utf8')
  if (!text.startsWith(MARK)) throw new InvalidRecordError('media-format', 'This is no medium that can be decoded')
  const media = JSON.parse(text.slice(MARK.length)) as StandInMedia
  if (media.crashes) throw new TypeError('a bug of the decoder')
  return media
}

export const standInDecoder: MediaDecoder = {
  async probe(path) {
    const { kind, seconds } = await readStandIn(path)
    const audio = { codec: 'stand-in', sampleRateHz: 16_000, channels: 1 }
    const video = kind === 'video' ? { codec: 'stand-in', width: 224, height: 224 } : undefined
    return { durationSeconds: seconds, container: 'stand-in', video, audio }
  },

  async *frames(path, { framesPerSecond, framesPerBatch }) {
    const { kind, seconds, seed } = await readStandIn(path)
    if (kind !== 'video') throw new InvalidRecordError('media-no-video', 'There are no pictures in this medium')
    const random = seededRandom(seed)
    const frames = Math.ceil(seconds * framesPerSecond)
    for (let first = 0; first < frames; first += framesPerBatch) {
      const count = Math.min(framesPerBatch, frames - first)
      const pixels = new Uint8Array(count * PICTURE_BYTES)
      for (let picture = 0; picture < count; picture++) pixels[picture * PICTURE_BYTES] = random() * 256
      yield { pixels, count, startSeconds: first / framesPerSecond }
    }
  },

  async *samples(path, { sampleRateHz, samplesPerChunk }) {
    const { seconds, silent, seed } = await readStandIn(path)
    const random = seededRandom(seed)
    const step = 2 * Math.PI * ((110 + 440 * random()) / sampleRateHz)
    for (let at = 0; at < seconds * sampleRateHz; at += samplesPerChunk) {
      const count = Math.min(samplesPerChunk, Math.ceil(seconds * sampleRateHz) - at)
      yield Float32Array.from({ length: count }, (_, i) => (silent ? 0 : 0.3 * Math.sin(step * (at + i))))
    }
  },
}
