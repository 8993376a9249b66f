import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspectOnnx } from '../../../model/onnx-reader.ts'
import { GraphBuilder } from '../../../model/onnx-writer.ts'
import { ProtobufMessage } from '../../../model/protobuf-writer.ts'

const model = (graph: ProtobufMessage) =>
  new ProtobufMessage().int(1, 8).message(7, graph).message(8, new ProtobufMessage().string(1, '').int(2, 17)).finish()

/** A tensor whose values lie in the file `location`, as ONNX writes it. */
function externalTensor(name: string, location: string): ProtobufMessage {
  const entry = new ProtobufMessage().string(1, 'location').string(2, location)
  return new ProtobufMessage().int(1, 4).int(2, 1).string(8, name).message(13, entry).int(14, 1)
}

test('a written model is seen for what it is', () => {
  const graph = new GraphBuilder('plain')
  const w = graph.initializer('w', [1], Float32Array.of(2))
  graph.output('y', graph.node('Mul', [graph.input('x', [1]), w]), [1])
  assert.deepEqual(inspectOnnx(graph.toModel({ metadata: { a: 'b' } })), { opset: 17, nodes: 2, externalTensors: [] })
})

test('a tensor that lies in another file is found wherever a model can have one', () => {
  const tensor = externalTensor('secret', '/etc/passwd')
  const constant = new ProtobufMessage()
    .string(4, 'Constant')
    .message(5, new ProtobufMessage().string(1, 'value').message(5, tensor))
  const sparse = new ProtobufMessage().message(1, tensor)
  const inner = new ProtobufMessage().message(5, tensor)
  const branch = new ProtobufMessage()
    .string(4, 'If')
    .message(5, new ProtobufMessage().string(1, 'then').message(6, inner))
  const functionBody = new ProtobufMessage().string(1, 'f').message(7, constant)
  const models = {
    initializer: model(new ProtobufMessage().message(5, tensor)),
    attribute: model(new ProtobufMessage().message(1, constant)),
    'sparse initializer': model(new ProtobufMessage().message(15, sparse)),
    subgraph: model(new ProtobufMessage().message(1, branch)),
    function: new ProtobufMessage().int(1, 8).message(7, new ProtobufMessage()).message(25, functionBody).finish(),
  }
  for (const [place, bytes] of Object.entries(models)) {
    assert.deepEqual(inspectOnnx(bytes).externalTensors, ['secret'], `in the ${place}`)
  }
})

test('bytes that are no model are refused, cut anywhere or changed, and never read beyond their end', () => {
  const graph = new GraphBuilder('plain')
  graph.output('y', graph.node('Relu', [graph.input('x', [1])]), [1])
  const whole = graph.toModel()
  for (let length = 0; length < whole.length - 6; length += 1) {
    assert.throws(() => inspectOnnx(whole.subarray(0, length)), RangeError, `cut at ${length}`)
  }
  let state = 1
  for (let round = 0; round < 2000; round += 1) {
    const changed = whole.slice()
    for (let change = 0; change < 3; change += 1) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      changed[state % changed.length] = state >>> 24
    }
    try {
      inspectOnnx(changed)
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error))
    }
  }
})

test('graphs that are nested without end are refused', () => {
  let graph = new ProtobufMessage()
  for (let depth = 0; depth < 1000; depth += 1) {
    const attribute = new ProtobufMessage().string(1, 'body').message(6, graph)
    graph = new ProtobufMessage().message(1, new ProtobufMessage().message(5, attribute))
  }
  assert.throws(() => inspectOnnx(model(graph)), /nested deeper/)
})
