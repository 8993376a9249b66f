/** The PyTorch side of training-step.ts: a process that takes one step for each line it is sent. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface Cost {
  readonly cpuMs: number
  readonly wallMs: number
}

export interface Torch {
  readonly version: string
  step(): Promise<Readonly<Record<string, Cost>>>
  close(): Promise<void>
}

const SCRIPT = fileURLToPath(new URL('training_step.py', import.meta.url))

/**
 * @param settings the script's argument.
 * @throws Error with the last line that Python wrote where it does not start.
 */
export async function startTorch(python: string, settings: object): Promise<Torch> {
  const child = spawn(python, [SCRIPT, JSON.stringify(settings)])
  const ended = once(child, 'close').catch((error: Error) => [error.message])
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    complaint = `${complaint}${text}`.slice(-2_000)
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await lines.next()
    if (!done) return JSON.parse(value)
    const [why] = await ended
    throw new Error(complaint.trim().split('\n').at(-1) || `${python}: ${why}`)
  }
  const { version } = await next()
  return {
    version,
    step() {
      child.stdin.write('\n')
      return next()
    },
    async close() {
      child.stdin.end()
      await ended
    },
  }
}
