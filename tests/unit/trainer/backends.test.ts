import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SetupError } from '../../../ports/errors.ts'
import { chooseBackend } from '../../../trainer/backends.ts'
import { loadTfjs } from '../../../trainer/tfjs/load-tfjs.ts'
import type { Tf } from '../../../trainer/tfjs/tfjs-ops.ts'

const missing = () => {
  throw Object.assign(new Error("Cannot find module '@tensorflow/tfjs-node'\nRequire stack:"), {
    code: 'MODULE_NOT_FOUND',
  })
}
const node20 = { threads: 1, nodeVersion: '20.19.0' }
/** As tfjs-node-gpu is, once it is loaded. */
const loaded = (isUsingGpuDevice: boolean) => ({ ready: async () => {}, backend: () => ({ isUsingGpuDevice }) })

for (const nodeVersion of ['23.0.0', '24.11.1', '100.0.0']) {
  test(`on Node ${nodeVersion} tfjs-node is refused before its first operation breaks (tensorflow/tfjs#8609, #8746)`, async () => {
    for (const kind of ['tfjs-node', 'tfjs-node-gpu'] as const) {
      const load = loadTfjs(kind, { threads: 1, nodeVersion, require: () => loaded(true) })
      const message = new RegExp(`${kind} does not run on Node ${nodeVersion}: .*Use Node 20 or 22, or .* graph\\.`)
      await assert.rejects(load, { name: 'SetupError', code: 'no-tfjs', message })
    }
  })
}

test('a package that is not installed is told with the command that installs it', async () => {
  const refusal = (command: string) => ({ name: 'SetupError', code: 'no-tfjs', message: new RegExp(command) })
  await assert.rejects(
    loadTfjs('tfjs-node', { ...node20, require: missing }),
    refusal("\\(Cannot find module '@tensorflow/tfjs-node'\\)\\. Run npm run trainer:tfjs, or"),
  )
  await assert.rejects(
    loadTfjs('tfjs-node-gpu', { ...node20, require: missing }),
    refusal('Run npm run trainer:tfjs -- --gpu, or'),
  )
  await assert.rejects(loadTfjs('tfjs-wasm', { ...node20, require: missing }), refusal('Run npm ci'))
})

test('tfjs-node-gpu without a GPU is refused, not run on the CPU unseen', async () => {
  const load = (isUsingGpuDevice: boolean) =>
    loadTfjs('tfjs-node-gpu', { ...node20, require: () => loaded(isUsingGpuDevice) })
  await assert.rejects(load(false), { code: 'no-tfjs', message: /sees no GPU\. See that nvidia-smi/ })
  await load(true)
})

test('auto takes the GPU where there is one, else the graph, and says why', async () => {
  const kinds: string[] = []
  const there = async (kind: string) => {
    kinds.push(kind)
    return loaded(true) as unknown as Tf
  }
  const gpu = await chooseBackend({ wanted: 'auto', threads: 1, load: there })
  assert.equal(gpu.name, 'tfjs-node-gpu')
  assert.match(gpu.reason, /by tfjs-node-gpu: it is installed and sees a GPU/)
  assert.deepEqual(kinds, ['tfjs-node-gpu'])
  const away = async () => {
    throw new SetupError('no-tfjs', 'tfjs-node-gpu was loaded but sees no GPU.')
  }
  const graph = await chooseBackend({ wanted: 'auto', threads: 1, load: away })
  assert.equal(graph.name, 'graph')
  assert.match(graph.reason, /by graph, onnxruntime on the CPU: tfjs-node-gpu was loaded but sees no GPU/)
})

test('a backend that is asked for by name is never replaced by another', async () => {
  const away = async () => {
    throw new SetupError('no-tfjs', 'It cannot be loaded.')
  }
  for (const wanted of ['tfjs-node-gpu', 'tfjs-node', 'tfjs-wasm'] as const) {
    await assert.rejects(chooseBackend({ wanted, threads: 1, load: away }), { code: 'no-tfjs' })
  }
  const graph = await chooseBackend({ wanted: 'graph', threads: 1, load: away })
  assert.equal(graph.name, 'graph')
})

test('what breaks otherwise while tfjs-node-gpu is loaded is no reason to go on without it', async () => {
  const broken = async () => {
    throw new TypeError('x is not a function')
  }
  await assert.rejects(chooseBackend({ wanted: 'auto', threads: 1, load: broken }), TypeError)
})
