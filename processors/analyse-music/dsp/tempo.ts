import FFT from 'fft.js'
import type { OnsetEnvelopes } from './onsets.ts'

export interface TempoEstimate {
  /** Beats per minute, 50 to 210; 0 where the track is shorter than 4 s or has no onsets. */
  bpm: number
  /** 0 to 1: how regularly onsets return at the beat. Noise has 0, free rhythm stays below 0.3, a drum kit is near 1. */
  confidence: number
}

export const MIN_BPM = 50
export const MAX_BPM = 210

/** Long enough for ten beats at the slowest tempo, short enough that a player's drift does not blur them. */
const WINDOW_SECONDS = 12
const MIN_SECONDS = 4
/** Windows overlap by three quarters, until that would be more windows than this; then they spread over the track. */
const MAX_WINDOWS = 200

/** Listeners tap along most easily near 120 bpm: a bell over the logarithm of the tempo (Moelants 2002; Ellis 2007). */
const PREFERRED_BPM = 120
const PREFERENCE_OCTAVES = 0.8

/**
 * Between beat and half or double beat, notes decide: music has two to three onsets a beat, at 70 bpm as at 170 (2.5 in
 * MIDI of games, 1.7 in pop songs, both within 0.6 octaves). Past one octave from that, less or more tells no more.
 */
const ONSETS_PER_BEAT = 2.5
const DENSITY_OCTAVES = 1

/** Weaker rises than this (log10 units, onsets.ts) are rounding errors: a window without a stronger one has no rhythm. */
const LEAST_ONSET = 0.005

/**
 * The regularity at which confidence reaches 1 - 1/e. Orchestral music in free rhythm stays below 0.05; pop and dance
 * music with a beat that people agree on lies between 0.1 and 0.3; a bare click track reaches 0.45.
 */
const CLEAR_REGULARITY = 0.1

/** Step of the search, 0.2 %; a parabola refines the best one. */
const STEP = 1.002

/**
 * Finds the tempo whose beats return most regularly.
 *
 * A tempo scores by the product of two views of the onset envelope (Peeters, ICME 2006): the autocorrelation at its
 * first four beat periods, and the spectrum at its beat rate, twice and four times that. The autocorrelation has false
 * peaks at multiples of the period and the spectrum at multiples of the rate, so the true tempo alone stands in both;
 * dotted rhythms (3/2, 4/3 and their inverses) fall on a peak of one and a gap of the other. What neither can tell is
 * which octave a listener would tap: `preference` and `density` weigh that.
 */
export function estimateTempo(envelopes: OnsetEnvelopes, onsetRateHz: number): TempoEstimate {
  const periodicity = measurePeriodicity(envelopes)
  if (periodicity === undefined) return { bpm: 0, confidence: 0 }
  const count = Math.floor(Math.log(MAX_BPM / MIN_BPM) / Math.log(STEP)) + 1
  const scores = Float64Array.from({ length: count }, (_, i) => {
    const bpm = MIN_BPM * STEP ** i
    const periodic = beatRegularity(periodicity, bpm) * spectralStrength(periodicity, bpm)
    return periodic * preference(bpm) * density(bpm, onsetRateHz)
  })
  const best = scores.indexOf(Math.max(...scores))
  if (scores[best] === 0) return { bpm: 0, confidence: 0 }
  const bpm = MIN_BPM * STEP ** (best + peakOffset(scores, best))
  const regularity = beatRegularity(periodicity, bpm)
  return { bpm, confidence: 1 - Math.exp(-((regularity / CLEAR_REGULARITY) ** 2)) }
}

interface Periodicity {
  frameRateHz: number
  /** Mean autocorrelation by lag in frames, 1 at lag 0. */
  autocorrelation: Float64Array
  /** Mean magnitude spectrum of the envelope, of unit norm in each window. */
  spectrum: Float64Array
  /** Hz between two values of the spectrum. */
  binHz: number
}

/** Averages autocorrelation and spectrum over the windows of every band, each window of the same weight. */
function measurePeriodicity({ bands, frameRateHz }: OnsetEnvelopes): Periodicity | undefined {
  const length = bands[0]!.length
  const window = Math.min(length, Math.round(WINDOW_SECONDS * frameRateHz))
  if (window < MIN_SECONDS * frameRateHz) return undefined
  const analyser = new WindowAnalyser(window)
  const hop = Math.max(window / 4, (length - window) / (MAX_WINDOWS - 1))
  for (const band of bands) {
    const peaks = aboveLocalMean(band, Math.round(0.5 * frameRateHz))
    for (let at = 0; at <= length - window; at += hop) analyser.add(peaks, Math.floor(at))
  }
  return analyser.finish(frameRateHz)
}

class WindowAnalyser {
  readonly #window: number
  readonly #size: number
  readonly #fft: FFT
  readonly #input: Float64Array
  readonly #complex: Float64Array
  readonly #compressed: Float64Array
  readonly #autocorrelation: Float64Array
  readonly #spectrum: Float64Array
  #windows = 0

