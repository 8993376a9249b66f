/** Frames and bins of the two medians: 340 ms and 270 Hz at 16 kHz, frames of 1024, one every 20 ms. */
const MEDIAN = 17
const HALF = (MEDIAN - 1) / 2

/**
 * Splits spectral energy into a harmonic and a percussive part by median filters (Fitzgerald, DAFx 2010): what lasts
 * along time is harmonic, what spreads along frequency is percussive. The share of a bin is the soft mask
 * p^2 / (p^2 + h^2). Steady noise is both, so half of it counts as percussive.
 *
 * The split of a frame is known when the frames after it have come: it is reported half a window late.
 */
export class PercussionSplitter {
  readonly #bins: number
  readonly #onSplit: (percussive: number, total: number, frame: number) => void
  /** The frames of the window in order of arrival, (MEDIAN, bins), and each bin's values in order of size. */
  readonly #ring: Float32Array
  readonly #sorted: Float32Array
  readonly #column = new Float32Array(MEDIAN)
  #frame = 0

  constructor(bins: number, onSplit: (percussive: number, total: number, frame: number) => void) {
    this.#bins = bins
    this.#onSplit = onSplit
    this.#ring = new Float32Array(MEDIAN * bins)
    this.#sorted = new Float32Array(MEDIAN * bins)
  }

  pushFrame(magnitudes: Float64Array): void {
    const row = (this.#frame % MEDIAN) * this.#bins
    for (let k = 0; k < this.#bins; k++) {
      const added = Math.fround(magnitudes[k]!)
      replaceSorted(this.#sorted, k * MEDIAN, this.#ring[row + k]!, added)
      this.#ring[row + k] = added
    }
    if (this.#frame >= HALF) this.#split(this.#frame - HALF)
    this.#frame++
  }

  /** Splits the last frames, as if silence followed. */
  finish(): void {
    const silence = new Float64Array(this.#bins)
    if (this.#frame > 0) for (let i = 0; i < HALF; i++) this.pushFrame(silence)
  }

  #split(frame: number): void {
    const row = (frame % MEDIAN) * this.#bins
    let [percussive, total] = [0, 0]
    this.#column.fill(0)
    for (let k = 0; k < HALF; k++) replaceSorted(this.#column, 0, 0, this.#ring[row + k]!)
    for (let k = 0; k < this.#bins; k++) {
      const leaving = k > HALF ? this.#ring[row + k - HALF - 1]! : 0
      const entering = k + HALF < this.#bins ? this.#ring[row + k + HALF]! : 0
      replaceSorted(this.#column, 0, leaving, entering)
      const h = this.#sorted[k * MEDIAN + HALF]!
      const p = this.#column[HALF]!
      const energy = this.#ring[row + k]! ** 2
      total += energy
      if (p > 0) percussive += (energy * p * p) / (p * p + h * h)
    }
    this.#onSplit(percussive, total, frame)
  }
}

/** Takes one value out of the MEDIAN ascending values at `start` and puts another one in its place in the order. */
function replaceSorted(sorted: Float32Array, start: number, removed: number, added: number): void {
  if (removed === added) return
  let i = start
  if (added > removed) {
    while (sorted[i] !== removed) i++
    for (const last = start + MEDIAN - 1; i < last && sorted[i + 1]! < added; i++) sorted[i] = sorted[i + 1]!
  } else {
    i = start + MEDIAN - 1
    while (sorted[i] !== removed) i--
    for (; i > start && sorted[i - 1]! > added; i--) sorted[i] = sorted[i - 1]!
  }
  sorted[i] = added
}
