/**
 * Loads a package of TensorFlow.js, none of which the product depends on: `npm run trainer:tfjs` installs the native ones
 * beside install/package.json, and tfjs-wasm is among the development dependencies.
 */
import { createRequire } from 'node:module'
import { SetupError } from '../../ports/errors.ts'
import type { Tf } from './tfjs-ops.ts'

export const TFJS_KINDS = ['tfjs-node-gpu', 'tfjs-node', 'tfjs-wasm'] as const
export type TfjsKind = (typeof TFJS_KINDS)[number]

export interface LoadOptions {
  /** Inside an operation; the environment's own TF_NUM_INTRAOP_THREADS comes first. */
  readonly threads: number
  /** Whether tfjs-node-gpu without a GPU is refused; it would run on the CPU. True if absent. */
  readonly needsGpu?: boolean
  readonly nodeVersion?: string
  readonly require?: (name: string) => unknown
}

/** @throws SetupError 'no-tfjs' with the reason and the way out. */
export async function loadTfjs(kind: TfjsKind, options: LoadOptions): Promise<Tf> {
  const { threads, needsGpu = true, nodeVersion = process.versions.node, require = installed } = options
  if (kind === 'tfjs-wasm') return loadWasm(require)
  if (Number(nodeVersion.split('.')[0]) >= FIRST_NODE_WITHOUT_UTIL_IS) {
    throw refused(
      kind,
      `does not run on Node ${nodeVersion}: its last release, 4.22.0, calls functions that Node 23 removed (tensorflow/tfjs#8609, #8746)`,
      'Use Node 20 or 22',
    )
  }
  process.env.TF_NUM_INTRAOP_THREADS ??= String(threads) // read by TensorFlow as it is loaded
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2'
  const tf = attempt(kind, require, [`@tensorflow/${kind}`], `Run ${commandFor(kind)}`)
  await tf.ready()
  if (kind === 'tfjs-node-gpu' && needsGpu && !seesGpu(tf)) {
    throw refused(
      kind,
      'was loaded but sees no GPU',
      'See that nvidia-smi lists one and that the CUDA libraries are found (docs/backends.md)',
    )
  }
  return tf
}

export function seesGpu(tf: Tf): boolean {
  return (tf.backend() as { isUsingGpuDevice?: boolean }).isUsingGpuDevice === true
}

/** util.isNullOrUndefined and its like. */
const FIRST_NODE_WITHOUT_UTIL_IS = 23

const installed = createRequire(new URL('install/package.json', import.meta.url))

async function loadWasm(require: (name: string) => unknown): Promise<Tf> {
  const names = ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm']
  const tf = attempt('tfjs-wasm', require, names, 'Run npm ci, with development dependencies')
  await tf.setBackend('wasm')
  return tf
}

/** @returns the first of `names`. */
function attempt(kind: TfjsKind, require: (name: string) => unknown, names: readonly string[], wayOut: string): Tf {
  try {
    return names.map((name) => require(name))[0] as Tf
  } catch (cause) {
    const reason = (cause as Error).message.split('\n')[0]
    throw refused(kind, `cannot be loaded (${reason})`, wayOut, cause)
  }
}

function commandFor(kind: TfjsKind): string {
  return kind === 'tfjs-node-gpu' ? 'npm run trainer:tfjs -- --gpu' : 'npm run trainer:tfjs'
}

function refused(kind: TfjsKind, why: string, wayOut: string, cause?: unknown): SetupError {
  return new SetupError('no-tfjs', `${kind} ${why}. ${wayOut}, or train with the backend graph.`, { cause })
}
