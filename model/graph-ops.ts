/**
 * The operations of a model as an ONNX graph, each beside its gradient.
 *
 *     serving:   inputs ──▶ outputs                                  parameters inside, dropout is the identity
 *     training:  inputs, param.<name>, mask.<site> ──▶ loss, grad.<name> for every trained parameter
 *
 *     const ops = new GraphOps('towers', parameters, 'training')
 *     const x = ops.input('x', ['batch', 4])
 *     ops.backward(loss(ops, x))
 *     const bytes = ops.toModel()
 *
 * In comments g is ∂loss/∂y of an operation's result y, and so is what ∂a stands for; ∘ multiplies by element, Σ sums
 * over the last axis, which stays as 1. Gradients of broadcast operands are summed to their shapes (graph-gradients.ts).
 */
import { GradientTape, type GraphValue } from './graph-gradients.ts'
import { broadcastAxes, joinedDimension, reshapedShape } from './graph-shapes.ts'
import { type Attributes, GraphBuilder } from './onnx-writer.ts'
import type { Ops, Parameters, Shape } from './ops.ts'

/** A place where training drops values: the mask is an input of the same shape. */
export interface DropoutSite {
  readonly rate: number
  readonly shape: Shape
}

const LAYER_NORM_EPSILON = 1e-5
const UNIT_EPSILON = 1e-12

export class GraphOps implements Ops<GraphValue> {
  readonly #graph: GraphBuilder
  readonly #parameters: Parameters
  readonly #training: boolean
  readonly #used = new Map<string, GraphValue>()
  readonly #sites = new Map<string, DropoutSite>()
  readonly #tape: GradientTape

  constructor(name: string, parameters: Parameters, mode: 'serving' | 'training') {
    this.#graph = new GraphBuilder(name)
    this.#tape = new GradientTape(this.#graph)
    this.#parameters = parameters
    this.#training = mode === 'training'
  }

  /** Where dropout takes masks, by site. */
  get dropoutSites(): ReadonlyMap<string, DropoutSite> {
    return this.#sites
  }

