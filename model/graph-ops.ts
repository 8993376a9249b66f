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
import { TensorGraph } from './graph-nodes.ts'
import { broadcastAxes, joinedShape, productShape, reshapedShape } from './graph-shapes.ts'
import type { Ops, Parameters, Shape } from './ops.ts'

/** A place where training drops values: the mask is an input of the same shape. */
export interface DropoutSite {
  readonly rate: number
  readonly shape: Shape
}

const LAYER_NORM_EPSILON = 1e-5
const UNIT_EPSILON = 1e-12

export class GraphOps implements Ops<GraphValue> {
  readonly #graph: TensorGraph
  readonly #parameters: Parameters
  readonly #training: boolean
  readonly #prefix: string
  readonly #used = new Map<string, GraphValue>()
  readonly #sites = new Map<string, DropoutSite>()
  readonly #tape: GradientTape

  /**
   * @param graph to write into, or the name of a new one.
   * @param prefix of the parameters' names in it: two models in one graph have two.
   */
  constructor(graph: string | TensorGraph, parameters: Parameters, mode: 'serving' | 'training', prefix = '') {
    this.#graph = typeof graph === 'string' ? new TensorGraph(graph) : graph
    this.#tape = new GradientTape(this.#graph)
    this.#parameters = parameters
    this.#training = mode === 'training'
    this.#prefix = prefix
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
    if (loss.shape.some((size) => size !== 1)) throw new RangeError(`The loss is [${loss.shape}], not one value.`)
    this.#graph.output('loss', this.#graph.node('Reshape', [loss.name, this.#graph.ints([])]), [])
    const gradients = this.#tape.gradientsOf(loss)
    const trained = [...this.#parameters].filter(([, { trained }]) => trained)
    const unreached = trained.filter(([name]) => !gradients.has(this.#placeOf(name))).map(([name]) => name)
    if (unreached.length > 0) throw new RangeError(`The loss does not reach the parameters ${unreached.join(', ')}.`)
    for (const [name, { shape }] of trained) {
      this.#graph.output(`grad.${name}`, gradients.get(this.#placeOf(name))!, shape)
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
    const place = this.#placeOf(name)
    if (this.#training) this.#graph.input(place, shape)
    else this.#graph.initializer(place, shape, values)
    const value = { name: place, shape, wanted: this.#training && trained }
    this.#used.set(name, value)
    return value
  }

  /** Of a parameter in the graph. */
  #placeOf(name: string): string {
    return `param.${this.#prefix}${name}`
  }

  /** Of stacks ∂a = g bᵀ, ∂b = aᵀ g. Of a stack and a matrix the same with all rows of a and of g as one matrix. */
  matMul(a: GraphValue, b: GraphValue): GraphValue {
    const graph = this.#graph
    const shape = productShape(a.shape, b.shape)
    const y = graph.node('MatMul', [a.name, b.name])
    if (b.shape.length > 2) {
      return this.#tape.record(y, shape, [a, b], (g) => [
        () => graph.node('MatMul', [g, graph.turned(b)]),
        () => graph.node('MatMul', [graph.turned(a), g]),
      ])
    }
    const isFlat = a.shape.length === 2
    const flat = (name: string) => (isFlat ? name : graph.node('Flatten', [name], { axis: -1 }))
    const stacked = (name: string) => (isFlat ? name : graph.reshapedTo(name, a))
    return this.#tape.record(y, shape, [a, b], (g) => [
      () => stacked(graph.node('Gemm', [flat(g), b.name], { transB: 1 })),
      () => graph.node('Gemm', [flat(a.name), flat(g)], { transA: 1 }),
    ])
  }

  /** ∂a = g, ∂b = g */
  add(a: GraphValue, b: GraphValue): GraphValue {
    const graph = this.#graph
    const axes = broadcastAxes(a.shape, b.shape)
    const y = graph.plus(a.name, b.name)
    return this.#tape.record(y, a.shape, [a, b], (g) => [() => g, () => graph.summedTo(g, axes, b)])
  }

  /** ∂a = g ∘ b, ∂b = g ∘ a */
  multiply(a: GraphValue, b: GraphValue): GraphValue {
    const graph = this.#graph
    const axes = broadcastAxes(a.shape, b.shape)
    const y = graph.times(a.name, b.name)
    return this.#tape.record(y, a.shape, [a, b], (g) => [
      () => graph.times(g, b.name),
      () => graph.summedTo(graph.times(g, a.name), axes, b),
    ])
  }

  /** ∂a = g / b, ∂b = −(g / b) ∘ y */
  divide(a: GraphValue, b: GraphValue): GraphValue {
    const graph = this.#graph
    const axes = broadcastAxes(a.shape, b.shape)
    const y = graph.over(a.name, b.name)
    return this.#tape.record(y, a.shape, [a, b], (g) => {
      const quotient = graph.over(g, b.name)
      return [() => quotient, () => graph.times(graph.summedTo(graph.times(quotient, y), axes, b), -1)]
    })
  }

  /** ∂a = factor · g */
  affine(a: GraphValue, factor: number, offset = 0): GraphValue {
    if (factor === 1 && offset === 0) return a
    const graph = this.#graph
    const scaled = (name: string) => (factor === 1 ? name : graph.times(name, factor))
    const y = offset === 0 ? scaled(a.name) : graph.plus(scaled(a.name), offset)
    return this.#tape.record(y, a.shape, [a], (g) => [() => scaled(g)])
  }

  /** ∂a = g ∘ y */
  exp(a: GraphValue): GraphValue {
    const y = this.#graph.node('Exp', [a.name])
    return this.#tape.record(y, a.shape, [a], (g) => [() => this.#graph.times(g, y)])
  }

  /** With u = a/√2: Φ(a) = (1 + erf u)/2, ∂a = g ∘ (Φ(a) + a ∘ exp(−u²)/√2π) = g ∘ (Φ(a) + u ∘ exp(−ln√π − u²)) */
  gelu(a: GraphValue): GraphValue {
    const graph = this.#graph
    const u = graph.times(a.name, Math.SQRT1_2)
    const chance = graph.times(graph.plus(graph.node('Erf', [u]), 1), 0.5)
    const y = graph.times(a.name, chance)
    return this.#tape.record(y, a.shape, [a], (g) => [
      () => {
        const exponent = graph.minus(-Math.log(Math.PI) / 2, graph.times(u, u))
        return graph.times(g, graph.plus(chance, graph.times(u, graph.node('Exp', [exponent]))))
      },
    ])
  }

  /** ∂a = y ∘ (g − Σ g ∘ y) */
  softmax(a: GraphValue): GraphValue {
    const graph = this.#graph
    const y = graph.node('Softmax', [a.name], { axis: -1 })
    return this.#tape.record(y, a.shape, [a], (g) => [
      () => graph.times(y, graph.minus(g, graph.rowSums(graph.times(g, y)))),
    ])
  }

  /** ∂a = g − exp(y) ∘ Σ g */
  logSoftmax(a: GraphValue): GraphValue {
    const graph = this.#graph
    const y = graph.node('LogSoftmax', [a.name], { axis: -1 })
    return this.#tape.record(y, a.shape, [a], (g) => [
      () => graph.minus(g, graph.times(graph.node('Exp', [y]), graph.rowSums(g))),
    ])
  }

  /**
   * With x̂ = (a − mean)/deviation: y = x̂ ∘ gain + offset; ∂gain = g ∘ x̂ and ∂offset = g, summed to (dims,);
   * ∂a = (g ∘ gain − level − x̂ ∘ tilt)/deviation, level = Σ g ∘ gain/dims, tilt = Σ g ∘ x̂ ∘ gain/dims.
   * These two are products with gain/dims as a column, (…, dims) · (dims, 1).
   */
  layerNorm(a: GraphValue, gain: GraphValue, offset: GraphValue): GraphValue {
    const graph = this.#graph
    const dims = a.shape.at(-1)
    if (typeof dims !== 'number') throw new RangeError(`The last axis of [${a.shape}] must be known to be normalised.`)
    const axes = broadcastAxes(a.shape, gain.shape)
    const attributes = { axis: -1, epsilon: { float: LAYER_NORM_EPSILON } }
    const outputs = this.#training ? 3 : 1 // mean and 1/deviation, (…, 1), are for the gradient
    const results = graph.nodeWithOutputs('LayerNormalization', [a.name, gain.name, offset.name], outputs, attributes)
    const [y, mean, perDeviation] = results as [string, string, string]
    return this.#tape.record(y, a.shape, [a, gain, offset], (g) => {
      const standard = graph.times(graph.minus(a.name, mean), perDeviation)
      const turned = graph.times(g, standard)
      return [
        () => {
          const column = graph.node('Reshape', [graph.over(gain.name, dims), graph.ints([dims, 1])])
          const level = graph.node('MatMul', [g, column])
          const tilt = graph.node('MatMul', [turned, column])
          const rest = graph.minus(graph.minus(graph.times(g, gain.name), level), graph.times(standard, tilt))
          return graph.times(rest, perDeviation)
        },
        () => graph.summedTo(turned, axes, gain),
        () => graph.summedTo(g, axes, offset),
      ]
    })
  }

  /** With l = √(Σ a² + ε): y = a / l, ∂a = (g − y ∘ Σ g ∘ y) / l */
  normalise(a: GraphValue): GraphValue {
    const graph = this.#graph
    const squares = graph.node('ReduceSumSquare', [a.name], { axes: [-1], keepdims: 1 })
    const length = graph.node('Sqrt', [graph.plus(squares, UNIT_EPSILON)])
    const y = graph.over(a.name, length)
    return this.#tape.record(y, a.shape, [a], (g) => [
      () => graph.over(graph.minus(g, graph.times(y, graph.rowSums(graph.times(g, y)))), length),
    ])
  }

  /** ∂a = g with its axes in the order of a's. */
  transpose(a: GraphValue, order: readonly number[]): GraphValue {
    const back = order.map((_, axis) => order.indexOf(axis))
    if (order.length !== a.shape.length || back.includes(-1)) {
      throw new RangeError(`[${order}] is no order of the axes of [${a.shape}].`)
    }
    const shape = order.map((axis) => a.shape[axis]!)
    const y = this.#graph.node('Transpose', [a.name], { perm: order })
    return this.#tape.record(y, shape, [a], (g) => [() => this.#graph.node('Transpose', [g], { perm: back })])
  }

  /** ∂a = g in a's shape. */
  reshape(a: GraphValue, shape: readonly number[]): GraphValue {
    const y = this.#graph.node('Reshape', [a.name, this.#graph.ints(shape)])
    return this.#tape.record(y, reshapedShape(a.shape, shape), [a], (g) => [() => this.#graph.reshapedTo(g, a)])
  }

  /** The gradient of each part is its own part of g. */
  concat(parts: readonly GraphValue[], axis: number): GraphValue {
    const graph = this.#graph
    const shape = joinedShape(
      parts.map((part) => part.shape),
      axis,
    )
    const names = parts.map(({ name }) => name)
    return this.#tape.record(graph.node('Concat', names, { axis }), shape, parts, (g) => {
      const sizes = graph.sizesAlong(parts, axis)
      return graph.nodeWithOutputs('Split', [g, sizes], parts.length, { axis }).map((part) => () => part)
    })
  }

  /** ∂table = g above rows of zeros. */
  firstRows(table: GraphValue, like: GraphValue): GraphValue {
    const graph = this.#graph
    const [most, dims] = table.shape
    const rows = like.shape.at(-2)
    if (typeof most !== 'number' || dims === undefined || rows === undefined) {
      throw new RangeError(`[${table.shape}] is no table with rows for [${like.shape}].`)
    }
    if (rows === most) return table
    if (typeof rows === 'number' && rows > most) throw new RangeError(`A table of ${most} rows has no first ${rows}.`)
    const zero = graph.ints([0])
    const count = graph.sizesAlong([like], like.shape.length - 2)
    const y = graph.node('Slice', [table.name, zero, count, zero])
    return this.#tape.record(y, [rows, dims], [table], (g) => [
      () => {
        const after = graph.node('Concat', [graph.minus(graph.ints([most]), count), zero], { axis: 0 })
        return graph.node('Pad', [g, graph.node('Concat', [graph.ints([0, 0]), after], { axis: 0 })])
      },
    ])
  }

  /** ∂a = g, repeated. */
  sum(a: GraphValue, axis: number): GraphValue {
    const graph = this.#graph
    const y = graph.node('ReduceSum', [a.name, graph.ints([axis])])
    return this.#tape.record(y, a.shape.with(axis, 1), [a], (g) => [
      () => graph.node('Expand', [g, graph.shapeAsValue(a)]),
    ])
  }

  /** y = a ∘ mask, whose values are 0 and 1/(1 − rate); ∂a = g ∘ mask */
  dropout(a: GraphValue, rate: number, site: string): GraphValue {
    if (!this.#training || rate === 0) return a
    const mask = this.input(`mask.${site}`, a.shape)
    this.#sites.set(site, { rate, shape: a.shape })
    return this.multiply(a, mask)
  }
}
