import assert from 'node:assert/strict'
import { test } from 'node:test'
import { initialParameters, type VimlConfig } from '../../../model/viml.ts'
import { type AdamWConfig, adamWStep, beginAdamW } from '../../../trainer/adamw.ts'
import { GraphBackend } from '../../../trainer/graph/graph-backend.ts'
import { TEMPERATURE, targetsOf } from '../../../trainer/loss.ts'
import type { StepBackend, Values } from '../../../trainer/step-backend.ts'
import { TfjsBackend } from '../../../trainer/tfjs/tfjs-backend.ts'
import { tfjsStep } from '../../../trainer/tfjs/tfjs-step.ts'
import { assertClose, randomParameters, randomValues } from '../../support/ops-check.ts'
import { tf } from '../../support/tfjs-engine.ts'

const batch = 6
const segments = 4
const widths = { video: 5, music: 4, text: 3 }
const config: VimlConfig = {
  query: 'video+text',
  widths,
  dims: 8,
  encoder: { kind: 'transformer', layers: 1, hidden: 12, heads: 2, segments: 5 },
  fusion: 'transformer-1',
  dropout: 0.2,
  inputDropout: 0.1,
}
const model = { config, temperature: 'learned', seed: 3 } as const
const optimiser: AdamWConfig = {
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-8,
  weightDecay: 0.05,
  clipNorm: 5,
  emaDecay: 0.9,
}
const tfjs = () => new TfjsBackend(model, { tf, name: 'tfjs-wasm' })

function beginning() {
  const statistics = (width: number) => ({ mean: new Float32Array(width), deviation: new Float32Array(width).fill(1) })
  const { video, music, text } = widths
  const initial = initialParameters(config, 1, {
    video: statistics(video),
    music: statistics(music),
    text: statistics(text),
  })
  const temperature = { shape: [1], values: Float32Array.of(1), trained: true, decays: false }
  return new Map(initial).set(TEMPERATURE, temperature)
}

/** Sequences of all lengths; two of the pairs are of one track. */
function batchOf(step: number): Map<string, Values> {
  const { rows, columns } = targetsOf(['a', 'b', 'c', 'a', 'd', 'e'])
  const random = (name: string, shape: readonly number[]) => ({ shape, values: randomValues(`${name} ${step}`, shape) })
  const mask = (turn: number) => {
    const there = (place: number) => Number(place % segments <= (Math.floor(place / segments) + turn) % segments)
    return { shape: [batch, segments], values: Float32Array.from({ length: batch * segments }, (_, at) => there(at)) }
  }
  return new Map([
    ['video', random('video', [batch, segments, widths.video])],
    ['video.mask', mask(step)],
    ['music', random('music', [batch, segments, widths.music])],
    ['music.mask', mask(step + 1)],
    ['text', random('text', [batch, widths.text])],
    ['targets.rows', { shape: [batch, batch], values: rows }],
    ['targets.columns', { shape: [batch, batch], values: columns }],
  ])
}

/**
 * Whose gradient is 0 but for rounding, which AdamW scales up: the bias of keys moves all scores of a query alike, and a
 * description, a sequence of one, attends to itself alone.
 */
const ROUNDING = /\.key\.bias$|^text\.0\.(query|key)\./

/** @returns the loss of each step, the weights at the end, and how many tensors there were after each step. */
async function run(backend: StepBackend, steps: number) {
  const parameters = beginning()
  const state = beginAdamW(parameters)
  const losses: number[] = []
  const tensors: number[] = []
  for (let step = 0; step < steps; step++) {
    const { loss, gradients } = await backend.step(batchOf(step % 5), parameters, step)
    adamWStep(parameters, gradients, state, 0.003, optimiser)
    losses.push(loss)
    tensors.push(tf.memory().numTensors)
  }
  await backend.dispose()
  return { losses, parameters, tensors }
}

test('a hundred steps of both backends have the same losses and end at the same weights', async () => {
  const [graph, eager] = [await run(new GraphBackend(model, { threads: 1 }), 100), await run(tfjs(), 100)]
  assert.ok(eager.losses.at(-1)! < 0.8 * eager.losses[0]!, `from ${eager.losses[0]} to ${eager.losses.at(-1)}`)
  assertClose(eager.losses, graph.losses, 1e-5, 'loss of step')
  for (const [name, { values }] of graph.parameters) {
    if (!ROUNDING.test(name)) assertClose(eager.parameters.get(name)!.values, values, 1e-4, name)
  }
})

test('a hundred steps leave as many tensors as there were (tensorflow/tfjs#5007, #8312)', async () => {
  const before = tf.memory().numTensors
  const { tensors } = await run(tfjs(), 100)
  assert.deepEqual(new Set(tensors), new Set([before]))
})

test('a loss that keeps tensors ends the run at its first step, and is told', async () => {
  const parameters = randomParameters({ weight: [2, 3] })
  const step = tfjsStep(tf, {
    parameters,
    inputs: new Map(),
    loss: (ops) => tf.keep(ops.exp(ops.parameter('weight'))),
  })
  await assert.rejects(step, { name: 'SetupError', code: 'tensor-leak', message: /left 1 tensors behind/ })
})

test('another step draws other masks, the same step the same', async () => {
  const backend = tfjs()
  const parameters = beginning()
  const lossOf = async (step: number) => (await backend.step(batchOf(0), parameters, step)).loss
  const first = await lossOf(1)
  assert.equal(await lossOf(1), first)
  assert.notEqual(await lossOf(2), first)
})
