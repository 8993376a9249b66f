/** Training steps by TensorFlow.js, with the dropout masks that the graph is given. */
import type { Parameters } from '../../model/ops.ts'
import { batchLoss } from '../batch-loss.ts'
import { dropoutMask } from '../dropout-masks.ts'
import type { StepBackend, StepModel, StepResult, Values } from '../step-backend.ts'
import type { Tf } from './tfjs-ops.ts'
import { tfjsStep } from './tfjs-step.ts'

export class TfjsBackend implements StepBackend {
  readonly name: string
  readonly #tf: Tf
  readonly #model: StepModel

  constructor(model: StepModel, { tf, name }: { tf: Tf; name: string }) {
    this.name = name
    this.#tf = tf
    this.#model = model
  }

  step(inputs: ReadonlyMap<string, Values>, parameters: Parameters, step: number): Promise<StepResult> {
    const draw = { seed: this.#model.seed, step }
    return tfjsStep(this.#tf, {
      parameters,
      inputs,
      mask: (site, rate, count) => dropoutMask(draw, site, rate, count),
      loss: (ops, input) => batchLoss(ops, this.#model, input),
    })
  }

  /** Nothing is kept between steps. */
  async dispose(): Promise<void> {}
}
