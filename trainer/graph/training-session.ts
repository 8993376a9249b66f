/**
 * Runs the graphs of model/graph-ops.ts with onnxruntime: a training step (loss and gradients; the optimiser is
 * elsewhere), and an evaluation.
 *
 * Invariants:
 *   [checked]  what is fed has exactly the names and shapes that the graph asks for; a named dimension has one size
 */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { boundShape } from '../../model/graph-shapes.ts'
import type { Parameters } from '../../model/ops.ts'
import { ShapeError } from '../../ports/errors.ts'
import type { StepResult, Values } from '../step-backend.ts'

export interface StepInputs {
  readonly inputs: ReadonlyMap<string, Values>
  readonly parameters: Parameters
  /** By dropout site. */
  readonly masks: ReadonlyMap<string, Values>
}

export interface SessionOptions {
  /** Threads inside an operation. */
  readonly threads: number
}

const GRADIENT = 'grad.'

export class TrainingSession {
  readonly #session: EvaluationSession

  private constructor(session: EvaluationSession) {
    this.#session = session
  }

  /** @param bytes of a graph that GraphOps made for training. */
  static async open(bytes: Uint8Array, options: SessionOptions): Promise<TrainingSession> {
    return new TrainingSession(await evaluationSession(bytes, options))
  }

  /** @throws ShapeError for a value that is missing, unknown or of another shape. */
  async step({ inputs, parameters, masks }: StepInputs): Promise<StepResult> {
    const feeds = new Map<string, Values>(inputs)
    for (const [name, parameter] of parameters) feeds.set(`param.${name}`, parameter)
    for (const [site, mask] of masks) feeds.set(`mask.${site}`, mask)
    const outputs = await this.#session.run(feeds)
    const gradients = new Map<string, Float32Array>()
    for (const [name, { values }] of outputs) {
      if (name.startsWith(GRADIENT)) gradients.set(name.slice(GRADIENT.length), values)
    }
    return { loss: outputs.get('loss')!.values[0]!, gradients }
  }

  /** Frees the graph; the session cannot be used afterwards. */
  async dispose(): Promise<void> {
    await this.#session.dispose()
  }
}

/** @param bytes of a graph of float32 inputs and outputs, such as one that GraphOps made for serving. */
export async function evaluationSession(bytes: Uint8Array, { threads }: SessionOptions): Promise<EvaluationSession> {
  const session = await InferenceSession.create(bytes, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  })
  return new EvaluationSession(session)
}

export class EvaluationSession {
  readonly #session: InferenceSession
  readonly #shapes: ReadonlyMap<string, readonly (number | string)[]>

  constructor(session: InferenceSession) {
    this.#session = session
    this.#shapes = new Map(
      session.inputMetadata.filter((input) => input.isTensor).map(({ name, shape }) => [name, shape]),
    )
  }

  /** @returns the outputs by name, all if none are named: what others alone need is not computed. @throws ShapeError for a value that is missing, unknown or of another shape. */
  async run(inputs: ReadonlyMap<string, Values>, outputs?: readonly string[]): Promise<Map<string, Values>> {
    this.#check(inputs)
    const feeds: Record<string, Tensor> = {}
    for (const [name, { values, shape }] of inputs) feeds[name] = new Tensor('float32', values, shape)
    const results = await this.#session.run(feeds, outputs ?? this.#session.outputNames)
    return new Map(
      Object.entries(results).map(([name, { data, dims }]) => [name, { values: data as Float32Array, shape: dims }]),
    )
  }

  async dispose(): Promise<void> {
    await this.#session.release()
  }

  /** [checked] */
  #check(inputs: ReadonlyMap<string, Values>): void {
    for (const name of inputs.keys()) {
      if (!this.#shapes.has(name)) throw new ShapeError(`The graph has no input "${name}".`)
    }
    const sizes = new Map<string, number>()
    for (const [name, expected] of this.#shapes) {
      const shape = inputs.get(name)?.shape ?? []
      expected.forEach((dimension, axis) => {
        const size = shape[axis]
        if (typeof dimension === 'number' || dimension.includes('*') || size === undefined) return
        if (!sizes.has(dimension)) sizes.set(dimension, size)
      })
    }
    for (const [name, expected] of this.#shapes) {
      const value = inputs.get(name)
      if (value === undefined) throw new ShapeError(`The graph needs the input "${name}".`)
      const { shape, values } = value
      const wanted = boundShape(expected, sizes)
      const count = shape.reduce((product, size) => product * size, 1)
      if (shape.length !== wanted.length || shape.some((size, axis) => size !== wanted[axis])) {
        throw new ShapeError(
          `"${name}" has the shape [${shape}], where the graph takes [${expected}], here [${wanted}].`,
        )
      }
      if (values.length !== count) {
        throw new ShapeError(`"${name}" has ${values.length} values, where [${shape}] has ${count}.`)
      }
    }
  }
}
