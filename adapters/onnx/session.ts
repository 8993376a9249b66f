/**
 * ONNX graphs, run by onnxruntime. One session a file, shared by all who use it.
 *
 * Invariants:
 *   [lazy]      nothing is read or loaded before the first run
 *   [checked]   what runs has the expected sha256, reads no other file, and has the inputs and outputs expected of it
 *   [bounded]   a graph has at most `concurrency` runs under way and `maxWaiting` that wait; more are told to come back
 */
import { basename } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import pLimit, { type LimitFunction } from 'p-limit'
import { inspectOnnx } from '../../model/onnx-reader.ts'
import { RetryableError, SetupError, ShapeError } from '../../ports/errors.ts'
import { type ModelFile, maxModelBytes, readModelFile } from '../models/profile-files.ts'

export interface SessionSettings {
  /** Threads inside one run. Runs of several graphs go on side by side, so that few are enough. */
  readonly intraOpThreads: number
  /** Runs of one graph at a time. */
  readonly concurrency: number
  /** Runs of one graph that may wait. */
  readonly maxWaiting: number
  readonly maxFileBytes: number
  /**
   * Pictures or patches a run. On a CPU one is best: eight were no faster (35 ms a patch through both taggers, 6 ms a
   * picture, either way) and took 690 MB in place of 340. A GPU wants more.
   */
  readonly rowsPerRun: number
  /** In order of preference, by onnxruntime's names ('cpu', 'cuda', …). */
  readonly executionProviders: readonly string[]
}

const defaultSettings: SessionSettings = {
  intraOpThreads: 1,
  concurrency: 1,
  maxWaiting: 256,
  maxFileBytes: maxModelBytes,
  rowsPerRun: 1,
  executionProviders: ['cpu'],
}

type Shape = readonly (number | string)[]

/** What a graph must look like from outside. A string in a shape stands for any size. */
export interface GraphExpectation {
  readonly inputs: readonly { readonly name: string; readonly type: 'float32' | 'int64'; readonly shape: Shape }[]
  /** Inputs that the graph may have and that are fed if it does. */
  readonly optionalInputs?: readonly string[]
  /** float32 outputs (batch, dims) that are used; the graph may have others. */
  readonly outputs: readonly { readonly name: string; readonly dims: number }[]
}

export interface Feed {
  readonly data: Float32Array | BigInt64Array
  readonly shape: readonly number[]
}

interface LoadedSession {
  readonly path: string
  readonly limit: LimitFunction
  session: Promise<InferenceSession> | undefined
}

export class OnnxSessions {
  readonly #settings: SessionSettings
  /** By sha256. */
  readonly #sessions = new Map<string, LoadedSession>()
  #disposed = false

  constructor(settings: Partial<SessionSettings> = {}) {
    this.#settings = { ...defaultSettings, ...settings }
  }

  get rowsPerRun(): number {
    return this.#settings.rowsPerRun
  }

