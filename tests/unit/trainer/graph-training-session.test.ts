import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GraphOps } from '../../../model/graph-ops.ts'
import { dropoutMask, dropoutMasks } from '../../../trainer/dropout-masks.ts'
import { type StepInputs, TrainingSession } from '../../../trainer/graph/training-session.ts'
import type { Values } from '../../../trainer/step-backend.ts'
import { randomParameters, randomValues } from '../../support/ops-check.ts'

const parameters = randomParameters({ weight: [3, 2] })

/** loss = Σ (dropout(x) · weight)²; x (batch, segments, 3) */
function squares() {
  const ops = new GraphOps('squares', parameters, 'training')
  const x = ops.dropout(ops.input('x', ['batch', 'segments', 3]), 0.5, 'input')
  const rows = ops.matMul(ops.reshape(x, [-1, 3]), ops.parameter('weight'))
  const kept = ops.dropout(rows, 0.5, 'rows')
  ops.backward(ops.sum(ops.sum(ops.multiply(kept, kept), 0), 1))
  return ops
}

const sizes = new Map([
  ['batch', 4],
  ['segments', 2],
])

function inputsOf(ops: GraphOps, changes: Partial<StepInputs> = {}): StepInputs {
  const inputs = new Map([['x', { shape: [4, 2, 3], values: randomValues('x', [4, 2, 3]) }]])
  const masks = dropoutMasks(ops.dropoutSites, { seed: 1, step: 1 }, sizes)
  return { inputs, parameters, masks, ...changes }
}

test('a step gives the loss and every gradient, the same ones again, and leaves what it was given as it was', async () => {
  const ops = squares()
  const session = await TrainingSession.open(ops.toModel(), { threads: 1 })
  const before = parameters.get('weight')!.values.slice()
  const [first, second] = [await session.step(inputsOf(ops)), await session.step(inputsOf(ops))]
  await session.dispose()
  assert.deepEqual([...first.gradients.keys()], ['weight'])
  assert.equal(first.gradients.get('weight')!.length, 6)
  assert.ok(first.loss > 0)
  assert.deepEqual(second, first)
  assert.deepEqual(parameters.get('weight')!.values, before)
})

test('the loss falls along the gradients', async () => {
  const ops = squares()
  const session = await TrainingSession.open(ops.toModel(), { threads: 1 })
  const { loss, gradients } = await session.step(inputsOf(ops))
  const weight = parameters.get('weight')!
  const values = weight.values.map((value, i) => value - 0.01 * gradients.get('weight')![i]!)
  const next = await session.step(inputsOf(ops, { parameters: new Map([['weight', { ...weight, values }]]) }))
  await session.dispose()
  assert.ok(next.loss < loss)
})

test('what does not fit the graph is refused by name before it runs', async () => {
  const ops = squares()
  const session = await TrainingSession.open(ops.toModel(), { threads: 1 })
  const x = (shape: readonly number[], count: number) =>
    inputsOf(ops, { inputs: new Map<string, Values>([['x', { shape, values: new Float32Array(count) }]]) })
  const refused = (inputs: StepInputs, message: RegExp) =>
    assert.rejects(session.step(inputs), { name: 'ShapeError', message })
  await refused(inputsOf(ops, { inputs: new Map() }), /needs the input "x"/)
  await refused(inputsOf(ops, { parameters: new Map() }), /needs the input "param\.weight"/)
  await refused(inputsOf(ops, { parameters: randomParameters({ weight: [2, 3] }) }), /"param\.weight" has the shape/)
  await refused(
    inputsOf(ops, { parameters: randomParameters({ weight: [3, 2], more: [1] }) }),
    /no input "param\.more"/,
  )
  await refused(x([4, 2, 5], 40), /"x" has the shape \[4,2,5\]/)
  await refused(x([4, 2, 3], 23), /"x" has 23 values, where \[4,2,3\] has 24/)
  await refused(x([4, 6], 24), /"x" has the shape \[4,6\]/)
  // 4 · 3 rows, where the mask has 4 · 2
  await refused(x([4, 3, 3], 36), /"mask\.(input|rows)" has the shape/)
  const short = new Map(dropoutMasks(ops.dropoutSites, { seed: 1, step: 1 }, sizes))
  short.set('rows', { shape: [7, 2], values: new Float32Array(14) })
  await refused(inputsOf(ops, { masks: short }), /"mask\.rows" has the shape \[7,2\].*here \[8,2\]/)
  await session.dispose()
})

test('what is no graph, or no longer one, is refused', async () => {
  await assert.rejects(TrainingSession.open(Uint8Array.of(1, 2, 3), { threads: 1 }))
  const ops = squares()
  const session = await TrainingSession.open(ops.toModel(), { threads: 1 })
  await session.dispose()
  await assert.rejects(session.step(inputsOf(ops)))
})

test('masks hold 0 and 1/(1 − rate), of which as many fall out as the rate says', () => {
  for (const rate of [0.1, 0.5, 0.8]) {
    const mask = dropoutMask({ seed: 7, step: 3 }, 'site', rate, 100_000)
    const kept = Math.fround(1 / (1 - rate))
    assert.ok(mask.every((value) => value === 0 || value === kept))
    const dropped = mask.filter((value) => value === 0).length / mask.length
    // five standard deviations
    assert.ok(Math.abs(dropped - rate) < 5 * Math.sqrt((rate * (1 - rate)) / mask.length), `${dropped} of ${rate}`)
  }
})

test('a mask depends on seed, step and site, and on nothing else', () => {
  const draw = (seed: number, step: number, site: string) => dropoutMask({ seed, step }, site, 0.5, 64).join()
  assert.equal(draw(1, 2, 'a'), draw(1, 2, 'a'))
  const others = [
    draw(1, 2, 'a'),
    draw(2, 2, 'a'),
    draw(1, 3, 'a'),
    draw(1, 2, 'b'),
    draw(12, 2, 'a'),
    draw(1, 22, 'a'),
  ]
  assert.equal(new Set(others).size, others.length)
})

test('masks have the shapes of their sites, and one whose size is not known is refused', () => {
  const masks = dropoutMasks(squares().dropoutSites, { seed: 1, step: 1 }, sizes)
  assert.deepEqual(
    [...masks].map(([site, { shape, values }]) => [site, shape, values.length]),
    [
      ['input', [4, 2, 3], 24],
      ['rows', [8, 2], 16],
    ],
  )
  assert.throws(() => dropoutMasks(squares().dropoutSites, { seed: 1, step: 1 }), /say how large/)
})
