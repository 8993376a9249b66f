/**
 * Reverse-mode differentiation of a graph (Griewank & Walther 2008, §3.2): what is applied to a descendant of a trained
 * parameter is noted on a tape, and read from its end; each value's gradient is the sum over its uses.
 *
 * Invariants:
 *   [whole]   a gradient has the shape of its value: what was broadcast is summed over the axes it was repeated along
 *   [wanted]  nothing is written for the gradient of what depends on no trained parameter
 */
import type { GraphBuilder } from './onnx-writer.ts'
import type { Shape } from './ops.ts'

export interface GraphValue {
  /** In the graph. */
  readonly name: string
  readonly shape: Shape
  /** Whether it depends on a trained parameter. [wanted] */
  readonly wanted: boolean
}

/**
 * @param g name of the gradient of the result, of its shape.
 * @returns for each operand what writes its gradient and gives the name; called where it is wanted. [whole]
 */
export type Gradient = (g: string) => readonly (() => string)[]

export class GradientTape {
  readonly #graph: GraphBuilder
  readonly #operations: { result: GraphValue; operands: readonly GraphValue[]; gradient: Gradient }[] = []

  constructor(graph: GraphBuilder) {
    this.#graph = graph
  }

  /** @returns the operation's result, with its gradient noted where it is wanted. */
  record(name: string, shape: Shape, operands: readonly GraphValue[], gradient: Gradient): GraphValue {
    const result = { name, shape, wanted: operands.some(({ wanted }) => wanted) }
    if (result.wanted) this.#operations.push({ result, operands, gradient })
    return result
  }

  /**
   * Writes the gradients of `loss`, which has one element. The tape is spent.
   * @returns their names by the names of the values that it depends on.
   */
  gradientsOf(loss: GraphValue): ReadonlyMap<string, string> {
    const one = this.#graph.initializer(
      'gradient of the loss',
      loss.shape.map(() => 1),
      Float32Array.of(1),
    )
    const gradients = new Map([[loss.name, one]])
    for (const { result, operands, gradient } of this.#operations.splice(0).reverse()) {
      const g = gradients.get(result.name)
      if (g === undefined) continue // the loss does not depend on it
      const parts = gradient(g)
      operands.forEach((operand, index) => {
        if (!operand.wanted) return
        const part = parts[index]!()
        const sum = gradients.get(operand.name)
        gradients.set(operand.name, sum === undefined ? part : this.#graph.node('Add', [sum, part]))
      })
    }
    return gradients
  }
}
