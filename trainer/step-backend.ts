/** What carries out a training step; the optimiser is elsewhere (adamw.ts), so that backends can be compared step by step. */
import type { Parameters } from '../model/ops.ts'
import type { VimlConfig } from '../model/viml.ts'

export interface Values {
  readonly shape: readonly number[]
  /** Row-major. */
  readonly values: Float32Array
}

/** What is trained, and with which loss. */
export interface StepModel {
  readonly config: VimlConfig
  readonly temperature: number | 'learned'
  /** Of the dropout masks. */
  readonly seed: number
}

export interface StepResult {
  readonly loss: number
  /** By trained parameter; of its shape. */
  readonly gradients: Map<string, Float32Array>
}

export interface StepBackend {
  readonly name: string
  /**
   * Loss and gradients of one batch; nothing is changed. The same arguments give the same masks on every backend.
   * @param inputs those of trainingInputs (batches.ts); what the model does not ask for is passed by.
   * @param step from 0: which masks are drawn.
   */
  step(inputs: ReadonlyMap<string, Values>, parameters: Parameters, step: number): Promise<StepResult>
  /** It cannot be used afterwards. */
  dispose(): Promise<void>
}
