/** Lowest and highest MIDI pitch which is counted: F1 (44 Hz) to A7 (3.5 kHz). */
const LOWEST_PITCH = 29
const HIGHEST_PITCH = 105

/** Cells per semitone: 10 cents each, fine enough to find how the track is tuned. */
export const CELLS_PER_SEMITONE = 10

/** Peaks weaker than this share of the strongest peak of their frame (-50 dB) are noise or leakage. */
const PEAK_FLOOR = 10 ** (-50 / 20)

/** How far a peak must rise above the mean magnitude around it to count as a tone: drums and noise do not. */
const TONE_OVER_NEIGHBOURS = 2

export interface PitchHistogram {
  /** MIDI pitch (A4 = 440 Hz = 69) of the first cell's centre. */
  lowestPitch: number
  /** Weight per cell of 1 / CELLS_PER_SEMITONE semitone. */
  cells: Float64Array
}

/**
 * Collects which pitches sound and how strongly, from the spectral peaks of long frames.
 *
 * Each frame adds the same total weight, however loud it is, if only it is not near silence against the frames before
 * it; within a frame a peak weighs by the square root of its magnitude, so a melody counts beside its bass.
 * Peaks are placed between bins by a parabola through the log magnitudes (Smith and Serra 1987).
 *
 * Memory: one histogram, some 6 kB, whatever the length of the track.
 */
export class PitchCollector {
  readonly #binHz: number
  readonly #firstBin: number
  readonly #lastBin: number
  readonly #cells = new Float64Array((HIGHEST_PITCH - LOWEST_PITCH + 1) * CELLS_PER_SEMITONE)
  readonly #frameCells = new Float64Array(this.#cells.length)
  #loudest = 0

  constructor({ sampleRateHz, size }: { sampleRateHz: number; size: number }) {
    this.#binHz = sampleRateHz / size
    this.#firstBin = Math.max(NEIGHBOURS, Math.ceil(toHz(LOWEST_PITCH - 0.4) / this.#binHz))
    this.#lastBin = Math.min(size / 2 - NEIGHBOURS, Math.floor(toHz(HIGHEST_PITCH + 0.4) / this.#binHz))
  }

  pushFrame(magnitudes: Float64Array): void {
    let greatest = 0
    for (let k = this.#firstBin; k <= this.#lastBin; k++) greatest = Math.max(greatest, magnitudes[k]!)
    this.#loudest = Math.max(this.#loudest * 0.999, greatest)
    if (greatest < 1e-5 || greatest < this.#loudest * 0.003) return
    const total = this.#collectPeaks(magnitudes, greatest * PEAK_FLOOR)
    if (total === 0) return
    for (let c = 0; c < this.#cells.length; c++) this.#cells[c]! += this.#frameCells[c]! / total
  }

  finish(): PitchHistogram {
    return { lowestPitch: LOWEST_PITCH, cells: this.#cells }
  }

  #collectPeaks(magnitudes: Float64Array, floor: number): number {
    this.#frameCells.fill(0)
    let total = 0
    let around = 0
    for (let k = this.#firstBin - NEIGHBOURS; k < this.#firstBin + NEIGHBOURS; k++) around += magnitudes[k]!
    for (let k = this.#firstBin; k <= this.#lastBin; k++) {
      around += magnitudes[k + NEIGHBOURS]!
      const here = magnitudes[k]!
      const [left, right] = [magnitudes[k - 1]!, magnitudes[k + 1]!]
      if (
        here > floor &&
        here > left &&
        here >= right &&
        here > (TONE_OVER_NEIGHBOURS * around) / (2 * NEIGHBOURS + 1)
      ) {
        const { offset, height } = parabolaPeak(left, here, right)
        const pitch = 69 + 12 * Math.log2(((k + offset) * this.#binHz) / 440)
        const cell = Math.round((pitch - LOWEST_PITCH) * CELLS_PER_SEMITONE)
        if (cell >= 0 && cell < this.#cells.length) {
          const weight = Math.sqrt(height)
          this.#frameCells[cell]! += weight
          total += weight
        }
      }
      around -= magnitudes[k - NEIGHBOURS]!
    }
    return total
  }
}

/** Bins on each side of a peak whose mean it must stand out from. */
const NEIGHBOURS = 12

function toHz(pitch: number): number {
  return 440 * 2 ** ((pitch - 69) / 12)
}

function parabolaPeak(left: number, middle: number, right: number): { offset: number; height: number } {
  const [a, b, c] = [Math.log(left + 1e-12), Math.log(middle + 1e-12), Math.log(right + 1e-12)]
  const curvature = a - 2 * b + c
  const offset = curvature === 0 ? 0 : (0.5 * (a - c)) / curvature
  return { offset, height: Math.exp(b - 0.25 * (a - c) * offset) }
}
