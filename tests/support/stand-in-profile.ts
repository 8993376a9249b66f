/**
 * Encoders that are cheap and deterministic, behind the ports of the real ones: topics, codec, transactions, towers,
 * index and catalogue stay what they are in production, and a process starts in the time that loading them takes.
 */
import { createHash } from 'node:crypto'
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import { seededRandom } from '../../model/random.ts'
import labels from '../../models/embedded/musicnn_labels.json' with { type: 'json' }
import type { ImageEncoder, MusicEncoder, TextEncoder } from '../../ports/encoder.ts'

const PICTURE_BYTES = 224 * 224 * 3
const IMAGE_DIMS = 8
const CLASSES = ['beach', 'city', 'forest']
/** Those of the embedded taggers, as their mapping asks for all of them. */
const MUSIC_LABELS = [...labels.mtt.map((label) => `mtt:${label}`), ...labels.msd.map((label) => `msd:${label}`)]

const identity = (id: string, dims: number) => ({
  id,
  dims,
  sha256: createHash('sha256').update(id).digest('hex'),
})

const imageEncoder: ImageEncoder & Pick<LoadedProfile['imageEncoder'], 'columns' | 'labels'> = {
  ...identity('stand-in-image', IMAGE_DIMS + CLASSES.length),
  columns: { feature: [0, IMAGE_DIMS], classes: [IMAGE_DIMS, IMAGE_DIMS + CLASSES.length] },
  labels: CLASSES,
  async encode(pixels, count) {
    const width = IMAGE_DIMS + CLASSES.length
    const rows = new Float32Array(count * width)
    for (let row = 0; row < count; row++) fill(rows, row * width, width, `${pixels[row * PICTURE_BYTES]}`)
    return rows
  },
}

const musicEncoder: MusicEncoder = {
  ...identity('stand-in-music', 8),
  patchSamples: 16_000,
  labels: MUSIC_LABELS,
  mapping: 'musicnn',
  async encode(pcm, count) {
    const patchSamples = pcm.length / count
    const embeddings = new Float32Array(count * 8)
    const tags = new Float32Array(count * MUSIC_LABELS.length)
    for (let patch = 0; patch < count; patch++) {
      const seed = `${pcm[patch * patchSamples + 7]}`
      fill(embeddings, patch * 8, 8, seed)
      fill(tags, patch * MUSIC_LABELS.length, MUSIC_LABELS.length, seed)
    }
    return { embeddings, tags }
  },
}

const TEXT_DIMS = 16
const textEncoder: TextEncoder = {
  ...identity('stand-in-text', TEXT_DIMS),
  async encode(texts) {
    const rows = new Float32Array(texts.length * TEXT_DIMS)
    for (const [i, text] of texts.entries()) {
      const row = rows.subarray(i * TEXT_DIMS, (i + 1) * TEXT_DIMS)
      const random = seededRandom(text)
      for (let d = 0; d < TEXT_DIMS; d++) row[d] = random() - 0.5
      const norm = Math.hypot(...row)
      for (let d = 0; d < TEXT_DIMS; d++) row[d]! /= norm
    }
    return rows
  },
}

/** Numbers in (0.05, 0.95) that follow from the seed. */
function fill(values: Float32Array, start: number, count: number, seed: string): void {
  const random = seededRandom(seed)
  for (let i = 0; i < count; i++) values[start + i] = 0.05 + 0.9 * random()
}

/** Only what the composition root uses of a profile: the classes of the real one hold their graphs besides. */
export const standInProfile = {
  manifest: { id: 'stand-in' },
  imageEncoder,
  musicEncoder,
  textEncoder,
  dispose: async () => {},
} as unknown as LoadedProfile
