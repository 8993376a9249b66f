import FFT from 'fft.js'
import type { OnsetEnvelopes } from './onsets.ts'

export interface TempoEstimate {
  /** Beats per minute, 50 to 210; 0 where there is no rhythm to hear. */
  bpm: number
  /** 0 to 1 */
  confidence: number
}

const MIN_BPM = 50
const MAX_BPM = 210
const WINDOW_SECONDS = 12
const MAX_WINDOWS = 300

export function estimateTempo(envelopes: OnsetEnvelopes): TempoEstimate {
  const gram = tempogram(envelopes)
  if (gram === undefined) return { bpm: 0, confidence: 0 }
  let [best, bestBpm] = [-Infinity, 0]
  for (let bpm = MIN_BPM; bpm <= MAX_BPM; bpm *= 1.002) {
    const score = pulse(gram, bpm) * prior(bpm)
    if (score > best) [best, bestBpm] = [score, bpm]
  }
  return { bpm: bestBpm, confidence: Math.max(0, Math.min(1, best)) }
}

export interface Tempogram {
  acf: Float64Array
  spectrum: Float64Array
  frameRateHz: number
  size: number
}

export function tempogram({ bands, frameRateHz }: OnsetEnvelopes): Tempogram | undefined {
  const length = bands[0]!.length
  const window = Math.min(length, Math.round(WINDOW_SECONDS * frameRateHz))
  if (window < 4 * frameRateHz) return undefined
  let size = 1
  while (size < 2 * window) size *= 2
  const fft = new FFT(size)
  const acf = new Float64Array(window)
  const spectrum = new Float64Array(size / 2)
  const hop = Math.max(window / 4, (length - window) / MAX_WINDOWS)
  let used = 0
  for (const band of bands) {
    const detrended = detrend(band, frameRateHz)
    for (let at = 0; at + window <= length; at += hop) {
      const start = Math.floor(at)
      const input = new Float64Array(size)
      for (let i = 0; i < window; i++) input[i] = detrended[start + i]!
      const out = new Float64Array(2 * size)
      fft.realTransform(out, input)
      fft.completeSpectrum(out)
      const power = new Float64Array(2 * size)
      let total = 0
      for (let k = 0; k < size; k++) {
        power[2 * k] = out[2 * k]! ** 2 + out[2 * k + 1]! ** 2
        total += power[2 * k]!
      }
      if (total < 1e-9) continue
      used++
      const back = new Float64Array(2 * size)
      fft.inverseTransform(back, power)
      for (let i = 0; i < window; i++) acf[i]! += back[2 * i]! / back[0]! / (1 - i / window + 1e-9)
      for (let k = 0; k < size / 2; k++) spectrum[k]! += power[2 * k]! / total
    }
  }
  if (used === 0) return undefined
  return { acf: acf.map((v) => v / used), spectrum: spectrum.map((v) => v / used), frameRateHz, size }
}

function detrend(band: Float32Array, frameRateHz: number): Float64Array {
  const half = Math.round(0.5 * frameRateHz)
  const sums = new Float64Array(band.length + 1)
  for (let i = 0; i < band.length; i++) sums[i + 1] = sums[i]! + band[i]!
  return Float64Array.from(band, (value, i) => {
    const [from, to] = [Math.max(0, i - half), Math.min(band.length, i + half + 1)]
    return Math.max(0, value - (sums[to]! - sums[from]!) / (to - from))
  })
}

function at(values: Float64Array, x: number): number {
  const i = Math.floor(x)
  return (values[i] ?? 0) * (1 - x + i) + (values[i + 1] ?? 0) * (x - i)
}

function pulse({ acf, frameRateHz }: Tempogram, bpm: number): number {
  const period = (60 * frameRateHz) / bpm
  return (at(acf, period) + at(acf, 2 * period) + at(acf, 3 * period) + at(acf, 4 * period)) / 4
}

function prior(bpm: number): number {
  return Math.exp(-0.5 * (Math.log2(bpm / 120) / 1) ** 2)
}
