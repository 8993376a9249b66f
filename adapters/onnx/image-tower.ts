/** Picture encoder made from a manifest: one graph whose outputs, side by side, are the columns of a row. */

import type { ImageEncoder } from '../../ports/encoder.ts'
import { ShapeError } from '../../ports/errors.ts'
import type { ColumnRanges, ImageTowerManifest } from '../models/profile.ts'
import type { EncoderFiles } from './encoder-files.ts'
import type { OnnxGraph, OnnxSessions } from './session.ts'

const channels = 3
export class ImageTower implements ImageEncoder {
  readonly id: string
  readonly sha256: string
  readonly dims: number
  /** Which values of a row are what. */
  readonly columns: ColumnRanges
  /** Names of the `classes` columns; empty where there are none. */
  readonly labels: readonly string[]
  readonly #manifest: ImageTowerManifest
  readonly #graph: OnnxGraph
  /** Input value of each byte, by channel. */
  readonly #levels: readonly Float32Array[]
  readonly #rowsPerRun: number

  /** @throws SetupError 'model-tampered' | 'model-missing' | 'model-labels' for the file of class names. */
  constructor(manifest: ImageTowerManifest, files: EncoderFiles, sessions: OnnxSessions) {
    const outputs = Object.values(manifest.outputs)
    const { size, scale, mean, std } = manifest.preprocessing
    this.id = manifest.id
    this.sha256 = files.sha256
    this.#rowsPerRun = sessions.rowsPerRun
    this.dims = outputs.reduce((sum, { dims }) => sum + dims, 0)
    this.columns = manifest.columns
    this.labels = manifest.labels === null ? [] : files.labels(manifest.labels, manifest.outputs.classes?.dims ?? 0)
    this.#manifest = manifest
    this.#graph = sessions.graph(files.file(manifest.file), {
      inputs: [{ name: manifest.input, type: 'float32', shape: ['batch', channels, size, size] }],
      outputs: outputs.map(({ output, dims }) => ({ name: output, dims })),
    })
    this.#levels = mean.map((middle, channel) =>
      Float32Array.from({ length: 256 }, (_, byte) => (byte * scale - middle) / (std[channel] ?? 1)),
    )
  }

  async encode(pixels: Uint8Array, count: number): Promise<Float32Array> {
    const { size } = this.#manifest.preprocessing
    const pictureBytes = size * size * channels
    if (pixels.length !== count * pictureBytes) {
      throw new ShapeError(
        `${count} pictures of ${size} × ${size} have ${count * pictureBytes} bytes, got ${pixels.length}.`,
      )
    }
    const rows = new Float32Array(count * this.dims)
    for (let start = 0; start < count; start += this.#rowsPerRun) {
      const batch = Math.min(this.#rowsPerRun, count - start)
      const data = this.#planes(pixels.subarray(start * pictureBytes, (start + batch) * pictureBytes), batch)
      const feed = { data, shape: [batch, channels, size, size] }
      const outputs = await this.#graph.run({ [this.#manifest.input]: feed }, batch)
      let column = 0
      for (const { output, dims } of Object.values(this.#manifest.outputs)) {
        const values = outputs[output]!
        for (let row = 0; row < batch; row += 1) {
          rows.set(values.subarray(row * dims, (row + 1) * dims), (start + row) * this.dims + column)
        }
        column += dims
      }
    }
    return rows
  }

  /** (count, size, size, 3) bytes → (count, 3, size, size) input values. */
  #planes(pixels: Uint8Array, count: number): Float32Array {
    const area = this.#manifest.preprocessing.size ** 2
    const planes = new Float32Array(count * channels * area)
    for (let picture = 0; picture < count; picture += 1) {
      for (let channel = 0; channel < channels; channel += 1) {
        const levels = this.#levels[channel]!
        const to = (picture * channels + channel) * area
        const from = picture * channels * area + channel
        for (let pixel = 0; pixel < area; pixel += 1) planes[to + pixel] = levels[pixels[from + pixel * channels]!]!
      }
    }
    return planes
  }
}
