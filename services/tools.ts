/** Programs of the machine that installing needs: run to their end, with what they said when they fail. */
import { type SpawnOptions, spawn } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'
import { SetupError } from '../ports/errors.ts'

const LAST_LINES = 20

/** @returns what it printed to stdout and stderr, or undefined if there is no such program or it failed. */
export async function tryTool(command: string, args: readonly string[]): Promise<string | undefined> {
  const { code, output } = await runToEnd(command, args)
  return code === 0 ? output : undefined
}

/** @throws SetupError 'install-failed' with the last lines of the program. */
export async function runTool(
  what: string,
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<void> {
  const { code, output } = await runToEnd(command, args, options)
  if (code === 0) return
  throw new SetupError(
    'install-failed',
    `${what} failed (${command} ended with ${code}). Its last lines:\n${lastLines(output)}\n` +
      'Check the network and try again; what is there already is kept.',
  )
}

export function lastLines(text: string): string {
  return stripVTControlCharacters(text)
    .trimEnd()
    .split('\n')
    .slice(-LAST_LINES)
    .map((line) => `  ${line}`)
    .join('\n')
}

function runToEnd(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<{ code: number | string; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const take = (chunk: Buffer) => {
      output = (output + String(chunk)).slice(-20_000)
    }
    child.stdout?.on('data', take)
    child.stderr?.on('data', take)
    child.once('error', (error: NodeJS.ErrnoException) => resolve({ code: error.code ?? 'error', output }))
    child.once('close', (code, signal) => resolve({ code: code ?? signal ?? 'error', output }))
  })
}
