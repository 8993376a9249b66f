/**
 * Runs ffmpeg or ffprobe on a hostile file.
 *
 *   [argv]    fixed arguments, never a shell; nothing on standard input
 *   [bare]    no environment of ours, low priority; its working folder is empty and already removed, so nothing can be
 *             made in it and nothing of it is left, even if we are killed
 *   [rlimit]  memory, CPU time, open files; no core dump, and not one byte into any file (where `prlimit` is there)
 *   [apart]   a process group of its own: Ctrl-C in a terminal does not reach it and make a good file look broken
 *   [killed]  SIGKILL on stop(); `ended` resolves once the process is reaped
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { constants, setPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'

/**
 * A statically linked build loads glibc's character sets as plug-ins, and crashes where the system's glibc is another
 * (seen with MPEG-TS, whose programme names are converted). From a folder that does not exist it loads none.
 */
const environment = { GCONV_PATH: '/nonexistent' }

const stderrTailBytes = 8 * 1024

export interface LockedCommand {
  readonly binary: string
  readonly argv: readonly string[]
  readonly prlimit: string | undefined
  readonly maxMemoryBytes: number
  readonly maxCpuSeconds: number
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** The last of what it said, bounded. */
  readonly stderr: string
}

export interface LockedProcess {
  readonly stdout: Readable
  /** Rejects only when the process could not be started. */
  readonly ended: Promise<Exit>
  stop(): void
}

export function startLocked(command: LockedCommand): LockedProcess {
  const folder = mkdtempSync(join(tmpdir(), 'cuestream-decoder-')) // [bare]
  const [file, ...argv] = withLimits(command)
  const child = spawn(file, argv, {
    cwd: folder,
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    windowsHide: true,
    detached: true, // [apart]
  }) // [argv]
  rmdirSync(folder) // the child is in it by now
  lowerPriority(child.pid)

  let stderr = Buffer.alloc(0)
  child.stderr.on('data', (data: Buffer) => {
    stderr = Buffer.concat([stderr, data]).subarray(-stderrTailBytes)
  })
  const ended = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stderr: stderr.toString('utf8') }))
  })
  ended.catch(() => {}) // whoever awaits it sees the rejection
  return {
    stdout: child.stdout,
    ended,
    stop() {
      child.kill('SIGKILL') // [killed]
      child.stdout.destroy()
    },
  }
}

/** prlimit sets the limits on itself and becomes the command: same process id, so a kill reaches it. [rlimit] */
function withLimits({ binary, argv, prlimit, maxMemoryBytes, maxCpuSeconds }: LockedCommand): [string, ...string[]] {
  if (prlimit === undefined) return [binary, ...argv]
  const limits = [`--as=${maxMemoryBytes}`, `--cpu=${Math.ceil(maxCpuSeconds)}`, '--nofile=64', '--core=0', '--fsize=0']
  return [prlimit, ...limits, '--', binary, ...argv]
}

function lowerPriority(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL)
  } catch {
    // It has ended already, or the system does not let us: it runs as it is.
  }
}
