import { type EnergyDescriptors, EnergySums, measureFrame } from './energy.ts'
import { estimateKey, type KeyEstimate } from './key.ts'
import { type Loudness, LoudnessMeter } from './loudness.ts'
import { joinBands, OnsetDetector, pickOnsets } from './onsets.ts'
import { PercussionSplitter } from './percussion.ts'
import { PitchCollector } from './pitch-histogram.ts'
import { Stft } from './stft.ts'
import { estimateTempo, type TempoEstimate } from './tempo.ts'

export const SAMPLE_RATE_HZ = 16_000

/** Frames for onsets and energy: 64 ms, every 10 ms. Fine in time. */
const SHORT = { size: 1024, hop: 160 }
/** Frames for pitch: 512 ms, every 256 ms. Fine in frequency: a semitone is resolved from about 130 Hz upwards. */
const LONG = { size: 8192, hop: 4096 }
/** Energy is measured on every second short frame. */
const ENERGY_EVERY = 2

export interface SegmentDescriptors extends EnergyDescriptors {
  startSeconds: number
  /** The last segment may be shorter than the others. */
  seconds: number
}

export interface MusicDescriptors {
  seconds: number
  /** Nothing passes the loudness gate of -70 LUFS, or there are less than 100 ms. Tempo and key have confidence 0. */
  silent: boolean
  tempo: TempoEstimate
  key: KeyEstimate
  loudness: Loudness
  energy: EnergyDescriptors
  segments: SegmentDescriptors[]
}

/**
 * Measures tempo, key, loudness and energy of one track in a single pass over its samples.
 *
 *     16 kHz mono PCM ──┬─▶ LoudnessMeter
 *                       ├─▶ Stft 64 ms ──┬─▶ OnsetDetector ──▶ estimateTempo
 *                       │                ├─▶ measureFrame ──▶ EnergySums per segment
 *                       │                └─▶ PercussionSplitter ──▶ EnergySums per segment
 *                       └─▶ Stft 512 ms ──▶ PitchCollector ──▶ estimateKey
 *
 * Chunks may have any length and are not kept. Memory grows by 1.2 to 2.4 kB per second of audio (onset envelopes), at
 * most 26 MB for three hours; `finish` needs as much again for a moment. Nearly all work is done in `push`, about 5 ms
 * per second of audio, so a caller which must stay responsive passes short chunks.
 */
export class MusicDsp {
  readonly #segmentSeconds: number
  readonly #loudness = new LoudnessMeter(SAMPLE_RATE_HZ)
  readonly #onsets = new OnsetDetector({ sampleRateHz: SAMPLE_RATE_HZ, ...SHORT })
  readonly #pitches = new PitchCollector({ sampleRateHz: SAMPLE_RATE_HZ, ...LONG })
  readonly #percussion: PercussionSplitter
  readonly #short: Stft
  readonly #long: Stft
  readonly #segments: EnergySums[] = []
  #samples = 0
  #finished = false

  /** @param options.segmentSeconds length of the segments, 10 s unless given. */
  constructor({ segmentSeconds = 10 }: { segmentSeconds?: number } = {}) {
    if (!(segmentSeconds >= 0.1)) throw new RangeError(`segmentSeconds is ${segmentSeconds}, must be 0.1 or more`)
    this.#segmentSeconds = segmentSeconds
    this.#percussion = new PercussionSplitter(SHORT.size / 2 + 1, (percussive, total, frame) => {
      this.#segmentOf(frame * ENERGY_EVERY).addPercussion(percussive, total)
    })
    this.#short = new Stft({ ...SHORT, onFrame: (magnitudes, frame) => this.#onShortFrame(magnitudes, frame) })
    this.#long = new Stft({ ...LONG, onFrame: (magnitudes) => this.#pitches.pushFrame(magnitudes) })
  }

  /** Samples outside -1..1 are allowed; ones which are not finite count as 0. */
  push(chunk: Float32Array): void {
    if (this.#finished) throw new Error('push after finish: make a new MusicDsp for each track')
    const samples = chunk.every(Number.isFinite) ? chunk : chunk.map((x) => (Number.isFinite(x) ? x : 0))
    this.#samples += samples.length
    this.#loudness.push(samples)
    this.#short.push(samples)
    this.#long.push(samples)
  }

  finish(): MusicDescriptors {
    if (this.#finished) throw new Error('finish was called before')
    this.#finished = true
    this.#short.finish()
    this.#long.finish()
    this.#percussion.finish()
    const seconds = this.#samples / SAMPLE_RATE_HZ
    const loudness = this.#loudness.finish()
    const envelopes = this.#onsets.finish()
    const onsets = pickOnsets(joinBands(envelopes), envelopes.frameRateHz)
    for (const frame of onsets) this.#segmentOf(frame).addOnsets(1)
    const whole = new EnergySums()
    for (const segment of this.#segments) whole.add(segment)
    const tempo = estimateTempo(envelopes, seconds > 0 ? onsets.length / seconds : 0)
    const key = estimateKey(this.#pitches.finish())
    return {
      seconds,
      silent: loudness.silent,
      tempo: loudness.silent ? { ...tempo, confidence: 0 } : tempo,
      key: loudness.silent ? { ...key, confidence: 0 } : key,
      loudness,
      energy: whole.describe(seconds),
      segments: this.#describeSegments(seconds),
    }
  }

  #onShortFrame(magnitudes: Float64Array, frame: number): void {
    this.#onsets.pushFrame(magnitudes)
    if (frame % ENERGY_EVERY !== 0) return
    this.#segmentOf(frame).addFrame(measureFrame(magnitudes, SAMPLE_RATE_HZ / SHORT.size))
    this.#percussion.pushFrame(magnitudes)
  }

  #segmentOf(frame: number): EnergySums {
    const index = Math.floor((frame * SHORT.hop) / SAMPLE_RATE_HZ / this.#segmentSeconds)
    while (this.#segments.length <= index) this.#segments.push(new EnergySums())
    return this.#segments[index]!
  }

  #describeSegments(trackSeconds: number): SegmentDescriptors[] {
    const described: SegmentDescriptors[] = []
    this.#segments.forEach((sums, index) => {
      const startSeconds = index * this.#segmentSeconds
      const seconds = Math.min(this.#segmentSeconds, trackSeconds - startSeconds)
      if (seconds > 0) described.push({ startSeconds, seconds, ...sums.describe(seconds) })
    })
    return described
  }
}
