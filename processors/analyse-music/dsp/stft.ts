import FFT from 'fft.js'

export interface StftOptions {
  /** Samples in a frame, a power of two. */
  size: number
  /** Samples between the centres of two frames. */
  hop: number
  /** Receives (size / 2 + 1) magnitudes. The array is used again for the next frame: copy what must last. */
  onFrame: (magnitudes: Float64Array, frame: number) => void
}

/**
 * A streaming short-time Fourier transform with a Hann window. Frame i is centred on sample i * hop: half a frame of
 * zeros stands before the first sample and after the last one.
 *
 * Magnitudes are scaled so that a sine of amplitude a at the centre of a bin has magnitude a.
 */
export class Stft {
  readonly #size: number
  readonly #hop: number
  readonly #onFrame: StftOptions['onFrame']
  readonly #fft: FFT
  readonly #window: Float64Array
  readonly #ring: Float64Array
  readonly #input: Float64Array
  readonly #output: Float64Array
  readonly #magnitudes: Float64Array
  #write: number
  #untilFrame: number
  #frame = 0

  constructor({ size, hop, onFrame }: StftOptions) {
    this.#size = size
    this.#hop = hop
    this.#onFrame = onFrame
    this.#fft = new FFT(size)
    // The window sums to size / 2; with the two halves of a real spectrum that makes 4 / size the scale of a sine.
    this.#window = Float64Array.from(
      { length: size },
      (_, n) => (0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size)) * (4 / size),
    )
    this.#ring = new Float64Array(size)
    this.#input = new Float64Array(size)
    this.#output = new Float64Array(2 * size)
    this.#magnitudes = new Float64Array(size / 2 + 1)
    this.#write = size / 2
    this.#untilFrame = size / 2
  }

  push(chunk: Float32Array): void {
    for (let i = 0; i < chunk.length; i++) this.#pushSample(chunk[i]!)
  }

  /** Emits the frames whose centres lie in the signal but which reach past its end. */
  finish(): void {
    for (let i = 0; i < this.#size / 2; i++) this.#pushSample(0)
  }

  #pushSample(sample: number): void {
    this.#ring[this.#write] = sample
    this.#write = this.#write + 1 === this.#size ? 0 : this.#write + 1
    if (--this.#untilFrame === 0) {
      this.#untilFrame = this.#hop
      this.#transform()
    }
  }

  #transform(): void {
    const tail = this.#size - this.#write
    for (let n = 0; n < tail; n++) this.#input[n] = this.#ring[this.#write + n]! * this.#window[n]!
    for (let n = tail; n < this.#size; n++) this.#input[n] = this.#ring[n - tail]! * this.#window[n]!
    this.#fft.realTransform(this.#output, this.#input)
    for (let k = 0; k < this.#magnitudes.length; k++) {
      const re = this.#output[2 * k]!
      const im = this.#output[2 * k + 1]!
      this.#magnitudes[k] = Math.sqrt(re * re + im * im)
    }
    this.#onFrame(this.#magnitudes, this.#frame++)
  }
}