  /** A value that the caller feeds. */
  input(name: string, shape: Shape): GraphValue {
    return { name: this.#graph.input(name, shape), shape, wanted: false }
  }

  output(name: string, value: GraphValue): void {
    this.#graph.output(name, value.name, value.shape)
  }

  toModel(metadata: Readonly<Record<string, string>> = {}): Uint8Array {
    return this.#graph.toModel({ metadata })
  }

  /**
   * Writes the outputs `loss` and `grad.<name>`.
   * @param loss of one element.
   * @throws RangeError naming the trained parameters that the loss does not reach.
   */
  backward(loss: GraphValue): void {
    if (loss.shape.some((size) => size !== 1))
      throw new RangeError(`The loss has the shape [${loss.shape}], not one value.`)
    this.#graph.output('loss', this.#node('Reshape', [loss.name, this.#graph.ints([])]), [])
    const gradients = this.#tape.gradientsOf(loss)
    const trained = [...this.#parameters].filter(([, { trained }]) => trained)
    const unreached = trained.filter(([name]) => !gradients.has(`param.${name}`)).map(([name]) => name)
    if (unreached.length > 0) throw new RangeError(`The loss does not reach the parameters ${unreached.join(', ')}.`)
    for (const [name, { shape }] of trained) {
      this.#graph.output(`grad.${name}`, gradients.get(`param.${name}`)!, shape)
    }
  }

  shapeOf(x: GraphValue): Shape {
    return x.shape
  }

  parameter(name: string): GraphValue {
    const known = this.#used.get(name)
    if (known !== undefined) return known
    const parameter = this.#parameters.get(name)
    if (parameter === undefined) throw new RangeError(`There is no parameter "${name}".`)
    const { shape, values, trained } = parameter
    if (this.#training) this.#graph.input(`param.${name}`, shape)
    else this.#graph.initializer(`param.${name}`, shape, values)
    const value = { name: `param.${name}`, shape, wanted: this.#training && trained }
    this.#used.set(name, value)
    return value
  }

  matMul(a: GraphValue, b: GraphValue): GraphValue {
    const stack = b.shape.length > 2
    const [rows, inner] = [a.shape.at(-2), a.shape.at(-1)]
    const [innerOfB, columns] = [b.shape.at(-2), b.shape.at(-1)]
    const fits = stack
      ? a.shape.length === b.shape.length && b.shape.slice(0, -2).every((size, axis) => size === a.shape[axis])
      : b.shape.length === 2
    if (rows === undefined || columns === undefined || inner !== innerOfB || !fits) {
      throw new RangeError(`[${a.shape}] and [${b.shape}] cannot be multiplied as matrices.`)
    }
    const shape = [...a.shape.slice(0, -1), columns]
    const y = this.#node('MatMul', [a.name, b.name])
    if (stack) {
      // ∂a = g bᵀ, ∂b = aᵀ g
      return this.#tape.record(y, shape, [a, b], (g) => [
        () => this.#node('MatMul', [g, this.#turned(b)]),
        () => this.#node('MatMul', [this.#turned(a), g]),
      ])
    }
    // The same with all rows of a and g, (…·n, k) and (…·n, m), at once.
    const isFlat = a.shape.length === 2
    const flat = (name: string) => (isFlat ? name : this.#node('Flatten', [name], { axis: -1 }))
    const stacked = (name: string) => (isFlat ? name : this.#reshapedTo(name, a))
    return this.#tape.record(y, shape, [a, b], (g) => [
      () => stacked(this.#node('Gemm', [flat(g), b.name], { transB: 1 })),
      () => this.#node('Gemm', [flat(a.name), flat(g)], { transA: 1 }),
    ])
  }

  /** ∂a = g, ∂b = g [whole] */
  add(a: GraphValue, b: GraphValue): GraphValue {
    const axes = broadcastAxes(a.shape, b.shape)
    const y = this.#node('Add', [a.name, b.name])
    return this.#tape.record(y, a.shape, [a, b], (g) => [() => g, () => this.#summedTo(g, axes, b)])
  }

  /** ∂a = g ∘ b, ∂b = g ∘ a [whole] */
  multiply(a: GraphValue, b: GraphValue): GraphValue {
    const axes = broadcastAxes(a.shape, b.shape)
    const y = this.#node('Mul', [a.name, b.name])
    return this.#tape.record(y, a.shape, [a, b], (g) => [
      () => this.#node('Mul', [g, b.name]),
      () => this.#summedTo(this.#node('Mul', [g, a.name]), axes, b),
    ])
  }

  /** ∂a = g / b, ∂b = −(g / b) ∘ y [whole] */
  divide(a: GraphValue, b: GraphValue): GraphValue {
    const axes = broadcastAxes(a.shape, b.shape)
    const y = this.#node('Div', [a.name, b.name])
    return this.#tape.record(y, a.shape, [a, b], (g) => {
      const quotient = this.#node('Div', [g, b.name])
      return [() => quotient, () => this.#node('Neg', [this.#summedTo(this.#node('Mul', [quotient, y]), axes, b)])]
    })
  }

  /** ∂a = factor · g */
  affine(a: GraphValue, factor: number, offset = 0): GraphValue {
    if (factor === 1 && offset === 0) return a
    const scaled = this.#scaled(a.name, factor)
    const y = offset === 0 ? scaled : this.#node('Add', [scaled, this.#graph.scalar(offset)])
    return this.#tape.record(y, a.shape, [a], (g) => [() => this.#scaled(g, factor)])
  }

  /** ∂a = g ∘ y */
  exp(a: GraphValue): GraphValue {
    const y = this.#node('Exp', [a.name])
    return this.#tape.record(y, a.shape, [a], (g) => [() => this.#node('Mul', [g, y])])
  }

