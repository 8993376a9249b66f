/** The product as a user runs it: `cuestream up` in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../../cli/bin.js', import.meta.url))

/** The shell's own services are not the product's: a test that wants them says so in `env`. */
const { KAFKA_BROKERS: _kafka, SCHEMA_REGISTRY_URL: _registry, REDIS_URL: _redis, ...environment } = process.env

export interface ProductProcess {
  readonly url: string
  readonly process: ChildProcess
  /** SIGKILL: no chance to clean up. */
  kill(): Promise<void>
  /** SIGTERM, and the exit code that it ends with. */
  stop(): Promise<number | null>
  /** SIGINT to the whole process group, as Ctrl-C in a terminal, and the exit code. */
  interrupt(): Promise<number | null>
}

/** @returns once the gateway answers. Rejects with the output if the process ends before. */
export async function startProduct(
  dataFolder: string,
  { args = ['up', '--no-samples'], env = {} }: { args?: readonly string[]; env?: Record<string, string> } = {},
): Promise<ProductProcess> {
  const child = spawn(process.execPath, [bin, '--data-folder', dataFolder, '--port', '0', ...args], {
    env: { ...environment, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a group of its own, to be interrupted as one
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  let output = ''
  child.stderr.on('data', (chunk) => {
    output = (output + chunk).slice(-4_000)
  })
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      output += `${line}\n`
      const found = /^Cuestream is up: (\S+)$/.exec(line)
      if (found !== null) resolve(found[1]!)
    })
    void exited.then((code) => reject(new Error(`cuestream ended with ${code}:\n${output}`)))
  })
  // A test that fails leaves it behind: that must not keep the test's own process waiting.
  child.unref()
  for (const pipe of [child.stdout, child.stderr]) (pipe as Socket).unref()
  process.once('exit', () => child.kill('SIGKILL'))
  const interrupt = () => {
    child.ref()
    process.kill(-child.pid!, 'SIGINT')
    return exited
  }
  const end = (signal: NodeJS.Signals) => {
    child.ref()
    child.kill(signal)
    return exited
  }
  return { url, process: child, kill: async () => void (await end('SIGKILL')), stop: () => end('SIGTERM'), interrupt }
}

/** Runs a command to its end. */
export async function runCommand(dataFolder: string, args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [bin, '--data-folder', dataFolder, ...args], {
    env: { ...environment, NO_COLOR: '1', CUESTREAM_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout, stderr }
}
