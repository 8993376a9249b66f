/** A child process that never outlives this one: `hold.sh` ends it when the pipe that this process holds is closed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

const holdScript = fileURLToPath(new URL('hold.sh', import.meta.url))

/** Between SIGTERM and SIGKILL; a class archive is written in it on a busy machine. */
const GRACE_SECONDS = 60

export interface HeldProcess {
  /** Of the command, not of the script that holds it. */
  readonly pid: number
  /** How it ended: "exit code 1", "SIGKILL". */
  readonly ended: Promise<string>
  /** SIGTERM, SIGKILL when the grace is over. */
  stop(): Promise<void>
  /** Resolves once it has ended, for a signal that ends processes; at once for SIGSTOP, SIGCONT and the like. */
  kill(signal: NodeJS.Signals): Promise<void>
}

export const endsProcesses = (signal: NodeJS.Signals) => ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGQUIT'].includes(signal)

/**
 * The process does not keep this one's event loop alive: whoever waits for it waits with a timer.
 * @param options.logFile gets what the command prints, after what is there already.
 */
export async function holdProcess(
  command: string,
  args: readonly string[],
  options: { logFile: string; cwd?: string; env?: NodeJS.ProcessEnv },
): Promise<HeldProcess> {
  const log = openSync(options.logFile, 'a')
  const child = spawn('/bin/sh', [holdScript, String(GRACE_SECONDS), command, ...args], {
    cwd: options.cwd,
    env: options.env ?? process.env,
    detached: true, // Ctrl-C goes to this process alone, which ends its children in order
    stdio: ['pipe', log, log, 'pipe'],
  })
  closeSync(log)
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(describe(code, signal)))
  })
  const failed = new Promise<never>((_, reject) => child.once('error', reject))
  // Not against `ended`: a short command may be gone before its line is read.
  const pid = await Promise.race([readPid(child.stdio[3] as Readable), failed])
  if (Number.isNaN(pid)) throw new Error(`${holdScript} ended before it started ${command}: ${await ended}`)
  unref(child)

  const signal = (name: NodeJS.Signals) => {
    try {
      if (child.exitCode === null && child.signalCode === null) process.kill(pid, name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // it has just ended
    }
  }
  return {
    pid,
    ended,
    async kill(name) {
      if (endsProcesses(name)) child.ref()
      signal(name)
      if (endsProcesses(name)) await ended
    },
    async stop() {
      child.ref()
      signal('SIGTERM')
      signal('SIGCONT')
      const impatience = setTimeout(() => signal('SIGKILL'), GRACE_SECONDS * 1_000)
      await ended
      clearTimeout(impatience)
    },
  }
}

async function readPid(pipe: Readable): Promise<number> {
  let text = ''
  for await (const chunk of pipe) text += String(chunk)
  return Number.parseInt(text, 10)
}

function unref(child: ChildProcess): void {
  child.unref()
  for (const pipe of child.stdio) (pipe as (Readable & Writable & { unref?(): void }) | null)?.unref?.()
}

/** A shell says 128 + the signal's number for a command that a signal ended. */
function describe(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) return signal
  const byNumber: Record<number, string> = { 137: 'SIGKILL', 143: 'SIGTERM' }
  return byNumber[code!] ?? `exit code ${code}`
}