  /** With u = a/√2: Φ(a) = (1 + erf u)/2, ∂a = g ∘ (Φ(a) + a ∘ exp(−u²)/√2π) = g ∘ (Φ(a) + u ∘ exp(−ln√π − u²)) */
  gelu(a: GraphValue): GraphValue {
    const u = this.#scaled(a.name, Math.SQRT1_2)
    const twice = this.#node('Add', [this.#node('Erf', [u]), this.#graph.scalar(1)])
    const chance = this.#scaled(twice, 0.5)
    const y = this.#node('Mul', [a.name, chance])
    return this.#tape.record(y, a.shape, [a], (g) => [
      () => {
        const exponent = this.#node('Sub', [this.#graph.scalar(-Math.log(Math.PI) / 2), this.#node('Mul', [u, u])])
        const slope = this.#node('Add', [chance, this.#node('Mul', [u, this.#node('Exp', [exponent])])])
        return this.#node('Mul', [g, slope])
      },
    ])
  }

  /** ∂a = y ∘ (g − Σ g ∘ y) */
  softmax(a: GraphValue): GraphValue {
    const y = this.#node('Softmax', [a.name], { axis: -1 })
    return this.#tape.record(y, a.shape, [a], (g) => [
      () => this.#node('Mul', [y, this.#node('Sub', [g, this.#rowSums(this.#node('Mul', [g, y]))])]),
    ])
  }

  /** ∂a = g − exp(y) ∘ Σ g */
  logSoftmax(a: GraphValue): GraphValue {
    const y = this.#node('LogSoftmax', [a.name], { axis: -1 })
    return this.#tape.record(y, a.shape, [a], (g) => [
      () => this.#node('Sub', [g, this.#node('Mul', [this.#node('Exp', [y]), this.#rowSums(g)])]),
    ])
  }

  /**
   * With x̂ = (a − mean)/deviation: y = x̂ ∘ gain + offset;
   * ∂gain = g ∘ x̂ and ∂offset = g, summed to (dims,); ∂a = (g ∘ gain − Σ g ∘ gain/dims − x̂ ∘ Σ g ∘ x̂ ∘ gain/dims)/deviation,
   * where Σ … ∘ gain is a product with gain as a column, (…, dims) · (dims, 1).
   */
  layerNorm(a: GraphValue, gain: GraphValue, offset: GraphValue): GraphValue {
    const dims = a.shape.at(-1)
    if (typeof dims !== 'number') throw new RangeError(`The last axis of [${a.shape}] must be known to be normalised.`)
    const attributes = { axis: -1, epsilon: { float: LAYER_NORM_EPSILON } }
    const operands = [a.name, gain.name, offset.name]
    if (!this.#training) {
      return this.#tape.record(this.#node('LayerNormalization', operands, attributes), a.shape, [], () => [])
    }
    const outputs = this.#graph.nodeWithOutputs('LayerNormalization', operands, 3, attributes)
    const [y, mean, perDeviation] = outputs as [string, string, string] // mean and 1/deviation are (…, 1)
    const axes = broadcastAxes(a.shape, gain.shape)
    return this.#tape.record(y, a.shape, [a, gain, offset], (g) => {
      const standard = this.#node('Mul', [this.#node('Sub', [a.name, mean]), perDeviation])
      const turned = this.#node('Mul', [g, standard])
      return [
        () => {
          const column = this.#node('Reshape', [this.#scaled(gain.name, 1 / dims), this.#graph.ints([dims, 1])])
          const level = this.#node('MatMul', [g, column])
          const tilt = this.#node('Mul', [standard, this.#node('MatMul', [turned, column])])
          const rest = this.#node('Sub', [this.#node('Sub', [this.#node('Mul', [g, gain.name]), level]), tilt])
          return this.#node('Mul', [rest, perDeviation])
        },
        () => this.#summedTo(turned, axes, gain),
        () => this.#summedTo(g, axes, offset),
      ]
    })
  }

  /** With r = 1/√(Σ a² + ε): y = r ∘ a, ∂a = r ∘ (g − y ∘ Σ g ∘ y) */
  normalise(a: GraphValue): GraphValue {
    const squared = this.#node('ReduceSumSquare', [a.name], { axes: [-1], keepdims: 1 })
    const length = this.#node('Sqrt', [this.#node('Add', [squared, this.#graph.scalar(UNIT_EPSILON)])])
    const y = this.#node('Div', [a.name, length])
    return this.#tape.record(y, a.shape, [a], (g) => [
      () => {
        const along = this.#rowSums(this.#node('Mul', [g, y]))
        return this.#node('Div', [this.#node('Sub', [g, this.#node('Mul', [y, along])]), length])
      },
    ])
  }

  transpose(a: GraphValue, order: readonly number[]): GraphValue {
    const back = order.map((_, axis) => order.indexOf(axis))
    if (order.length !== a.shape.length || back.includes(-1)) {
      throw new RangeError(`[${order}] is no order of the axes of [${a.shape}].`)
    }
    const shape = order.map((axis) => a.shape[axis]!)
    const y = this.#node('Transpose', [a.name], { perm: order })
    return this.#tape.record(y, shape, [a], (g) => [() => this.#node('Transpose', [g], { perm: back })])
  }

  reshape(a: GraphValue, shape: readonly number[]): GraphValue {
    const y = this.#node('Reshape', [a.name, this.#graph.ints(shape)])
    return this.#tape.record(y, reshapedShape(a.shape, shape), [a], (g) => [() => this.#reshapedTo(g, a)])
  }

  /** The gradient of each part is its own part of g. */
  concat(parts: readonly GraphValue[], axis: number): GraphValue {
    const along = parts.map(({ shape }) => shape[axis]!)
    const shape = parts[0]!.shape.with(axis, joinedDimension(along))
    const y = this.#node(
      'Concat',
      parts.map(({ name }) => name),
      { axis },
    )
    return this.#tape.record(y, shape, parts, (g) => {
      const sizes = along.every((size) => typeof size === 'number')
        ? this.#graph.ints(along)
        : this.#node(
            'Concat',
            parts.map((part) => this.#sizeOf(part, axis)),
            { axis: 0 },
          )
      const split = this.#graph.nodeWithOutputs('Split', [g, sizes], parts.length, { axis })
      return split.map((part) => () => part)
    })
  }

  /** ∂table = g above rows of zeros. */
  firstRows(table: GraphValue, like: GraphValue): GraphValue {
    const [most, dims] = table.shape
    const rows = like.shape.at(-2)
    if (typeof most !== 'number' || dims === undefined || rows === undefined) {
      throw new RangeError(`[${table.shape}] is no table with rows for [${like.shape}].`)
    }
    if (rows === most) return table
    if (typeof rows === 'number' && rows > most) throw new RangeError(`A table of ${most} rows has no first ${rows}.`)
    const zero = this.#graph.ints([0])
    const count = this.#sizeOf(like, like.shape.length - 2)
    const y = this.#node('Slice', [table.name, zero, count, zero])
    return this.#tape.record(y, [rows, dims], [table], (g) => [
      () => {
        const missing = this.#node('Sub', [this.#graph.ints([most]), count])
        const before = this.#graph.ints([0, 0])
        return this.#node('Pad', [g, this.#node('Concat', [before, missing, zero], { axis: 0 })])
      },
    ])
  }

  /** ∂a = g, repeated. */
  sum(a: GraphValue, axis: number): GraphValue {
    const y = this.#node('ReduceSum', [a.name, this.#graph.ints([axis])])
    return this.#tape.record(y, a.shape.with(axis, 1), [a], (g) => [
      () => this.#node('Expand', [g, this.#shapeAsValue(a)]),
    ])
  }

  /** y = a ∘ mask, whose values are 0 and 1/(1 − rate); ∂a = g ∘ mask */
  dropout(a: GraphValue, rate: number, site: string): GraphValue {
    if (!this.#training || rate === 0) return a
    const mask = this.input(`mask.${site}`, a.shape)
    this.#sites.set(site, { rate, shape: a.shape })
    return this.multiply(a, mask)
  }

  #node(operator: string, inputs: readonly string[], attributes?: Attributes): string {
    return this.#graph.node(operator, inputs, attributes)
  }

  #scaled(a: string, factor: number): string {
    return factor === 1 ? a : this.#node('Mul', [a, this.#graph.scalar(factor)])
  }

  /** Over the last axis, which stays as 1. */
  #rowSums(a: string): string {
    return this.#node('ReduceSum', [a, this.#graph.ints([-1])])
  }

  /** The gradient of what `value` was repeated to, along `axes`. [whole] */
  #summedTo(g: string, axes: readonly number[], value: GraphValue): string {
    if (axes.length === 0) return g
    const sums = this.#node('ReduceSum', [g, this.#graph.ints(axes)], { keepdims: 0 })
    return value.shape.includes(1) ? this.#reshapedTo(sums, value) : sums
  }

  /** Rows and columns change places. */
  #turned({ name, shape }: GraphValue): string {
    const order = shape.map((_, axis) => axis)
    const last = order.length - 1
    return this.#node('Transpose', [name], { perm: [...order.slice(0, -2), last, last - 1] })
  }

  #reshapedTo(a: string, like: GraphValue): string {
    const named = like.shape.filter((size) => typeof size === 'string').length
    const shape =
      named === 1
        ? this.#graph.ints(like.shape.map((size) => (typeof size === 'number' ? size : -1)))
        : this.#shapeAsValue(like)
    return this.#node('Reshape', [a, shape])
  }

  /** As int64, (rank,). */
  #shapeAsValue({ shape, name }: GraphValue): string {
    return shape.every((size) => typeof size === 'number') ? this.#graph.ints(shape) : this.#node('Shape', [name])
  }

  /** A dimension as int64, (1,). */
  #sizeOf({ shape, name }: GraphValue, axis: number): string {
    const size = shape[axis]
    return typeof size === 'number'
      ? this.#graph.ints([size])
      : this.#node('Shape', [name], { start: axis, end: axis + 1 })
  }
}