  constructor(window: number) {
    this.#window = window
    this.#size = 2 ** Math.ceil(Math.log2(2 * window))
    this.#fft = new FFT(this.#size)
    this.#input = new Float64Array(this.#size)
    this.#complex = new Float64Array(2 * this.#size)
    this.#compressed = new Float64Array(2 * this.#size)
    this.#autocorrelation = new Float64Array(window)
    this.#spectrum = new Float64Array(this.#size / 2)
  }

  add(values: Float64Array, start: number): void {
    let greatest = 0
    for (let i = 0; i < this.#window; i++) greatest = Math.max(greatest, values[start + i]!)
    if (greatest < LEAST_ONSET) return
    let mean = 0
    for (let i = 0; i < this.#window; i++) mean += values[start + i]! / this.#window
    for (let i = 0; i < this.#window; i++) this.#input[i] = values[start + i]! - mean
    this.#addAutocorrelation()
    for (let i = 0; i < this.#window; i++) this.#input[i]! *= 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / this.#window)
    this.#addSpectrum()
    this.#windows++
  }

  finish(frameRateHz: number): Periodicity | undefined {
    if (this.#windows === 0) return undefined
    return {
      frameRateHz,
      autocorrelation: this.#autocorrelation.map((value) => value / this.#windows),
      spectrum: this.#spectrum.map((value) => value / this.#windows),
      binHz: frameRateHz / this.#size,
    }
  }

  /**
   * Generalised autocorrelation: the inverse transform of the magnitudes instead of the powers, which makes its peaks
   * narrower (Tolonen and Karjalainen 2000; Percival and Tzanetakis 2014).
   */
  #addAutocorrelation(): void {
    this.#fft.realTransform(this.#complex, this.#input)
    this.#fft.completeSpectrum(this.#complex)
    for (let k = 0; k < this.#size; k++) {
      this.#compressed[2 * k] = Math.hypot(this.#complex[2 * k]!, this.#complex[2 * k + 1]!)
    }
    this.#fft.inverseTransform(this.#complex, this.#compressed)
    const power = this.#complex[0]!
    for (let lag = 0; lag < this.#window; lag++) {
      // Fewer values overlap at a longer lag: the weight makes up for that.
      this.#autocorrelation[lag]! += this.#complex[2 * lag]! / power / (1 - lag / this.#window)
    }
  }

  #addSpectrum(): void {
    this.#fft.realTransform(this.#complex, this.#input)
    let power = 0
    for (let k = 0; k < this.#spectrum.length; k++) {
      power += this.#complex[2 * k]! ** 2 + this.#complex[2 * k + 1]! ** 2
    }
    const norm = Math.sqrt(power)
    for (let k = 0; k < this.#spectrum.length; k++) {
      this.#spectrum[k]! += Math.hypot(this.#complex[2 * k]!, this.#complex[2 * k + 1]!) / norm
    }
  }
}

/** @returns by how much each value exceeds the mean of those within `half` frames, at least 0. */
function aboveLocalMean(values: Float32Array, half: number): Float64Array {
  const sums = new Float64Array(values.length + 1)
  for (let i = 0; i < values.length; i++) sums[i + 1] = sums[i]! + values[i]!
  return Float64Array.from(values, (value, i) => {
    const [from, to] = [Math.max(0, i - half), Math.min(values.length, i + half + 1)]
    return Math.max(0, value - (sums[to]! - sums[from]!) / (to - from))
  })
}

function beatRegularity({ autocorrelation, frameRateHz }: Periodicity, bpm: number): number {
  const period = (60 * frameRateHz) / bpm
  let sum = 0
  // The lag of a late beat may lie beyond a short track; only the beats inside count.
  const beats = Math.min(4, Math.max(1, Math.floor((0.75 * autocorrelation.length) / period)))
  for (let beat = 1; beat <= beats; beat++) sum += Math.max(0, valueAt(autocorrelation, beat * period))
  return sum / beats
}

function spectralStrength({ spectrum, binHz }: Periodicity, bpm: number): number {
  const bin = bpm / 60 / binHz
  return (valueAt(spectrum, bin) + valueAt(spectrum, 2 * bin) + valueAt(spectrum, 4 * bin)) / 3
}

function preference(bpm: number): number {
  return Math.exp(-0.5 * (Math.log2(bpm / PREFERRED_BPM) / PREFERENCE_OCTAVES) ** 2)
}

function density(bpm: number, onsetRateHz: number): number {
  const octaves = Math.log2(((onsetRateHz * 60) / bpm + 1e-9) / ONSETS_PER_BEAT)
  return Math.exp(-0.5 * (Math.max(-1, Math.min(1, octaves)) / DENSITY_OCTAVES) ** 2)
}

/** @returns the value between two places, by a straight line; 0 past the end. */
function valueAt(values: Float64Array, place: number): number {
  const below = Math.floor(place)
  const share = place - below
  return (values[below] ?? 0) * (1 - share) + (values[below + 1] ?? 0) * share
}

/** @returns where the parabola through a peak and its neighbours has its top, -0.5 to 0.5 places from the peak. */
function peakOffset(values: Float64Array, peak: number): number {
  if (peak === 0 || peak === values.length - 1) return 0
  const [left, middle, right] = [values[peak - 1]!, values[peak]!, values[peak + 1]!]
  const curvature = left - 2 * middle + right
  return curvature < 0 ? (0.5 * (left - right)) / curvature : 0
}
