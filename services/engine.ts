/** Whether a Docker engine of this machine answers, asked before anything slow is loaded. */
import { existsSync } from 'node:fs'
import { get } from 'node:http'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** An engine that takes a connection and says nothing is passed over. */
const PING_TIMEOUT_MS = 3_000

export interface Engine {
  /** How HTTP reaches it. */
  readonly address: { readonly socketPath: string } | { readonly host: string; readonly port: number }
}

/** @returns the engine, or why there is none. */
export async function findEngine(env = process.env): Promise<Engine | string> {
  const address = addressOf(env)
  if (typeof address === 'string') return address
  const where = 'socketPath' in address ? address.socketPath : `${address.host}:${address.port}`
  const answer = await ping(address)
  return answer === 'OK' ? { address } : `the Docker engine at ${where} does not answer (${answer})`
}

function addressOf(env: NodeJS.ProcessEnv): Engine['address'] | string {
  const given = env.DOCKER_HOST
  if (given === undefined || given === '') {
    const usual = [
      '/var/run/docker.sock',
      ...(env.XDG_RUNTIME_DIR === undefined ? [] : [join(env.XDG_RUNTIME_DIR, 'docker.sock')]),
      join(homedir(), '.docker', 'run', 'docker.sock'),
    ]
    const socketPath = usual.find((path) => existsSync(path))
    return socketPath === undefined
      ? 'there is no Docker engine: DOCKER_HOST is not set, no docker.sock'
      : { socketPath }
  }
  const url = URL.canParse(given) ? new URL(given) : undefined
  if (url?.protocol === 'unix:') return { socketPath: url.pathname }
  if (url?.protocol === 'tcp:' && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname)) {
    return { host: url.hostname, port: Number(url.port || 2375) }
  }
  // The services listen on the loopback of the engine's machine.
  return `DOCKER_HOST=${given} is no engine of this machine`
}

/** @returns "OK", or what went wrong. */
function ping(address: Engine['address']): Promise<string> {
  return new Promise((resolve) => {
    const request = get({ ...address, path: '/_ping' }, (response) => {
      response.resume()
      resolve(response.statusCode === 200 ? 'OK' : `status ${response.statusCode}`)
    })
    request.setTimeout(PING_TIMEOUT_MS, () => request.destroy(new Error(`no answer in ${PING_TIMEOUT_MS} ms`)))
    request.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
}
