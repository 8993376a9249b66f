/** Records as three minutes of music make them, and a model that costs nothing. */
import { packFloats } from '../../model/features.ts'
import { seededRandom } from '../../model/random.ts'
import type { ReleaseTowers } from '../../ports/encoder.ts'
import type { Describer } from '../../processors/describe-music/describer.ts'
import type { MusicFeatures, MusicTagged } from '../../schemas/types.ts'

const SEGMENTS = 18
/** Of the embedded profile: the taggers' embeddings, the vocabulary and the descriptors. */
const FEATURE_DIMS = 1_586
const JOINT_DIMS = 256
const encoder = { id: 'benchmark', sha256: 'benchmark' }

export function trackId(i: number): string {
  return `trk_${String(i).padStart(26, '0')}`
}

export function tagsOfThreeMinutes(): MusicTagged {
  const words = ['rock', 'happy', 'guitar', 'electronic', 'calm', 'piano', 'folk', 'energetic', 'drums', 'jazz']
  const categories = ['genre', 'mood', 'instrument'] as const
  const tags = words.map((tag, i) => ({ category: categories[i % 3]!, tag, confidence: 0.9 - i / 20 }))
  return {
    trackId: trackId(0),
    source: 'track',
    tags,
    segments: Array.from({ length: SEGMENTS }, (_, i) => ({
      startSeconds: i * 10,
      seconds: 10,
      tags: tags.slice(0, 3),
    })),
    tempo: { bpm: 120, confidence: 0.8 },
    key: { tonic: 'C', mode: 'major', confidence: 0.7 },
    loudnessLufs: -14,
    durationSeconds: SEGMENTS * 10,
    tagger: encoder,
    taggedAt: 0,
    thresholds: null,
  }
}

export function featuresOfThreeMinutes(): MusicFeatures {
  const random = seededRandom(1)
  const values = Float32Array.from({ length: SEGMENTS * FEATURE_DIMS }, () => random() - 0.5) // (n, d)
  return {
    trackId: trackId(0),
    source: 'track',
    segments: SEGMENTS,
    dims: FEATURE_DIMS,
    values: Buffer.from(packFloats(values)),
    segmentSeconds: 10,
    durationSeconds: SEGMENTS * 10,
    encoder,
    computedAt: 0,
  }
}

const whole = new Float32Array(JOINT_DIMS).fill(1 / Math.sqrt(JOINT_DIMS))
const bySegment = new Float32Array(SEGMENTS * JOINT_DIMS).fill(1 / Math.sqrt(JOINT_DIMS))

/** Answers at once, whatever it is asked. */
export const stubTowers: ReleaseTowers = {
  release: 'benchmark',
  dims: JOINT_DIMS,
  encoders: { video: encoder.id, music: encoder.id, text: encoder.id },
  query: async () => whole,
  music: async () => ({ whole, segments: bySegment }),
}

/** Describes at once, whatever it is given. */
export const stubDescriber: Describer = {
  method: 'data2text',
  describe: async () => ({
    text: 'This rock piece is happy and calm. It features guitar and drums, with electronic sounds and a piano in the back.',
    method: 'data2text',
    generator: 'benchmark',
    promptVersion: null,
    tagsKept: ['rock', 'happy', 'guitar', 'electronic', 'calm', 'piano'],
    tagsOmitted: ['folk', 'energetic', 'drums', 'jazz'],
    tagsInvented: [],
  }),
}
