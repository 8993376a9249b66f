import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GraphOps } from '../../../model/graph-ops.ts'
import { inspectOnnx } from '../../../model/onnx-reader.ts'
import type { Ops } from '../../../model/ops.ts'
import { evaluationSession, TrainingSession } from '../../../trainer/graph/training-session.ts'
import type { Values } from '../../../trainer/step-backend.ts'
import { operations } from '../../support/ops-cases.ts'
import {
  assertClose,
  checkGradients,
  checkValues,
  plain,
  randomParameters,
  randomValues,
} from '../../support/ops-check.ts'
import { PlainOps } from '../../support/plain-ops.ts'

for (const [name, { shapes, program, low, high }] of Object.entries(operations)) {
  test(`${name}: values are those of the definition, gradients those of differences`, async () => {
    const parameters = randomParameters(shapes, low, high)
    await checkValues(program, parameters)
    await checkGradients(program, parameters)
  })
}

const heads = 2
const dims = 4
const hidden = 6

/** Two pre-norm attention layers; x (batch, segments, dims), mask (batch, segments). */
function block<T>(ops: Ops<T>, x: T, mask: T): T {
  const linear = (name: string, input: T) =>
    ops.add(ops.matMul(input, ops.parameter(`${name}.weight`)), ops.parameter(`${name}.bias`))
  const normed = (name: string, input: T) =>
    ops.layerNorm(input, ops.parameter(`${name}.gain`), ops.parameter(`${name}.offset`))
  const absent = ops.affine(ops.reshape(mask, [0, 1, 1, -1]), 1e9, -1e9)
  let y = ops.add(x, ops.firstRows(ops.parameter('positions'), x))
  for (const layer of ['0', '1']) {
    const input = normed(`${layer}.first`, y)
    const part = (name: string, order: number[]) =>
      ops.transpose(ops.reshape(linear(`${layer}.${name}`, input), [0, -1, heads, dims / heads]), order)
    const scores = ops.matMul(part('query', [0, 2, 1, 3]), part('key', [0, 2, 3, 1]))
    const weights = ops.softmax(ops.add(ops.affine(scores, Math.SQRT1_2), absent))
    const mixed = ops.matMul(ops.dropout(weights, 0.25, `${layer}.weights`), part('value', [0, 2, 1, 3]))
    y = ops.add(y, linear(`${layer}.output`, ops.reshape(ops.transpose(mixed, [0, 2, 1, 3]), [0, -1, dims])))
    const inner = ops.gelu(linear(`${layer}.in`, normed(`${layer}.second`, y)))
    y = ops.add(y, linear(`${layer}.out`, ops.dropout(inner, 0.5, `${layer}.hidden`)))
  }
  const column = ops.reshape(mask, [0, -1, 1])
  return ops.reshape(ops.divide(ops.sum(ops.multiply(y, column), 1), ops.sum(column, 1)), [0, -1])
}

function blockParameters() {
  const shapes: Record<string, readonly number[]> = { positions: [5, dims] }
  for (const layer of ['0', '1']) {
    for (const norm of ['first', 'second']) {
      shapes[`${layer}.${norm}.gain`] = [dims]
      shapes[`${layer}.${norm}.offset`] = [dims]
    }
    for (const name of ['query', 'key', 'value', 'output']) {
      shapes[`${layer}.${name}.weight`] = [dims, dims]
      shapes[`${layer}.${name}.bias`] = [dims]
    }
    shapes[`${layer}.in.weight`] = [dims, hidden]
    shapes[`${layer}.in.bias`] = [hidden]
    shapes[`${layer}.out.weight`] = [hidden, dims]
    shapes[`${layer}.out.bias`] = [dims]
  }
  return randomParameters(shapes)
}

/** Every fourth value falls out. */
function mask(shape: readonly number[], rate: number): Values {
  const size = shape.reduce((product, length) => product * length, 1)
  return { shape, values: Float32Array.from({ length: size }, (_, i) => (i % 4 === 0 ? 0 : 1 / (1 - rate))) }
}

const blockMasks = (batch: number, segments: number) =>
  new Map(
    ['0', '1'].flatMap((layer): [string, Values][] => [
      [`${layer}.weights`, mask([batch, heads, segments, segments], 0.25)],
      [`${layer}.hidden`, mask([batch, segments, hidden], 0.5)],
    ]),
  )

const untrained = (shape: readonly number[], values: Float32Array) => ({ shape, values, trained: false, decays: false })
const present = Float32Array.of(1, 1, 1, 1, 0, 0)

test('gradients of two attention layers with padding and dropout are those of differences', async () => {
  const parameters = blockParameters()
    .set('x', { ...untrained([2, 3, dims], randomValues('x', [2, 3, dims])), trained: true })
    .set('present', untrained([2, 3], present))
  await checkGradients((ops) => block(ops, ops.parameter('x'), ops.parameter('present')), parameters, {
    masks: blockMasks(2, 3),
    tolerance: 1e-4,
  })
})

