/**
 * Stand-in media whose pictures and sound have something in common, so that a model can learn which belong together: two
 * hidden numbers of the seed are the shade of every picture, and the pitch and loudness of the tone.
 */
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import { seededRandom } from '../../model/random.ts'
import type { MediaDecoder } from '../../ports/media.ts'
import { PICTURE_BYTES, readStandIn, standInDecoder } from './stand-in-media.ts'
import { standInProfile } from './stand-in-profile.ts'

export const kindredDecoder: MediaDecoder = {
  ...standInDecoder,

  async *frames(path, { framesPerSecond, framesPerBatch }) {
    const { seconds, seed } = await readStandIn(path)
    const shades = hidden(seed)
    const frames = Math.ceil(seconds * framesPerSecond)
    for (let first = 0; first < frames; first += framesPerBatch) {
      const count = Math.min(framesPerBatch, frames - first)
      const pixels = new Uint8Array(count * PICTURE_BYTES)
      for (let picture = 0; picture < count; picture++) {
        for (const [i, shade] of shades.entries()) pixels[picture * PICTURE_BYTES + i] = shade * 256
      }
      yield { pixels, count, startSeconds: first / framesPerSecond }
    }
  },

  async *samples(path, { sampleRateHz, samplesPerChunk }) {
    const { seconds, seed } = await readStandIn(path)
    const [pitch, loudness] = hidden(seed)
    const step = (2 * Math.PI * (200 + 1_800 * pitch)) / sampleRateHz
    const length = Math.ceil(seconds * sampleRateHz)
    for (let at = 0; at < length; at += samplesPerChunk) {
      const count = Math.min(samplesPerChunk, length - at)
      yield Float32Array.from({ length: count }, (_, i) => (0.1 + 0.8 * loudness) * Math.sin(step * (at + i)))
    }
  },
}

const { imageEncoder, musicEncoder } = standInProfile

export const kindredProfile: LoadedProfile = {
  ...standInProfile,
  imageEncoder: {
    ...imageEncoder,
    async encode(pixels, count) {
      const rows = new Float32Array(count * imageEncoder.dims)
      for (let row = 0; row < count; row++) {
        const at = row * PICTURE_BYTES
        describe(rows.subarray(row * imageEncoder.dims, (row + 1) * imageEncoder.dims), 0, [
          pixels[at]! / 256,
          pixels[at + 1]! / 256,
        ])
      }
      return rows
    },
  } as LoadedProfile['imageEncoder'],
  musicEncoder: {
    ...musicEncoder,
    async encode(pcm, count) {
      const patchSamples = pcm.length / count
      const embeddings = new Float32Array(count * musicEncoder.dims)
      const tags = new Float32Array(count * musicEncoder.labels.length)
      for (let patch = 0; patch < count; patch++) {
        const heard = hearing(pcm.subarray(patch * patchSamples, (patch + 1) * patchSamples))
        describe(embeddings.subarray(patch * musicEncoder.dims, (patch + 1) * musicEncoder.dims), 1, heard)
        describe(tags.subarray(patch * musicEncoder.labels.length, (patch + 1) * musicEncoder.labels.length), 2, heard)
      }
      return { embeddings, tags }
    },
  } as LoadedProfile['musicEncoder'],
}

/** Two numbers in [0, 1). */
function hidden(seed: string): [number, number] {
  const random = seededRandom(seed)
  return [random(), random()]
}

/** Pitch and loudness of a tone, as `hidden` gave them. */
function hearing(pcm: Float32Array): [number, number] {
  let crossings = 0
  let power = 0
  for (let i = 1; i < pcm.length; i++) {
    if (pcm[i]! < 0 !== pcm[i - 1]! < 0) crossings++
    power += pcm[i]! ** 2 / pcm.length
  }
  const hertz = (crossings / 2 / pcm.length) * 16_000
  return [(hertz - 200) / 1_800, (Math.sqrt(2 * power) - 0.1) / 0.8]
}

/** Numbers in (0, 1) that change smoothly with what is described; each view has waves of its own. */
function describe(values: Float32Array, view: number, [a, b]: [number, number]): void {
  const random = seededRandom(`view ${view}`)
  for (let i = 0; i < values.length; i++) {
    values[i] = 0.5 + 0.45 * Math.cos(5 * (random() - 0.5) * a + 5 * (random() - 0.5) * b + 6 * random())
  }
}
