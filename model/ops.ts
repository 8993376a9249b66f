/**
 * The operations that the model is written in (viml.ts), so that one source trains and serves: emitted as ONNX with its
 * gradients (graph-ops.ts), or carried out eagerly by TensorFlow.js. What a value is belongs to the backend.
 *
 * Shapes are written (batch, segments, dims). A dimension that is known only when the model runs has a name, such as
 * 'batch'; nothing here needs its number. float32 throughout.
 */
import type { Dimension } from './onnx-writer.ts'

export type Shape = readonly Dimension[]

export interface Ops<T> {
  shapeOf(x: T): Shape
  /** A weight, by its name in the parameter record. */
  parameter(name: string): T
  /** (…, n, k) · (k, m), or of two stacks with the same leading axes, (…, n, k) · (…, k, m). @returns (…, n, m) */
  matMul(a: T, b: T): T
  /** Broadcast as NumPy does; @returns the shape of `a`, which must be the larger. */
  add(a: T, b: T): T
  /** Broadcast as `add`. */
  multiply(a: T, b: T): T
  /** a / b, broadcast as `add`. */
  divide(a: T, b: T): T
  /** factor · a + offset. */
  affine(a: T, factor: number, offset?: number): T
  exp(a: T): T
  /** Gaussian error linear unit, exact: a · Φ(a) (Hendrycks & Gimpel 2016). */
  gelu(a: T): T
  /** Over the last axis. */
  softmax(a: T): T
  /** Over the last axis. */
  logSoftmax(a: T): T
  /** Over the last axis, then · gain + offset, both (dims,); ε = 1e-5. */
  layerNorm(a: T, gain: T, offset: T): T
  /** Unit vectors along the last axis; ε = 1e-12 under the root. */
  normalise(a: T): T
  /** @param order of the axes: as many as `a` has. */
  transpose(a: T, order: readonly number[]): T
  /** 0 keeps the dimension at its place, −1 takes what is left. */
  reshape(a: T, shape: readonly number[]): T
  /** Of equal shapes but for `axis`. */
  concat(parts: readonly T[], axis: number): T
  /** The first rows of a table (most, dims), as many as `like` (…, n, dims) has. @returns (n, dims) */
  firstRows(table: T, like: T): T
  /** Over one axis, which stays as 1. */
  sum(a: T, axis: number): T
  /**
   * In training each value is kept with a probability of 1 − `rate`, and those kept are divided by it; else `a` itself.
   * @param site names the place, so that every backend draws the same mask there.
   */
  dropout(a: T, rate: number, site: string): T
}

/** Weights and what is known of the training data, by name. */
export type Parameters = ReadonlyMap<string, Parameter>

export interface Parameter {
  readonly shape: readonly number[]
  /** Row-major. */
  readonly values: Float32Array
  /** false for what training does not change, such as the statistics that inputs are standardised by. */
  readonly trained: boolean
  /** Weight decay pulls matrices towards 0, not gains, offsets and positions. */
  readonly decays: boolean
}
