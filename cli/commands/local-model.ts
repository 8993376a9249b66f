import { Command, InvalidArgumentError } from 'commander'
import { bareEnvironment } from '../../adapters/local-model/bare-environment.ts'
import { loadLocalModel } from '../../adapters/local-model/load.ts'
import { buildLocalModelServer, isLoopback } from '../../adapters/local-model/server.ts'
import { SetupError } from '../../ports/errors.ts'
import { say } from '../terminal.ts'
import { endClosed, untilStopped } from './until-stopped.ts'

interface Options {
  readonly gguf: string
  readonly host: string
  readonly port: string
  readonly allowRemote?: boolean
  readonly context: number
  readonly parallel: number
  readonly threads?: number
  readonly folder?: string
}

/** It reads no configuration and hands no password on: what it opens is somebody's file. */
export const localModelCommand = () =>
  new Command('local-model')
    .description('serve a language model of this machine, from a GGUF file, like an OpenAI endpoint')
    .requiredOption('--gguf <file>', 'the model; take it only from whom you would take a program')
    .option('--port <number>', 'port of its own; 0 takes a free one', '8091')
    .option('--host <address>', 'address of its own', '127.0.0.1')
    .option('--allow-remote', 'listen on a --host that others reach: it asks for no key')
    .option('--context <tokens>', 'tokens of a prompt and its answer', integer(256, 1_048_576), 2_048)
    .option('--parallel <number>', 'completions side by side, each with its own --context', integer(1, 64), 4)
    .option('--threads <number>', 'threads; half the cores if absent, which other work shares', integer(1, 256))
    .option('--folder <path>', 'that npm run local-model:install filled, if another than by default')
    .action(async (_options: unknown, command: Command) => {
      // --port and --host are options of the whole program too, which then takes them for its own.
      const { gguf, host, port, allowRemote, context, parallel, threads, folder } = command.optsWithGlobals<Options>()
      if (!isLoopback(host) && !allowRemote) {
        const message = `${host} may be reached by others, and the model asks for no key. Add --allow-remote if that is meant`
        throw new SetupError('remote-not-allowed', message)
      }
      bareEnvironment(process.env)
      const loading = new AbortController()
      const warn = (line: string) => process.stderr.write(`${printable(line)}\n`)
      const model = Promise.resolve().then(() =>
        loadLocalModel({ gguf, contextTokens: context, parallel, threads, folder, warn, signal: loading.signal }),
      )
      model.catch(() => {}) // untilStopped tells of it
      const server = buildLocalModelServer({ bindHost: host, model, warn })
      try {
        const url = await listen(server, host, Number(port))
        say(`Loading ${gguf} …`)
        await untilStopped(forever(), async (stopping) => {
          const { name, contextTokens } = await model
          say(`The local model is up: ${url}/v1 (${name}, ${parallel} at a time, ${contextTokens} tokens each)`)
          await new Promise((resolve) => stopping.addEventListener('abort', resolve))
        })
      } finally {
        loading.abort()
        await server.close()
        await model.then((loaded) => loaded.close()).catch(() => {})
        endClosed()
      }
    })

const forever = () => new Promise<never>(() => {})

async function listen(server: ReturnType<typeof buildLocalModelServer>, host: string, port: number): Promise<string> {
  try {
    return await server.listen({ host, port })
  } catch (cause) {
    const message = `Cannot listen on port ${port} of ${host}: ${(cause as Error).message}. Choose others with --host and --port`
    throw new SetupError('cannot-listen', message, { cause })
  }
}

/** llama.cpp's words may come from the file. */
const printable = (line: string) => line.replace(/(?![\n\t])\p{Cc}/gu, '\ufffd')

function integer(min: number, max: number) {
  return (text: string): number => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`a whole number from ${min} to ${max}.`)
    }
    return value
  }
}