test('a served graph takes any batch and any number of segments, and drops nothing', async () => {
  const parameters = blockParameters()
  const ops = new GraphOps('block', parameters, 'serving')
  const [x, there] = [ops.input('x', ['batch', 'segments', dims]), ops.input('present', ['batch', 'segments'])]
  const y = block(ops, x, there)
  assert.deepEqual(y.shape, ['batch', dims])
  assert.equal(ops.dropoutSites.size, 0)
  ops.output('y', y)
  const session = await evaluationSession(ops.toModel({ release: 'r1' }), { threads: 1 })
  for (const [batch, segments] of [
    [1, 1],
    [2, 3],
    [3, 5],
  ] as const) {
    // biome-ignore format: pairs
    const inputs = new Map<string, Values>([
      ['x', { shape: [batch, segments, dims], values: randomValues('x', [batch, segments, dims]) }],
      ['present', { shape: [batch, segments], values: new Float32Array(batch * segments).fill(1) }],
    ])
    const exact = plain(inputs)
    const expected = block(new PlainOps(plain(parameters)), exact.get('x')!, exact.get('present')!)
    const found = (await session.run(inputs)).get('y')!
    assert.deepEqual(found.shape, [batch, dims])
    assertClose(found.values, expected.values, 1e-5, `y of ${batch} × ${segments}`)
  }
  await session.dispose()
})

test('a training graph with named dimensions gives the gradients of one with fixed sizes', async () => {
  const parameters = blockParameters()
  const inputs = new Map<string, Values>([
    ['x', { shape: [2, 3, dims], values: randomValues('x', [2, 3, dims]) }],
    ['present', { shape: [2, 3], values: present }],
  ])
  const gradients = async (batch: number | string, segments: number | string) => {
    const ops = new GraphOps('block', parameters, 'training')
    const y = block(ops, ops.input('x', [batch, segments, dims]), ops.input('present', [batch, segments]))
    const both = ops.concat([y, ops.affine(y, 2)], 0) // (2 batch, dims)
    const flat = ops.reshape(ops.multiply(both, both), [1, -1])
    ops.backward(ops.sum(flat, 1))
    const session = await TrainingSession.open(ops.toModel(), { threads: 1 })
    const step = await session.step({ inputs, parameters, masks: blockMasks(2, 3) })
    await session.dispose()
    return step
  }
  const [fixed, named] = [await gradients(2, 3), await gradients('batch', 'segments')]
  assertClose([named.loss], [fixed.loss], 1e-6, 'loss')
  for (const [name, values] of fixed.gradients) assertClose(named.gradients.get(name)!, values, 1e-6, name)
})

test('a parameter that the loss does not reach is named', () => {
  const parameters = randomParameters({ used: [2], idle: [2], asked: [2] })
  const ops = new GraphOps('unreached', parameters, 'training')
  ops.parameter('asked')
  assert.throws(() => ops.backward(ops.sum(ops.parameter('used'), 0)), /does not reach the parameters idle, asked\./)
})

test('shapes that do not fit are refused when the graph is written', () => {
  const ops = new GraphOps('unfit', randomParameters({ a: [2, 3], b: [2] }), 'training')
  const [a, b] = [ops.parameter('a'), ops.parameter('b')]
  assert.throws(() => ops.add(a, b), /\[2\] does not broadcast to \[2,3\]/)
  assert.throws(() => ops.add(b, a), /the larger value comes first/)
  assert.throws(() => ops.matMul(a, a), /cannot be multiplied/)
  assert.throws(() => ops.concat([a, b], 0), /\[2,3\], \[2\] cannot be joined along axis 0/)
  assert.throws(() => ops.concat([a], 2), /cannot be joined/)
  assert.throws(() => ops.reshape(a, [4, -1]), /cannot be reshaped/)
  assert.throws(() => ops.transpose(a, [0, 0]), /no order of the axes/)
  assert.throws(() => ops.parameter('c'), /no parameter "c"/)
  assert.throws(() => ops.backward(a), /not one value/)
})

test('nothing is written for the gradient of what depends on no trained parameter', () => {
  const nodes = (trained: boolean) => {
    const parameters = randomParameters({ a: [2, 2], b: [2, 2] })
    parameters.set('b', { ...parameters.get('b')!, trained })
    const ops = new GraphOps('wanted', parameters, 'training')
    const loss = ops.matMul(ops.parameter('a'), ops.gelu(ops.parameter('b')))
    ops.backward(ops.sum(ops.sum(loss, 0), 1))
    return inspectOnnx(ops.toModel()).nodes
  }
  assert.equal(nodes(true) - nodes(false), 1 + 6 + 1) // of the product, of gelu, and the output
})
