import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { ModelFile } from '../../../adapters/models/profile-files.ts'
import { type GraphExpectation, OnnxSessions } from '../../../adapters/onnx/session.ts'
import { GraphBuilder } from '../../../model/onnx-writer.ts'
import { ProtobufMessage } from '../../../model/protobuf-writer.ts'
import { RetryableError, SetupError, ShapeError } from '../../../ports/errors.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'cuestream-session-'))
after(() => rm(folder, { recursive: true }))

const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

async function save(name: string, bytes: Uint8Array): Promise<ModelFile> {
  const file = { name, path: path.join(folder, name), sha256: sha256Of(bytes), bytes: bytes.byteLength }
  await writeFile(file.path, bytes)
  return file
}

/** y = log(x) over two columns. */
function logGraph(): Uint8Array {
  const graph = new GraphBuilder('log')
  graph.output('y', graph.node('Log', [graph.input('x', ['batch', 2])]), ['batch', 2])
  return graph.toModel()
}

const logExpectation: GraphExpectation = {
  inputs: [{ name: 'x', type: 'float32', shape: ['batch', 2] }],
  outputs: [{ name: 'y', dims: 2 }],
}
const ones = { x: { data: Float32Array.of(1, 1), shape: [1, 2] } }

const setupError = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SetupError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, message)
  return true
}

test('a graph runs, and a file changed on disk is refused with both hashes and the remedy', async () => {
  const file = await save('log.onnx', logGraph())
  const sessions = new OnnxSessions()
  const graph = sessions.graph(file, logExpectation)
  assert.deepEqual(await graph.run(ones, 1), { y: Float32Array.of(0, 0) })
  await sessions.dispose()

  const changed = Uint8Array.from(logGraph())
  changed[changed.length - 1] = 99
  await writeFile(file.path, changed)
  const again = new OnnxSessions()
  const tampered = again.graph(file, logExpectation)
  const message = new RegExp(`log\\.onnx.*${sha256Of(changed)}.*${file.sha256}.*cuestream models pull`)
  await assert.rejects(tampered.run(ones, 1), setupError('model-tampered', message))
  await writeFile(file.path, logGraph())
  assert.deepEqual((await tampered.run(ones, 1)).y, Float32Array.of(0, 0), 'a restored file is not seen')
  await again.dispose()
})

test('making a graph reads nothing; a missing file is named at the first run', async () => {
  const file = { name: 'none.onnx', path: path.join(folder, 'none.onnx'), sha256: '0'.repeat(64), bytes: null }
  const graph = new OnnxSessions().graph(file, logExpectation)
  await assert.rejects(graph.run(ones, 1), setupError('model-missing', /none\.onnx/))
})

test('a file over the limit is not read', async () => {
  const file = await save('large.onnx', new Uint8Array(1000))
  const graph = new OnnxSessions({ maxFileBytes: 999 }).graph(file, logExpectation)
  await assert.rejects(graph.run(ones, 1), setupError('model-too-large', /1000 bytes; at most 999/))
})

test('a model that would read another file is refused', async () => {
  const entry = new ProtobufMessage().string(1, 'location').string(2, '../../etc/passwd')
  const tensor = new ProtobufMessage().int(1, 2).int(2, 1).string(8, 'w').message(13, entry).int(14, 1)
  const model = new ProtobufMessage().int(1, 8).message(7, new ProtobufMessage().message(5, tensor)).finish()
  const file = await save('external.onnx', model)
  const graph = new OnnxSessions().graph(file, logExpectation)
  await assert.rejects(graph.run(ones, 1), setupError('model-external-data', /external\.onnx.*"w"/))
})

test('a file that is no model is refused by name', async () => {
  for (const [name, bytes] of [
    ['empty.onnx', new Uint8Array(0)],
    ['text.onnx', new TextEncoder().encode('<html>not here</html>')],
  ] as const) {
    const graph = new OnnxSessions().graph(await save(name, bytes), logExpectation)
    await assert.rejects(graph.run(ones, 1), setupError('model-unreadable', new RegExp(name.replace('.', '\\.'))))
  }
})

test('a graph with other inputs or outputs than its profile says is refused, every fault named', async () => {
  const file = await save('interface.onnx', logGraph())
  const sessions = new OnnxSessions()
  const cases: [GraphExpectation, RegExp][] = [
    [
      { ...logExpectation, inputs: [{ name: 'image', type: 'float32', shape: ['batch', 2] }] },
      /no input "image"; it has "x"; .*needs an input "x"/,
    ],
    [{ ...logExpectation, inputs: [{ name: 'x', type: 'int64', shape: ['batch', 2] }] }, /"x" is float32, not int64/],
    [
      { ...logExpectation, inputs: [{ name: 'x', type: 'float32', shape: ['batch', 3] }] },
      /"x" is \[batch,2\], not \[batch,3\]/,
    ],
    [{ ...logExpectation, outputs: [{ name: 'z', dims: 2 }] }, /no output "z"; it has "y"/],
    [{ ...logExpectation, outputs: [{ name: 'y', dims: 512 }] }, /"y" is \[batch,2\], not \[batch, 512\]/],
  ]
  for (const [expectation, message] of cases) {
    await assert.rejects(sessions.graph(file, expectation).run(ones, 1), setupError('model-interface', message))
  }
  await sessions.dispose()
})

test('outputs that are not finite are an error of the record, not an answer', async () => {
  const sessions = new OnnxSessions()
  const graph = sessions.graph(await save('nan.onnx', logGraph()), logExpectation)
  await assert.rejects(graph.run({ x: { data: Float32Array.of(1, 0), shape: [1, 2] } }, 1), (error: unknown) => {
    assert.ok(error instanceof ShapeError, String(error))
    assert.match(error.message, /"y" that are not finite/)
    return true
  })
  await sessions.dispose()
})

test('more runs than may wait are told to come back, and those that wait all finish', async () => {
  const sessions = new OnnxSessions({ maxWaiting: 2 })
  const graph = sessions.graph(await save('busy.onnx', logGraph()), logExpectation)
  await graph.run(ones, 1)
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => graph.run(ones, 1)))
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
  assert.ok(refused.length >= 5, `${refused.length} of 8 were refused`)
  for (const { reason } of refused) assert.ok(reason instanceof RetryableError && reason.code === 'encoder-busy')
  assert.ok(outcomes.length - refused.length >= 2)
  await sessions.dispose()
})

test('a closed graph says that it is closed', async () => {
  const sessions = new OnnxSessions()
  const graph = sessions.graph(await save('closed.onnx', logGraph()), logExpectation)
  await graph.run(ones, 1)
  await sessions.dispose()
  await assert.rejects(graph.run(ones, 1), setupError('model-disposed', /closed/))
})
