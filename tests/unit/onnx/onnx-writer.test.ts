import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { GraphBuilder } from '../../../model/onnx-writer.ts'

const load = (graph: GraphBuilder, metadata: Record<string, string> = {}) =>
  InferenceSession.create(graph.toModel({ metadata }), { logSeverityLevel: 3 })

const floats = async (session: InferenceSession, feeds: Record<string, Tensor>, output: string) =>
  Array.from((await session.run(feeds))[output]?.data as Float32Array)

test('a written graph runs and gives the values that its nodes say', async () => {
  const graph = new GraphBuilder('affine')
  const x = graph.input('x', ['batch', 2])
  const w = graph.initializer('w', [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6))
  const product = graph.node('MatMul', [x, w])
  graph.output('y', graph.node('Add', [product, graph.scalar(0.5)]), ['batch', 3])
  const session = await load(graph, { release: 'r1' })
  assert.deepEqual(session.inputNames, ['x'])
  assert.deepEqual(session.outputNames, ['y'])
  assert.deepEqual(
    await floats(session, { x: new Tensor('float32', [1, 1, 2, 0], [2, 2]) }, 'y'),
    [5.5, 7.5, 9.5, 2.5, 4.5, 6.5],
  )
  const [metadata] = session.inputMetadata
  assert.deepEqual(metadata?.isTensor && metadata.shape, ['batch', 2])
})

test('int, ints, float and string attributes reach the operators', async () => {
  const graph = new GraphBuilder('attributes')
  const x = graph.input('x', ['n', 3])
  const turned = graph.node('Transpose', [x], { perm: [1, 0] }) // (3, n)
  const leaky = graph.node('LeakyRelu', [turned], { alpha: { float: 0.25 } })
  const summed = graph.node('ReduceSum', [leaky, graph.ints([0])], { keepdims: 0 })
  const padded = graph.node('Pad', [summed, graph.ints([1, 0])], { mode: 'edge' })
  const last = graph.node('Concat', [padded, padded], { axis: -1 })
  graph.output('y', last, ['m'])
  const session = await load(graph)
  const x0 = new Tensor('float32', [1, -4, 2, 1, 1, 1], [2, 3])
  assert.deepEqual(await floats(session, { x: x0 }, 'y'), [2, 2, 3, 2, 2, 3])
})

test('an operator with several outputs and an int64 input works', async () => {
  const graph = new GraphBuilder('split')
  const ids = graph.input('ids', ['n'], 'int64')
  const table = graph.initializer('table', [2, 4], Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8))
  const rows = graph.node('Gather', [table, ids])
  const [left, right] = graph.nodeWithOutputs('Split', [rows, graph.ints([1, 3])], 2, { axis: 1 })
  graph.output('left', left ?? '', ['n', 1])
  graph.output('right', right ?? '', ['n', 3])
  const result = await (await load(graph)).run({ ids: new Tensor('int64', [1n, 0n], [2]) })
  assert.deepEqual(Array.from(result.left?.data as Float32Array), [5, 1])
  assert.deepEqual(Array.from(result.right?.data as Float32Array), [6, 7, 8, 2, 3, 4])
})

test('a weight that is a window into a larger buffer is written without its neighbours, and copied', async () => {
  const buffer = Float32Array.of(9, 9, 1, 2, 9)
  const window = buffer.subarray(2, 4)
  const graph = new GraphBuilder('window')
  const x = graph.input('x', [2])
  graph.output('y', graph.node('Mul', [x, graph.initializer('w', [2], window)]), [2])
  buffer.fill(0)
  assert.deepEqual(await floats(await load(graph), { x: new Tensor('float32', [10, 10], [2]) }, 'y'), [10, 20])
})

test('equal constants are stored once', () => {
  const graph = new GraphBuilder('constants')
  assert.equal(graph.scalar(2), graph.scalar(2))
  assert.equal(graph.ints([1, 2]), graph.ints([1, 2]))
  assert.notEqual(graph.ints([1, 2]), graph.ints([12]))
  assert.notEqual(graph.scalar(2), graph.ints([2]))
})

test('a graph that cannot be right is refused where it is built', () => {
  const graph = new GraphBuilder('wrong')
  graph.input('x', [1])
  assert.throws(() => graph.node('Relu', ['y']), /"y", which is not defined/)
  assert.throws(() => graph.input('x', [1]), /"x" is empty or taken/)
  assert.throws(() => graph.initializer('w', [2, 2], new Float32Array(3)), /needs 4 values, got 3/)
  assert.throws(() => graph.output('z', 'z', [1]), /"z" is not defined/)
  assert.throws(() => graph.toModel(), /no output/)
  assert.throws(() => graph.node('Concat', ['x'], { axis: 0.5 }), /not a safe integer/)
})
