/**
 * Performs independent runs in processes of their own, some at a time: a process that ends takes one run with it and no
 * more, and what one run leaves in memory is no other's.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { SetupError } from '../../ports/errors.ts'
import type { EpochReport } from '../train.ts'
import type { FromRunProcess, ToRunProcess } from './run-process.ts'
import type { Run, RunData, RunResult } from './runs.ts'

export interface NamedRun {
  readonly name: string
  readonly run: Run
}

export interface RunPoolOptions {
  /** Runs at a time. */
  readonly jobs: number
  /** Of each run. */
  readonly threads: number
  onEpoch?(run: NamedRun, report: EpochReport): void
  onBegin?(run: NamedRun): void
  /** The next run of this process waits for it. */
  onDone(run: NamedRun, result: RunResult): Promise<void>
}

/** @throws SetupError of the first run that fails; the others are stopped. */
export async function performAll(runs: readonly NamedRun[], data: RunData, options: RunPoolOptions): Promise<void> {
  const waiting = [...runs]
  const processes: ChildProcess[] = []
  const work = async () => {
    const child = startProcess()
    processes.push(child)
    child.send({ kind: 'data', data, threads: options.threads } satisfies ToRunProcess)
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      options.onBegin?.(next)
      await options.onDone(next, await performIn(child, next, options))
    }
    child.disconnect()
  }
  try {
    await Promise.all(Array.from({ length: Math.min(options.jobs, runs.length) }, work))
  } finally {
    for (const child of processes) child.kill()
  }
}

function startProcess(): ChildProcess {
  return fork(fileURLToPath(new URL('./run-process.ts', import.meta.url)), {
    execArgv: ['--import', import.meta.resolve('tsx')],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

function performIn(child: ChildProcess, named: NamedRun, { onEpoch }: RunPoolOptions): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: FromRunProcess) => {
      if (message.kind === 'epoch') return onEpoch?.(named, message.report)
      settle()
      if (message.kind === 'done') resolve(message.result)
      else reject(new SetupError(message.code, `${named.name}: ${message.message}`))
    }
    const onExit = (code: number | null, signal: string | null) => {
      settle()
      const how = signal === null ? `with code ${code}` : `by ${signal}`
      reject(new SetupError('run-ended', `The process of ${named.name} ended ${how}. Runs that are done are kept.`))
    }
    const settle = () => child.off('message', onMessage).off('exit', onExit)
    child.on('message', onMessage).on('exit', onExit)
    child.send({ kind: 'run', run: named.run } satisfies ToRunProcess)
  })
}