  /** A graph that loads at its first run. [lazy] */
  graph(file: ModelFile, expectation: GraphExpectation): OnnxGraph {
    return new OnnxGraph(expectation, () => this.#session(file), file.path, this.#settings.maxWaiting)
  }

  /** Waits for the runs under way, drops those that wait, and frees the sessions. Nothing runs afterwards. */
  async dispose(): Promise<void> {
    this.#disposed = true
    const sessions = [...this.#sessions.values()]
    this.#sessions.clear()
    await Promise.all(
      sessions.map(async ({ limit, session }) => {
        limit.clearQueue()
        await limit(() => undefined)
        const loaded = await session?.catch(() => undefined)
        await loaded?.release()
      }),
    )
  }

  #session(file: ModelFile): LoadedSession & { session: Promise<InferenceSession> } {
    if (this.#disposed) throw new SetupError('model-disposed', `${file.path} was closed and cannot run any more.`)
    let entry = this.#sessions.get(file.sha256)
    if (entry === undefined) {
      // A bound of its own for each graph: a question's text does not wait behind an upload's pictures.
      const limit = pLimit({ concurrency: this.#settings.concurrency, rejectOnClear: true })
      entry = { path: file.path, limit, session: undefined }
      this.#sessions.set(file.sha256, entry)
    }
    const loading = entry
    loading.session ??= load(file, this.#settings).catch((error: unknown) => {
      loading.session = undefined // so that a restored file is seen without a restart
      throw error
    })
    return loading as LoadedSession & { session: Promise<InferenceSession> }
  }
}

export class OnnxGraph {
  readonly #expectation: GraphExpectation
  readonly #open: () => LoadedSession & { session: Promise<InferenceSession> }
  readonly #path: string
  readonly #maxWaiting: number
  #inputs: ReadonlySet<string> | undefined

  constructor(
    expectation: GraphExpectation,
    open: () => LoadedSession & { session: Promise<InferenceSession> },
    path: string,
    maxWaiting: number,
  ) {
    this.#expectation = expectation
    this.#open = open
    this.#path = path
    this.#maxWaiting = maxWaiting
  }

  /**
   * @param rows first dimension of every output.
   * @returns the expected outputs, each (rows, dims) row-major with finite values.
   * @throws SetupError for a file that cannot be used, RetryableError 'encoder-busy', ShapeError for the outputs.
   */
  async run(feeds: Readonly<Record<string, Feed>>, rows: number): Promise<Readonly<Record<string, Float32Array>>> {
    const { limit, session: loading } = this.#open()
    if (limit.pendingCount >= this.#maxWaiting) {
      const message = `${this.#path} has ${limit.pendingCount} runs waiting, which is its limit. Try again later.`
      throw new RetryableError('encoder-busy', message, { retryAfterMs: 1000 })
    }
    return limit(async () => {
      const session = await loading
      this.#inputs ??= checkInterface(session, this.#expectation, this.#path)
      const tensors: Record<string, Tensor> = {}
      for (const [name, { data, shape }] of Object.entries(feeds)) {
        if (!this.#inputs.has(name)) continue
        tensors[name] =
          data instanceof BigInt64Array ? new Tensor('int64', data, shape) : new Tensor('float32', data, shape)
      }
      const names = this.#expectation.outputs.map(({ name }) => name)
      const results = await session.run(tensors, names)
      return Object.fromEntries(
        this.#expectation.outputs.map(({ name, dims }) => [name, this.#values(results[name], name, rows, dims)]),
      )
    })
  }

  #values(tensor: Tensor | undefined, name: string, rows: number, dims: number): Float32Array {
    if (!(tensor?.data instanceof Float32Array) || tensor.data.length !== rows * dims) {
      throw new ShapeError(
        `${basename(this.#path)} gave "${name}" of shape [${tensor?.dims}], not float32 [${rows}, ${dims}].`,
      )
    }
    if (!allFinite(tensor.data))
      throw new ShapeError(`${basename(this.#path)} gave values in "${name}" that are not finite.`)
    return tensor.data
  }
}

export function allFinite(values: Float32Array): boolean {
  for (let index = 0; index < values.length; index += 1) if (!Number.isFinite(values[index])) return false
  return true
}

/** [checked] */
async function load(file: ModelFile, settings: SessionSettings): Promise<InferenceSession> {
  const bytes = await readModelFile(file, settings.maxFileBytes)
  try {
    const { externalTensors } = inspectOnnx(bytes)
    if (externalTensors.length > 0) {
      const message = `${file.path} wants to read tensors from other files ("${externalTensors[0]}"), which is refused. Save the model as one file.`
      throw new SetupError('model-external-data', message)
    }
    return await InferenceSession.create(bytes, {
      executionProviders: [...settings.executionProviders],
      intraOpNumThreads: settings.intraOpThreads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
    })
  } catch (cause) {
    if (cause instanceof SetupError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new SetupError('model-unreadable', `${file.path} is not a model that can be loaded: ${reason}`, { cause })
  }
}

/** @returns names of the session's inputs. @throws SetupError 'model-interface' that says what is there and what should be. */
function checkInterface(session: InferenceSession, expected: GraphExpectation, path: string): ReadonlySet<string> {
  const faults: string[] = []
  const tensors = (all: readonly InferenceSession.ValueMetadata[]) =>
    new Map(all.filter((value) => value.isTensor).map((value) => [value.name, value]))
  const inputs = tensors(session.inputMetadata)
  const outputs = tensors(session.outputMetadata)

  for (const { name, type, shape } of expected.inputs) {
    const found = inputs.get(name)
    if (found === undefined) faults.push(`no input "${name}"; it has ${quoted(session.inputNames)}`)
    else if (found.type !== type) faults.push(`input "${name}" is ${found.type}, not ${type}`)
    else if (!fits(found.shape, shape)) faults.push(`input "${name}" is [${found.shape}], not [${shape}]`)
  }
  const fed = new Set([...expected.inputs.map(({ name }) => name), ...(expected.optionalInputs ?? [])])
  for (const name of session.inputNames)
    if (!fed.has(name)) faults.push(`it needs an input "${name}", which nobody gives`)
  for (const { name, dims } of expected.outputs) {
    const found = outputs.get(name)
    if (found === undefined) faults.push(`no output "${name}"; it has ${quoted(session.outputNames)}`)
    else if (found.type !== 'float32') faults.push(`output "${name}" is ${found.type}, not float32`)
    else if (found.shape.length > 0 && !fits(found.shape, ['batch', dims])) {
      faults.push(`output "${name}" is [${found.shape}], not [batch, ${dims}]`)
    }
  }
  if (faults.length === 0) return new Set(session.inputNames)
  throw new SetupError(
    'model-interface',
    `${path} does not fit its profile: ${faults.join('; ')}. Correct the profile's manifest or give the right file.`,
  )
}

/** Where the file leaves a size open (a name, or a negative number) anything fits. */
function fits(found: Shape, expected: Shape): boolean {
  return (
    found.length === expected.length &&
    found.every((size, axis) => {
      const wanted = expected[axis]
      return typeof size === 'string' || size < 0 || typeof wanted === 'string' || size === wanted
    })
  )
}

const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`).join(', ')
