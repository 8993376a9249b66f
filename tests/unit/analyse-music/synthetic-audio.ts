import { SAMPLE_RATE_HZ } from '../../../processors/analyse-music/dsp/music-dsp.ts'

/** @returns numbers from 0 to 1, the same ones for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export function silence(seconds: number): Float32Array {
  return new Float32Array(Math.round(seconds * SAMPLE_RATE_HZ))
}

export function sine(seconds: number, hz: number, peakDbfs: number): Float32Array {
  const amplitude = 10 ** (peakDbfs / 20)
  return silence(seconds).map((_, n) => amplitude * Math.sin((2 * Math.PI * hz * n) / SAMPLE_RATE_HZ))
}

/** Noise with a flat spectrum, evenly spread from -amplitude to amplitude. */
export function noise(seconds: number, amplitude: number, random: () => number): Float32Array {
  return silence(seconds).map(() => amplitude * (2 * random() - 1))
}

export function mix(...parts: Float32Array[]): Float32Array {
  const mixed = new Float32Array(Math.max(...parts.map((part) => part.length)))
  for (const part of parts) for (let n = 0; n < part.length; n++) mixed[n]! += part[n]!
  return mixed
}

export function join(...parts: Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** Adds a burst of noise which dies away within some 50 ms. */
export function addClick(audio: Float32Array, atSeconds: number, amplitude: number, random: () => number): void {
  const start = Math.round(atSeconds * SAMPLE_RATE_HZ)
  for (let n = 0; n < 1600 && start + n < audio.length; n++) {
    if (start + n >= 0) audio[start + n]! += amplitude * (2 * random() - 1) * Math.exp(-n / 200)
  }
}

/** Adds a sine which falls from 150 to 50 Hz, as a bass drum does. */
export function addKick(audio: Float32Array, atSeconds: number, amplitude: number): void {
  const start = Math.round(atSeconds * SAMPLE_RATE_HZ)
  let phase = 0
  for (let n = 0; n < 3200 && start + n < audio.length; n++) {
    phase += (2 * Math.PI * (50 + 100 * Math.exp(-n / 300))) / SAMPLE_RATE_HZ
    audio[start + n]! += amplitude * Math.sin(phase) * Math.exp(-n / 900)
  }
}

/** Adds a note of six partials which fall off as 1/n, with a soft start and end. */
export function addNote(
  audio: Float32Array,
  note: { atSeconds: number; seconds: number; pitch: number; amplitude: number },
): void {
  const start = Math.round(note.atSeconds * SAMPLE_RATE_HZ)
  const length = Math.round(note.seconds * SAMPLE_RATE_HZ)
  const hz = 440 * 2 ** ((note.pitch - 69) / 12)
  for (let n = 0; n < length && start + n < audio.length; n++) {
    const envelope = Math.min(1, n / 320, (length - n) / 800) * Math.exp(-n / 16_000)
    let value = 0
    for (let partial = 1; partial <= 6 && partial * hz < 7000; partial++) {
      value += Math.sin((2 * Math.PI * partial * hz * n) / SAMPLE_RATE_HZ) / partial
    }
    audio[start + n]! += note.amplitude * envelope * value
  }
}

/** Chords of a second each over their bass notes, `root` semitones above C, `cents` off A4 = 440 Hz. */
export function progression(chords: number[][], root: number, cents = 0): Float32Array {
  const audio = silence(chords.length)
  chords.forEach((chord, second) => {
    const [bass = 0] = chord
    const voices = [36 + ((bass + root) % 12), ...chord.map((degree) => 60 + ((degree + root) % 12))]
    for (const pitch of voices) {
      addNote(audio, { atSeconds: second, seconds: 1, pitch: pitch + cents / 100, amplitude: 0.08 })
    }
  })
  return audio
}

/** Semitones above the tonic: I IV V I vi ii V I, and i iv V i VI iv V i. */
export const MAJOR_CADENCES = [
  [0, 4, 7],
  [5, 9, 0],
  [7, 11, 2],
  [0, 4, 7],
  [9, 0, 4],
  [2, 5, 9],
  [7, 11, 2],
  [0, 4, 7],
]
export const MINOR_CADENCES = [
  [0, 3, 7],
  [5, 8, 0],
  [7, 11, 2],
  [0, 3, 7],
  [8, 0, 3],
  [5, 8, 0],
  [7, 11, 2],
  [0, 3, 7],
]
