import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Parameter } from '../../../model/ops.ts'
import { adamWStep, beginAdamW, learningRateAt } from '../../../trainer/adamw.ts'

const CONFIG = { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0, emaDecay: 0.9 }
const parameter = (values: readonly number[], kind: Partial<Parameter> = {}): Parameter => ({
  shape: [values.length],
  values: Float32Array.from(values),
  trained: true,
  decays: false,
  ...kind,
})

test('the first step goes by the learning rate against the sign of each gradient, whatever its size', () => {
  const parameters = new Map([['w', parameter([1, 1, 1])]])
  const state = beginAdamW(parameters)
  adamWStep(parameters, new Map([['w', Float32Array.of(5, -0.01, 0)]]), state, 0.1, CONFIG)
  const [a, b, c] = parameters.get('w')!.values
  assert.ok(Math.abs(a! - 0.9) < 1e-5 && Math.abs(b! - 1.1) < 1e-5 && c === 1)
})

test('it finds the lowest point of a bowl, and the average follows', () => {
  const parameters = new Map([['w', parameter([3, -2])]])
  const state = beginAdamW(parameters)
  const steps = 400
  for (let step = 0; step < steps; step++) {
    const { values } = parameters.get('w')!
    const gradient = Float32Array.of(2 * (values[0]! - 1), 20 * (values[1]! - 4))
    adamWStep(parameters, new Map([['w', gradient]]), state, learningRateAt(step, steps, 0.3, 0.05), CONFIG)
  }
  for (const values of [parameters.get('w')!.values, state.average.get('w')!]) {
    assert.ok(Math.abs(values[0]! - 1) < 0.02 && Math.abs(values[1]! - 4) < 0.02, String(values))
  }
})

test('decay pulls matrices alone, beside the gradient', () => {
  const parameters = new Map([
    ['matrix', parameter([2], { decays: true })],
    ['gain', parameter([2])],
  ])
  const still = new Map([...parameters.keys()].map((name) => [name, Float32Array.of(0)]))
  adamWStep(parameters, still, beginAdamW(parameters), 0.1, { ...CONFIG, weightDecay: 0.5 })
  assert.ok(Math.abs(parameters.get('matrix')!.values[0]! - 1.9) < 1e-6)
  assert.equal(parameters.get('gain')!.values[0], 2)
})

test('gradients that are not finite change nothing and are told', () => {
  const parameters = new Map([['w', parameter([1])]])
  const state = beginAdamW(parameters)
  const norm = adamWStep(parameters, new Map([['w', Float32Array.of(Number.NaN)]]), state, 0.1, CONFIG)
  assert.ok(Number.isNaN(norm))
  assert.equal(parameters.get('w')!.values[0], 1)
  assert.equal(state.step, 0)
})

test('the learning rate rises to its peak, and falls to nothing', () => {
  const at = (step: number) => learningRateAt(step, 100, 1, 0.1)
  assert.equal(at(0), 0.1)
  assert.equal(at(9), 1)
  assert.equal(at(10), 1)
  assert.ok(at(55) > 0.49 && at(55) < 0.51)
  assert.ok(at(99) < 0.001)
})
