/** Chooses what carries out training steps: what is asked for, or the best that is there. */
import { SetupError } from '../ports/errors.ts'
import { GraphBackend } from './graph/graph-backend.ts'
import type { StepBackend, StepModel } from './step-backend.ts'
import { loadTfjs, TFJS_KINDS, type TfjsKind } from './tfjs/load-tfjs.ts'
import { TfjsBackend } from './tfjs/tfjs-backend.ts'

/** 'auto' is tfjs-node-gpu where it loads and sees a GPU, else the graph, which is the faster on CPUs. */
export const BACKENDS = ['auto', 'graph', ...TFJS_KINDS] as const
export type BackendName = (typeof BACKENDS)[number]

export interface BackendChoice {
  readonly name: Exclude<BackendName, 'auto'>
  /** A sentence for the log: which, and why. */
  readonly reason: string
  open(model: StepModel): StepBackend
}

export interface BackendWish {
  readonly wanted: BackendName
  /** Inside an operation, on the CPU. */
  readonly threads: number
  readonly load?: typeof loadTfjs
}

/** @throws SetupError 'no-tfjs' where a backend is asked for by name that cannot be had, with the way out. */
export async function chooseBackend({ wanted, threads, load = loadTfjs }: BackendWish): Promise<BackendChoice> {
  const graph = (why: string): BackendChoice => ({
    name: 'graph',
    reason: `Training steps are carried out by graph, onnxruntime on the CPU: ${why}`,
    open: (model) => new GraphBackend(model, { threads }),
  })
  const tfjs = async (name: TfjsKind, why: string): Promise<BackendChoice> => {
    const tf = await load(name, { threads })
    return {
      name,
      reason: `Training steps are carried out by ${name}: ${why}`,
      open: (model) => new TfjsBackend(model, { tf, name }),
    }
  }
  const asked = 'it is asked for.'
  if (wanted === 'graph') return graph(asked)
  if (wanted !== 'auto') return tfjs(wanted, asked)
  try {
    return await tfjs('tfjs-node-gpu', 'it is installed and sees a GPU.')
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    return graph(error.message)
  }
}
