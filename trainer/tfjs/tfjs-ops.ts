/**
 * The operations of a model carried out at once by TensorFlow.js, which knows their gradients.
 *
 * Invariants:
 *   [same]  formulas, ε and dropout masks are those of model/graph-ops.ts: both backends give the same losses
 *   [tidy]  nothing is kept here: what operations make belongs to the caller's tf.tidy
 *
 * The package is given by the caller, so that the product runs without one (load-tfjs.ts).
 */
import type * as tfjs from '@tensorflow/tfjs'
import type { Ops, Shape } from '../../model/ops.ts'

export type Tf = typeof tfjs
export type Tensor = tfjs.Tensor

/** @returns what a dropout site is multiplied by, of that shape: 0 and 1/(1 − rate). */
export type MaskOf = (site: string, rate: number, shape: readonly number[]) => Tensor

const LAYER_NORM_EPSILON = 1e-5
const UNIT_EPSILON = 1e-12

export class TfjsOps implements Ops<Tensor> {
  readonly #tf: Tf
  readonly #parameters: ReadonlyMap<string, Tensor>
  readonly #maskOf: MaskOf | undefined

  /** @param maskOf in training; where it is absent dropout is the identity. */
  constructor(tf: Tf, parameters: ReadonlyMap<string, Tensor>, maskOf?: MaskOf) {
    this.#tf = tf
    this.#parameters = parameters
    this.#maskOf = maskOf
  }

  shapeOf(x: Tensor): Shape {
    return x.shape
  }

  parameter(name: string): Tensor {
    const parameter = this.#parameters.get(name)
    if (parameter === undefined) throw new RangeError(`There is no parameter "${name}".`)
    return parameter
  }

  /** The rows of a stack and a matrix are multiplied as one matrix: tf.matMul would repeat the matrix for each of the stack. */
  matMul(a: Tensor, b: Tensor): Tensor {
    if (a.rank === b.rank) return this.#tf.matMul(a, b)
    const rows = this.#tf.reshape(a, [-1, a.shape.at(-1)!])
    return this.#tf.reshape(this.#tf.matMul(rows, b), [...a.shape.slice(0, -1), b.shape[1]!])
  }

  add(a: Tensor, b: Tensor): Tensor {
    return this.#tf.add(a, b)
  }

  multiply(a: Tensor, b: Tensor): Tensor {
    return this.#tf.mul(a, b)
  }

  divide(a: Tensor, b: Tensor): Tensor {
    return this.#tf.div(a, b)
  }

  affine(a: Tensor, factor: number, offset = 0): Tensor {
    const scaled = factor === 1 ? a : this.#tf.mul(a, factor)
    return offset === 0 ? scaled : this.#tf.add(scaled, offset)
  }

  exp(a: Tensor): Tensor {
    return this.#tf.exp(a)
  }

  /** a · (1 + erf(a/√2))/2 */
  gelu(a: Tensor): Tensor {
    const tf = this.#tf
    return tf.mul(a, tf.mul(tf.add(tf.erf(tf.mul(a, Math.SQRT1_2)), 1), 0.5))
  }

  softmax(a: Tensor): Tensor {
    return this.#tf.softmax(a)
  }

  logSoftmax(a: Tensor): Tensor {
    return this.#tf.logSoftmax(a)
  }

  layerNorm(a: Tensor, gain: Tensor, offset: Tensor): Tensor {
    const tf = this.#tf
    const centred = tf.sub(a, tf.mean(a, -1, true))
    const variance = tf.mean(tf.square(centred), -1, true)
    const standard = tf.mul(centred, tf.rsqrt(tf.add(variance, LAYER_NORM_EPSILON)))
    return tf.add(tf.mul(standard, gain), offset)
  }

  normalise(a: Tensor): Tensor {
    const tf = this.#tf
    return tf.div(a, tf.sqrt(tf.add(tf.sum(tf.square(a), -1, true), UNIT_EPSILON)))
  }

  transpose(a: Tensor, order: readonly number[]): Tensor {
    return this.#tf.transpose(a, [...order])
  }

  reshape(a: Tensor, shape: readonly number[]): Tensor {
    return this.#tf.reshape(
      a,
      shape.map((size, axis) => (size === 0 ? a.shape[axis]! : size)),
    )
  }

  concat(parts: readonly Tensor[], axis: number): Tensor {
    return this.#tf.concat([...parts], axis)
  }

  firstRows(table: Tensor, like: Tensor): Tensor {
    const [most, dims] = table.shape as [number, number]
    const rows = like.shape.at(-2)!
    if (rows > most) throw new RangeError(`A table of ${most} rows has no first ${rows}.`)
    return rows === most ? table : this.#tf.slice(table, [0, 0], [rows, dims])
  }

  sum(a: Tensor, axis: number): Tensor {
    return this.#tf.sum(a, axis, true)
  }

  dropout(a: Tensor, rate: number, site: string): Tensor {
    if (this.#maskOf === undefined || rate === 0) return a
    return this.#tf.mul(a, this.#maskOf(site, rate, a.shape))
  }
}
