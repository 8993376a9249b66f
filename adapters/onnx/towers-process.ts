/**
 * The towers of a release in a process of their own. onnxruntime does not give back all that a session held
 * (microsoft/onnxruntime#25325), so that releases which come and go in one process would fill its memory: here no session
 * is ever loaded in place of another, and a release that goes takes its process with it.
 *
 *   [tied]      the process ends with this one, however that ends
 *   [deadline]  a call is answered within `deadlineMs` or fails as RetryableError; a process that has answered nothing in
 *               that time is ended
 *   [again]     a process that ends is started anew, later each time; the calls it had fail as RetryableError
 */
import { type ChildProcess, fork } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { FeatureSequence, QueryInput, ReleaseTowers } from '../../ports/encoder.ts'
import { InvalidRecordError, RetryableError, ShapeError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import type { FromChild, ToChild, TowersFailure } from './towers-messages.ts'

const CHILD = fileURLToPath(new URL('./towers-child.ts', import.meta.url))
const DEADLINE_MS = 10_000
const FIRST_WAIT_MS = 200
const LONGEST_WAIT_MS = 10_000
/** For one that does not end by itself. */
const END_WITHIN_MS = 2_000

export interface TowersProcess extends ReleaseTowers {
  readonly manifest: ReleaseManifest
  /** Of the process that runs now. */
  readonly pid: number | undefined
  /** Resolves once the towers are loaded. @throws InvalidRecordError 'tampered-release' | 'unusable-release' */
  ready(): Promise<void>
  /** Lets the calls under way end, and then the process. Resolves when it is gone. */
  close(): Promise<void>
}

export interface TowersProcessOptions {
  readonly deadlineMs?: number
  /** Whether a process that ended is started anew. [again] Default true. */
  readonly restarts?: boolean
  /** Whether what answers goes before it on the processor. Default false. */
  readonly background?: boolean
  /** Told of a process that ended or could not load, and was not closed. */
  readonly onEnd?: (error: Error) => void
}

/** @throws InvalidRecordError 'unknown-release' | 'tampered-release': nothing is started then. */
export async function startTowers(
  store: ModelStore,
  release: string,
  options: TowersProcessOptions = {},
): Promise<TowersProcess> {
  const { manifest, directory } = await store.fetch(release)
  return new ChildTowers(manifest, directory, options)
}

interface Call {
  settle(outcome: { result: unknown } | { error: Error }): void
}

class ChildTowers implements TowersProcess {
  readonly release: string
  readonly dims: number
  readonly encoders: ReleaseTowers['encoders']
  readonly manifest: ReleaseManifest
  readonly #directory: string
  readonly #options: TowersProcessOptions
  readonly #deadlineMs: number
  readonly #calls = new Map<number, Call>()
  #child: ChildProcess | undefined
  #loaded = deferred()
  #lastCall = 0
  #lastReplyAt = 0
  /** Processes that ended, one after the other, with no call answered in between. */
  #failures = 0
  #restart: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined

  constructor(manifest: ReleaseManifest, directory: string, options: TowersProcessOptions) {
    const { video, music, text } = manifest.encoders
    this.release = manifest.release
    this.dims = manifest.dims
    this.encoders = { video: video.id, music: music.id, text: text.id }
    this.manifest = manifest
    this.#directory = directory
    this.#options = options
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS
    this.#start()
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async ready(): Promise<void> {
    // The process alone keeps nothing alive: who waits for it does.
    const waiting = setInterval(() => {}, this.#deadlineMs)
    await this.#loaded.promise.finally(() => clearInterval(waiting))
  }

  query(input: QueryInput): Promise<Float32Array> {
    return this.#call<Float32Array>((call) => ({ kind: 'query', call, input }))
  }

  music(input: FeatureSequence): Promise<{ whole: Float32Array; segments: Float32Array }> {
    return this.#call<{ whole: Float32Array; segments: Float32Array }>((call) => ({ kind: 'music', call, input }))
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    clearTimeout(this.#restart)
    const underWay = [...this.#calls.values()].map(
      (call) =>
        new Promise<void>((resolve) => {
          const { settle } = call
          call.settle = (outcome) => {
            settle(outcome)
            resolve()
          }
        }),
    )
    await Promise.all(underWay) // each ends by its deadline
    const child = this.#child
    if (child === undefined) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.ref()
    if (child.connected) child.disconnect()
    const impatience = setTimeout(() => child.kill('SIGKILL'), END_WITHIN_MS)
    await gone
    clearTimeout(impatience)
  }

  #start(): void {
    const child = fork(CHILD, {
      execArgv: ['--import', import.meta.resolve('tsx')],
      serialization: 'advanced',
      detached: true, // Ctrl-C goes to the parent, which ends it in order
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#child = child
    child.unref()
    child.channel?.unref() // [tied] the child sees its end of the channel close
    child.once('exit', (code, signal) => this.#ended(child, `ended by ${signal ?? `exit code ${code}`}`))
    child.once('error', (error) => this.#ended(child, `cannot be started: ${error.message}`))
    child.on('message', (message: FromChild) => this.#hear(message))
    if (this.#options.background) giveWay(child)
    this.#send({ kind: 'open', manifest: this.manifest, directory: this.#directory })
  }

  #send(message: ToChild): void {
    // One that cannot be sent: the process has ended, and its calls fail with it.
    this.#child?.send(message, undefined, undefined, () => {})
  }

  #hear(message: FromChild): void {
    this.#lastReplyAt = performance.now()
    if (message.kind === 'opened') this.#loaded.resolve()
    else if (message.kind === 'refused') {
      this.#loaded.reject(errorOf(message.error))
      this.#child?.disconnect()
    } else if (message.kind === 'done') {
      this.#failures = 0
      this.#calls.get(message.call)?.settle({ result: message.result })
    } else this.#calls.get(message.call)?.settle({ error: errorOf(message.error) })
  }

  /** [again] */
  #ended(child: ChildProcess, how: string): void {
    if (this.#child !== child) return
    this.#child = undefined
    const why = `The process of release ${this.release} ${how}`
    const error = new RetryableError('towers-ended', why)
    for (const call of [...this.#calls.values()]) call.settle({ error })
    this.#loaded.reject(error)
    if (this.#closing !== undefined) return
    this.#options.onEnd?.(error)
    if (this.#options.restarts === false) return
    this.#loaded = deferred()
    const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures++)
    this.#restart = setTimeout(() => this.#start(), waitMs).unref()
  }

  /** [deadline] */
  #call<T>(message: (call: number) => ToChild): Promise<T> {
    const call = ++this.#lastCall
    const calledAt = performance.now()
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        const text = `Release ${this.release} has not answered within ${this.#deadlineMs} ms; try again later`
        this.#calls.get(call)?.settle({ error: new RetryableError('towers-deadline', text) })
        if (this.#lastReplyAt < calledAt) this.#child?.kill('SIGKILL')
      }, this.#deadlineMs)
      this.#calls.set(call, {
        settle: (outcome) => {
          clearTimeout(timer)
          this.#calls.delete(call)
          if ('error' in outcome) reject(outcome.error)
          else resolve(outcome.result as T)
        },
      })
      this.#loaded.promise.then(
        () => this.#send(message(call)),
        (cause: Error) => {
          const text = `Release ${this.release} is not loaded: ${cause.message}`
          this.#calls.get(call)?.settle({ error: new RetryableError('towers-not-loaded', text, { cause }) })
        },
      )
    })
  }
}

function giveWay({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_LOW)
  } catch (error) {
    if ((error as { info?: { code?: string } }).info?.code !== 'ESRCH') throw error // it has just ended
  }
}

function errorOf({ class: kind, code, message }: TowersFailure): Error {
  if (kind === 'shape') return new ShapeError(message)
  if (kind === 'invalid-record') return new InvalidRecordError(code, message)
  return new Error(message)
}

interface Deferred {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

function deferred(): Deferred {
  let resolve = () => {}
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<void>((resolved, rejected) => {
    resolve = resolved
    reject = rejected
  })
  promise.catch(() => {}) // whoever waits for it hears of it
  return { promise, resolve, reject }
}
