/**
 * A fleet of stage processes with a supervisor, as Kubernetes would run it: whoever dies is started again at once.
 *
 *   [slots]   a slot is one instance of some processors, or of the gateway; its process changes, the slot stays
 *   [signals] faults are signals to real processes: SIGKILL, SIGTERM, SIGSTOP and SIGCONT
 *   [rss]     the memory of each process is read from /proc once a second (Linux)
 *   [orphans] a stage ends when the pipe to its parent closes, so a test that dies leaves nothing behind
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const entry = fileURLToPath(new URL('./stage-process.ts', import.meta.url))
const RSS_EVERY_MS = 1_000
const PAGE_BYTES = 4_096
/** A process that ends by itself this soon is started again a little later, as every supervisor does. */
const CRASH_LOOP_MS = 3_000
const CRASH_LOOP_WAIT_MS = 1_000
/** Who has not ended by then is killed, and its exit says so. */
const STOPS_WITHIN_MS = 40_000

export interface Exit {
  readonly slot: string
  readonly pid: number
  /** Exit code, or the signal's name. */
  readonly by: number | string
  /** Whether the test did it. */
  readonly asked: boolean
  readonly atMs: number
  readonly aliveMs: number
}

export interface RssSample {
  readonly slot: string
  readonly pid: number
  readonly atMs: number
  /** Of the process. */
  readonly ageMs: number
  readonly bytes: number
}

export interface Slot {
  /** `<processors>#<n>`, such as 'embed-music#0'. */
  readonly name: string
  /** What runs in it: processors, or 'gateway'. */
  readonly what: string
  readonly pid: number
  /** Has said that it is up. */
  readonly isUp: boolean
  /** Of the gateway that runs in it now. */
  readonly url: string
  up(): Promise<void>
  /** The supervisor starts another at once. Resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGTERM, as in a rolling restart; the supervisor starts another when it has ended. @returns its exit code */
  terminate(): Promise<number | string>
  /** SIGSTOP and SIGCONT. */
  freeze(): void
  thaw(): void
  /** Ends it for good. */
  remove(signal?: NodeJS.Signals): Promise<void>
}

export interface Fleet {
  readonly slots: readonly Slot[]
  readonly exits: readonly Exit[]
  readonly rss: readonly RssSample[]
  /** Slots of these processors. */
  of(what: string): readonly Slot[]
  add(what: string): Slot
  up(): Promise<void>
  /** SIGTERM to all that run. @returns by slot how those ended that were asked to */
  stop(): Promise<ReadonlyMap<string, number | string>>
}

export interface FleetOptions {
  /** What each slot runs, with how many there are: { 'embed-music': 3, gateway: 1 }. */
  readonly layout: Readonly<Record<string, number>>
  /** Configuration of every process. */
  readonly env: Readonly<Record<string, string>>
  /** For each process's log, `<slot>.log`. */
  readonly logFolder: string
}

export function startFleet({ layout, env, logFolder }: FleetOptions): Fleet {
  mkdirSync(logFolder, { recursive: true })
  const slots: FleetSlot[] = []
  const exits: Exit[] = []
  const rss: RssSample[] = []
  let made = 0

  function add(what: string): Slot {
    const slot = new FleetSlot({ what, name: `${what}#${made++}`, env, logFolder, onExit: (exit) => exits.push(exit) })
    slots.push(slot)
    return slot
  }
  for (const [what, instances] of Object.entries(layout)) for (let i = 0; i < instances; i++) add(what)

  const sampler = setInterval(() => {
    const atMs = performance.now()
    for (const slot of slots) {
      const bytes = residentBytes(slot.pid)
      if (bytes > 0) rss.push({ slot: slot.name, pid: slot.pid, atMs, ageMs: atMs - slot.startedAtMs, bytes })
    }
  }, RSS_EVERY_MS)

  return {
    slots,
    exits,
    rss,
    of: (what) => slots.filter((slot) => slot.what === what && !slot.isRemoved),
    add,
    async up() {
      await Promise.all(slots.map((slot) => slot.up()))
    },
    async stop() {
      clearInterval(sampler)
      await Promise.all(slots.map((slot) => slot.remove('SIGTERM')))
      return new Map(slots.filter((slot) => slot.removedBy === 'SIGTERM').map((slot) => [slot.name, slot.lastExit]))
    },
  }
}

function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES
  } catch {
    return 0 // it has just ended
  }
}

interface SlotOptions {
  readonly what: string
  readonly name: string
  readonly env: Readonly<Record<string, string>>
  readonly logFolder: string
  readonly onExit: (exit: Exit) => void
}

class FleetSlot implements Slot {
  readonly name: string
  readonly what: string
  isUp = false
  url = ''
  isRemoved = false
  removedBy: NodeJS.Signals | undefined
  startedAtMs = 0
  lastExit: number | string = 0
  readonly #options: SlotOptions
  #child!: ChildProcess
  #gone!: Promise<number | string>
  #asked = false
  #waiting: (() => void)[] = []

  constructor(options: SlotOptions) {
    this.name = options.name
    this.what = options.what
    this.#options = options
    this.#start()
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  #start(): void {
    const { env, logFolder, onExit } = this.#options
    const log = openSync(join(logFolder, `${this.name}.log`), 'a')
    const child = spawn(process.execPath, ['--import', 'tsx', entry, this.what], {
      env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
      stdio: ['pipe', 'pipe', log],
    })
    closeSync(log)
    child.stdin!.on('error', () => {}) // it has ended
    this.#child = child
    this.#asked = false
    this.startedAtMs = performance.now()
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (!line.startsWith('up ')) return
      this.url = line.slice(3)
      this.isUp = true
      for (const resolve of this.#waiting.splice(0)) resolve()
    })
    this.#gone = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        const atMs = performance.now()
        const by = code ?? signal ?? 'nothing'
        const aliveMs = atMs - this.startedAtMs
        this.isUp = false
        this.lastExit = by
        onExit({ slot: this.name, pid: child.pid ?? 0, by, asked: this.#asked, atMs, aliveMs })
        const loops = !this.#asked && aliveMs < CRASH_LOOP_MS
        if (!this.isRemoved && loops) setTimeout(() => this.isRemoved || this.#start(), CRASH_LOOP_WAIT_MS)
        else if (!this.isRemoved) this.#start()
        resolve(by)
      })
    })
  }

  async up(): Promise<void> {
    if (!this.isUp) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #end(signal: NodeJS.Signals): Promise<number | string> {
    this.#asked = true
    const gone = this.#gone
    this.#child.kill(signal)
    return gone
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  terminate(): Promise<number | string> {
    return this.#end('SIGTERM')
  }

  freeze(): void {
    this.#child.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child.kill('SIGCONT')
  }

  async remove(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.isRemoved = true
    this.removedBy ??= signal
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGCONT')
    const impatience = setTimeout(() => this.#child.kill('SIGKILL'), STOPS_WITHIN_MS)
    await this.#end(signal)
    clearTimeout(impatience)
  }
}
