/** Nodes that operations and their gradients are put together from. Values are given and returned by name. */
import type { GraphValue } from './graph-gradients.ts'
import { GraphBuilder } from './onnx-writer.ts'

/** By its name, or a number that stands for all elements. */
type Operand = string | number

export class TensorGraph extends GraphBuilder {
  plus(a: Operand, b: Operand): string {
    return this.#elementwise('Add', a, b)
  }

  minus(a: Operand, b: Operand): string {
    return this.#elementwise('Sub', a, b)
  }

  times(a: Operand, b: Operand): string {
    return this.#elementwise('Mul', a, b)
  }

  over(a: Operand, b: Operand): string {
    return this.#elementwise('Div', a, b)
  }

  /** Over the last axis, which stays as 1. */
  rowSums(a: string): string {
    return this.node('ReduceSum', [a, this.ints([-1])])
  }

  /** The gradient of what `value` was repeated to, along `axes`. [whole] */
  summedTo(g: string, axes: readonly number[], value: GraphValue): string {
    if (axes.length === 0) return g
    const sums = this.node('ReduceSum', [g, this.ints(axes)], { keepdims: 0 })
    return value.shape.includes(1) ? this.reshapedTo(sums, value) : sums
  }

  /** Rows and columns change places. */
  turned({ name, shape }: GraphValue): string {
    const order = shape.map((_, axis) => axis)
    const last = order.length - 1
    return this.node('Transpose', [name], { perm: [...order.slice(0, -2), last, last - 1] })
  }

  reshapedTo(a: string, like: GraphValue): string {
    const named = like.shape.filter((size) => typeof size === 'string').length
    const shape =
      named === 1
        ? this.ints(like.shape.map((size) => (typeof size === 'number' ? size : -1)))
        : this.shapeAsValue(like)
    return this.node('Reshape', [a, shape])
  }

  /** As int64, (rank,). */
  shapeAsValue({ shape, name }: GraphValue): string {
    return shape.every((size) => typeof size === 'number') ? this.ints(shape) : this.node('Shape', [name])
  }

  /** Of each value the size of one axis, not counted from the end, as int64. */
  sizesAlong(values: readonly GraphValue[], axis: number): string {
    const sizes = values.map(({ shape }) => shape[axis]!)
    if (sizes.every((size) => typeof size === 'number')) return this.ints(sizes)
    const each = values.map(({ name }) => this.node('Shape', [name], { start: axis, end: axis + 1 }))
    return each.length === 1 ? each[0]! : this.node('Concat', each, { axis: 0 })
  }

  #elementwise(operator: string, ...operands: readonly Operand[]): string {
    return this.node(
      operator,
      operands.map((operand) => (typeof operand === 'number' ? this.scalar(operand) : operand)),
    )
  }
}
