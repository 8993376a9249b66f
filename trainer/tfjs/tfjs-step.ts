/**
 * One training step by TensorFlow.js: loss and gradients of what is written over TfjsOps.
 *
 * Invariants:
 *   [constant]  a step leaves as many tensors as it found. TensorFlow.js frees nothing by itself, and a run that keeps one
 *               tensor a step ends out of memory after hours (tensorflow/tfjs#5007, #8312); so it is counted each time.
 */
import type { Parameters } from '../../model/ops.ts'
import { SetupError } from '../../ports/errors.ts'
import type { StepResult, Values } from '../step-backend.ts'
import { type MaskOf, type Tensor, type Tf, TfjsOps } from './tfjs-ops.ts'

export interface TfjsStep {
  readonly parameters: Parameters
  readonly inputs: ReadonlyMap<string, Values>
  /** Masks by dropout site; none fall out if absent. */
  mask?(site: string, rate: number, count: number): Float32Array
  /** One value. @param input gives what is fed, by name. */
  loss(ops: TfjsOps, input: (name: string) => Tensor): Tensor
}

/** @throws SetupError 'tensor-leak'. [constant] */
export async function tfjsStep(tf: Tf, step: TfjsStep): Promise<StepResult> {
  const before = tf.memory().numTensors
  const names = [...step.parameters].filter(([, { trained }]) => trained).map(([name]) => name)
  const tensors = tf.tidy(() => valueAndGradients(tf, step, names))
  const read = await Promise.all(tensors.map((tensor) => tensor.data()))
  tf.dispose(tensors)
  const left = tf.memory().numTensors - before
  if (left !== 0) {
    throw new SetupError(
      'tensor-leak',
      `A training step left ${left} tensors behind: the run would end out of memory. Something was made outside tf.tidy; keep no tensors in the loss.`,
    )
  }
  const [loss, ...gradients] = read as Float32Array[]
  return { loss: loss![0]!, gradients: new Map(names.map((name, i) => [name, gradients[i]!])) }
}

/** @returns the loss, then the gradient of each of `names`. */
function valueAndGradients(tf: Tf, step: TfjsStep, names: readonly string[]): Tensor[] {
  const { inputs, mask, loss } = step
  const tensorOf = ({ values, shape }: Values) => tf.tensor(values, [...shape], 'float32')
  const parameters = new Map([...step.parameters].map(([name, parameter]) => [name, tensorOf(parameter)]))
  const maskOf: MaskOf | undefined =
    mask && ((site, rate, shape) => tensorOf({ shape, values: mask(site, rate, sizeOf(shape)) }))
  const ops = new TfjsOps(tf, parameters, maskOf)
  const input = (name: string) => tensorOf(inputs.get(name)!)
  const lossOfTrained = () => tf.sum(loss(ops, input))
  const { value, grads } = tf.valueAndGrads(lossOfTrained)(names.map((name) => parameters.get(name)!))
  return [value, ...grads]
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1)
