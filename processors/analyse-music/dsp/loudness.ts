import { GrowingFloats } from './growing-floats.ts'

/** What the meter reports where nothing passes the absolute gate, so that no consumer meets -Infinity. */
export const SILENCE_LUFS = -70

/** The least peak that is reported, in dBFS: about one step of 24-bit audio. */
export const PEAK_FLOOR_DBFS = -140

export interface Loudness {
  /** Integrated loudness, LUFS; at least SILENCE_LUFS. */
  integratedLufs: number
  /** Loudness range, LU: the spread between quiet and loud passages; 0 below 3 s of audio above the gate. */
  rangeLu: number
  /** Greatest absolute sample, dBFS; at least PEAK_FLOOR_DBFS. No oversampling: a true peak may be higher. */
  peakDbfs: number
  /** Nothing in the track passed the absolute gate of -70 LUFS. */
  silent: boolean
}

interface Biquad {
  b0: number
  b1: number
  b2: number
  a1: number
  a2: number
}

/**
 * Loudness by ITU-R BS.1770-4 (K weighting, 400 ms blocks every 100 ms, gates at -70 LUFS and 10 LU below the
 * ungated mean) and loudness range by EBU Tech 3342 (3 s windows, gates at -70 LUFS and 20 LU below, 10th to 95th
 * percentile).
 *
 * It measures one channel at the given rate, as the standard does for mono: a 997 Hz sine at 0 dBFS reads -3.01 LUFS.
 * So the average of two channels reads lower than the stereo track it comes from: by 3 LU where both channels are the
 * same, and by 6 LU where they have nothing in common; most music is nearer to the former. At 16 kHz, energy above 8 kHz
 * is missing, which lowers music with many cymbals by some tenths of a LU.
 *
 * Memory: one float per 100 ms.
 */
export class LoudnessMeter {
  readonly #shelf: Biquad
  readonly #highPass: Biquad
  readonly #stepSamples: number
  /** Mean square of the weighted signal in each 100 ms. */
  readonly #steps = new GrowingFloats()
  #inStep = 0
  #stepEnergy = 0
  #peak = 0
  // State of both filters, transposed direct form II.
  #s1 = 0
  #s2 = 0
  #h1 = 0
  #h2 = 0

  constructor(sampleRateHz: number) {
    this.#shelf = shelfFilter(sampleRateHz)
    this.#highPass = highPassFilter(sampleRateHz)
    this.#stepSamples = Math.round(sampleRateHz / 10)
  }

  push(chunk: Float32Array): void {
    const s = this.#shelf
    const h = this.#highPass
    for (let i = 0; i < chunk.length; i++) {
      const x = chunk[i]!
      const magnitude = x < 0 ? -x : x
      if (magnitude > this.#peak) this.#peak = magnitude
      const shelved = s.b0 * x + this.#s1
      this.#s1 = s.b1 * x - s.a1 * shelved + this.#s2
      this.#s2 = s.b2 * x - s.a2 * shelved
      const weighted = h.b0 * shelved + this.#h1
      this.#h1 = h.b1 * shelved - h.a1 * weighted + this.#h2
      this.#h2 = h.b2 * shelved - h.a2 * weighted
      this.#stepEnergy += weighted * weighted
      if (++this.#inStep === this.#stepSamples) this.#closeStep()
    }
  }

  finish(): Loudness {
    const steps = this.#steps.view()
    const blocks = windowMeans(steps, Math.min(4, Math.max(1, steps.length)))
    const gated = gateBlocks(blocks, 10)
    const peakDbfs = Math.max(PEAK_FLOOR_DBFS, 20 * Math.log10(this.#peak))
    if (gated.length === 0) return { integratedLufs: SILENCE_LUFS, rangeLu: 0, peakDbfs, silent: true }
    const integratedLufs = Math.max(SILENCE_LUFS, toLufs(mean(gated)))
    return { integratedLufs, rangeLu: loudnessRange(steps), peakDbfs, silent: false }
  }

  #closeStep(): void {
    this.#steps.push(this.#stepEnergy / this.#stepSamples)
    this.#stepEnergy = 0
    this.#inStep = 0
    // After the music stops the filters decay towards denormal numbers, on which arithmetic is slow.
    if (Math.abs(this.#h1) < 1e-15) this.#h1 = 0
    if (Math.abs(this.#h2) < 1e-15) this.#h2 = 0
    if (Math.abs(this.#s1) < 1e-15) this.#s1 = 0
    if (Math.abs(this.#s2) < 1e-15) this.#s2 = 0
  }
}

/**
 * First stage of K weighting: a shelf of +4 dB above about 1.7 kHz, the effect of the head. BS.1770-4 tabulates it at
 * 48 kHz only; these are the analogue parameters behind the table (as in libebur128), taken to any rate by the
 * bilinear transform.
 */
function shelfFilter(sampleRateHz: number): Biquad {
  const k = Math.tan((Math.PI * 1681.974450955533) / sampleRateHz)
  const q = 0.7071752369554196
  const vh = 10 ** (3.999843853973347 / 20)
  const vb = vh ** 0.4996667741545416
  const a0 = 1 + k / q + k * k
  return {
    b0: (vh + (vb * k) / q + k * k) / a0,
    b1: (2 * (k * k - vh)) / a0,
    b2: (vh - (vb * k) / q + k * k) / a0,
    a1: (2 * (k * k - 1)) / a0,
    a2: (1 - k / q + k * k) / a0,
  }
}

/** Second stage of K weighting: a high-pass at about 38 Hz. Its numerator is 1, -2, 1 at every rate, as in the table. */
function highPassFilter(sampleRateHz: number): Biquad {
  const k = Math.tan((Math.PI * 38.13547087602444) / sampleRateHz)
  const q = 0.5003270373238773
  const a0 = 1 + k / q + k * k
  return { b0: 1, b1: -2, b2: 1, a1: (2 * (k * k - 1)) / a0, a2: (1 - k / q + k * k) / a0 }
}

function toLufs(meanSquare: number): number {
  return -0.691 + 10 * Math.log10(meanSquare)
}

function toMeanSquare(lufs: number): number {
  return 10 ** ((lufs + 0.691) / 10)
}

/** @returns the means of every run of `width` steps, one per step. */
function windowMeans(steps: Float32Array, width: number): Float64Array {
  const count = Math.max(0, steps.length - width + 1)
  const means = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    let sum = 0
    for (let j = 0; j < width; j++) sum += steps[i + j]!
    means[i] = sum / width
  }
  return means
}

function gateBlocks(blocks: Float64Array, relativeLu: number): Float64Array {
  const absolute = toMeanSquare(SILENCE_LUFS)
  const audible = blocks.filter((block) => block > absolute)
  if (audible.length === 0) return audible
  const relative = toMeanSquare(toLufs(mean(audible)) - relativeLu)
  return audible.filter((block) => block > relative)
}

function loudnessRange(steps: Float32Array): number {
  const gated = gateBlocks(windowMeans(steps, 30), 20).sort()
  if (gated.length < 2) return 0
  const at = (share: number) => toLufs(gated[Math.round(share * (gated.length - 1))]!)
  return at(0.95) - at(0.1)
}

function mean(values: Float64Array): number {
  let sum = 0
  for (const value of values) sum += value
  return sum / values.length
}
