/** How a track or a part of it sounds, without its notes: what a listener's sense of arousal rests on. */
export interface EnergyDescriptors {
  /** Level of the whole stretch, dBFS: 10 log10 of the mean square; a full-scale sine has -3.01. At least -100. */
  rmsDbfs: number
  /** Spread of the level, dB: 95th less 10th percentile of the levels of 64 ms frames. 0 = steady. */
  dynamicsDb: number
  /** Brightness, Hz: the mean of sum(f |X|) / sum(|X|) over audible frames. */
  centroidHz: number
  /** Noisiness, 0 to 1: the mean over audible frames of the geometric by the arithmetic mean of |X|^2. Noise 0.56, sine near 0. */
  flatness: number
  /** Onsets per second. */
  onsetRateHz: number
  /** Share of percussive energy, 0 to 1, see percussion.ts. */
  percussiveness: number
  /** Share of energy below 250 Hz, 0 to 1. */
  lowShare: number
  /** Share of energy above 2 kHz, 0 to 1. */
  highShare: number
  /** 10 log10 of the energy below 250 Hz by that above 2 kHz, -60 to 60 dB; 0 where there is neither. */
  lowHighRatioDb: number
}

const LEVEL_FLOOR_DBFS = -100
/** Frames below this level are left out of the means of centroid and flatness: their spectrum is only noise. */
const AUDIBLE_DBFS = -60
const LOW_HZ = 250
const HIGH_HZ = 2000

/** Sums over one stretch of audio, from which its descriptors follow. Two stretches add up to a longer one. */
export class EnergySums {
  #frames = 0
  #audible = 0
  #meanSquare = 0
  #centroid = 0
  #flatness = 0
  #low = 0
  #high = 0
  #energy = 0
  #percussive = 0
  #percussiveTotal = 0
  #onsets = 0
  /** Frames per dB of level, from LEVEL_FLOOR_DBFS upwards. */
  readonly #levels = new Uint32Array(-LEVEL_FLOOR_DBFS + 7)

  addFrame(frame: FrameEnergy): void {
    this.#frames++
    this.#meanSquare += frame.meanSquare
    this.#low += frame.low
    this.#high += frame.high
    this.#energy += frame.energy
    const level = toDb(frame.meanSquare)
    this.#levels[Math.min(this.#levels.length - 1, Math.round(level - LEVEL_FLOOR_DBFS))]!++
    if (level < AUDIBLE_DBFS) return
    this.#audible++
    this.#centroid += frame.centroidHz
    this.#flatness += frame.flatness
  }

  addPercussion(percussive: number, total: number): void {
    this.#percussive += percussive
    this.#percussiveTotal += total
  }

  addOnsets(count: number): void {
    this.#onsets += count
  }

  add(other: EnergySums): void {
    this.#frames += other.#frames
    this.#audible += other.#audible
    this.#meanSquare += other.#meanSquare
    this.#centroid += other.#centroid
    this.#flatness += other.#flatness
    this.#low += other.#low
    this.#high += other.#high
    this.#energy += other.#energy
    this.#percussive += other.#percussive
    this.#percussiveTotal += other.#percussiveTotal
    this.#onsets += other.#onsets
    for (let i = 0; i < this.#levels.length; i++) this.#levels[i]! += other.#levels[i]!
  }

  describe(seconds: number): EnergyDescriptors {
    const over = (sum: number, count: number) => (count > 0 ? sum / count : 0)
    return {
      rmsDbfs: toDb(over(this.#meanSquare, this.#frames)),
      dynamicsDb: this.#levelAt(0.95) - this.#levelAt(0.1),
      centroidHz: over(this.#centroid, this.#audible),
      flatness: over(this.#flatness, this.#audible),
      onsetRateHz: over(this.#onsets, seconds),
      percussiveness: over(this.#percussive, this.#percussiveTotal),
      lowShare: over(this.#low, this.#energy),
      highShare: over(this.#high, this.#energy),
      lowHighRatioDb: ratioDb(this.#low, this.#high),
    }
  }

  /** @returns the level which a share of the frames stays at or below, dBFS, to 1 dB. */
  #levelAt(share: number): number {
    let below = 0
    for (let i = 0; i < this.#levels.length; i++) {
      below += this.#levels[i]!
      if (below >= share * this.#frames) return i + LEVEL_FLOOR_DBFS
    }
    return LEVEL_FLOOR_DBFS
  }
}

export interface FrameEnergy {
  /** Mean square of the frame's samples under its window. */
  meanSquare: number
  centroidHz: number
  flatness: number
  energy: number
  low: number
  high: number
}

/** Measures one frame of the short-time spectrum, scaled as in stft.ts. */
export function measureFrame(magnitudes: Float64Array, binHz: number): FrameEnergy {
  let [sum, weighted, energy, low, high, logs] = [0, 0, 0, 0, 0, 0]
  // A product of 8 bins at a time takes one logarithm; the floor keeps it far from underflow.
  let product = 1
  const lowBin = LOW_HZ / binHz
  const highBin = HIGH_HZ / binHz
  for (let k = 1; k < magnitudes.length; k++) {
    const magnitude = magnitudes[k]!
    const power = magnitude * magnitude
    sum += magnitude
    weighted += k * magnitude
    energy += power
    if (k < lowBin) low += power
    else if (k > highBin) high += power
    product *= power + 1e-20
    if ((k & 7) === 0) {
      logs += Math.log(product)
      product = 1
    }
  }
  logs += Math.log(product)
  const bins = magnitudes.length - 1
  return {
    // Parseval: a sine of amplitude a spreads over the Hann window's main lobe as 1.5 a^2, and has mean square a^2 / 2.
    meanSquare: energy / 3,
    centroidHz: sum > 0 ? (weighted / sum) * binHz : 0,
    flatness: energy > 0 ? Math.min(1, Math.exp(logs / bins) / (energy / bins + 1e-20)) : 0,
    energy,
    low,
    high,
  }
}

function toDb(meanSquare: number): number {
  return Math.max(LEVEL_FLOOR_DBFS, 10 * Math.log10(meanSquare))
}

function ratioDb(low: number, high: number): number {
  if (low === 0 && high === 0) return 0
  return Math.max(-60, Math.min(60, 10 * Math.log10(low / high)))
}
