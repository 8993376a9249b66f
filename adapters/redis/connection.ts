/**
 * A connection to Redis on which no command waits forever or is sent twice.
 *
 *   [deadline]   each command rejects after `commandTimeoutMs`; a socket that is silent for three times as long while
 *                replies are due is given up
 *   [no queue]   while the connection is away commands reject at once, and what was in flight rejects when it breaks: it
 *                may or may not have been done, so callers repeat only what is idempotent
 *   [reconnect]  goes on for ever, with bounded exponential backoff and jitter; a server that has become read-only is left,
 *                for another one may have taken its place at this address
 *   [errors]     `asked` and `askedAll` turn what the server or the socket says into the classes of ports/errors.ts; no
 *                error keeps the arguments of its command (credentials, vectors)
 *
 * RESP2, because replies of FT.* differ between the protocols. Keys are not prefixed here: the client knows neither the
 * keys of FT.* nor those that a script makes.
 */
import { type ChainableCommander, Redis, ReplyError } from 'ioredis'
import { OutageError, SetupError } from '../../ports/errors.ts'
import { withDeadline } from '../with-deadline.ts'
import { definedOnly, readUrl, reconnectDelayMs } from './address.ts'

export interface RedisOptions {
  /** redis:// or rediss://, with port and database number if they are not 6379 and 0. */
  readonly url: string
  readonly username?: string
  readonly password?: string
  /** PEM texts; `true` for the system's authorities. */
  readonly tls?: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string }
  /** Before every key and index name of ours. Default 'cuestream:'. */
  readonly keyPrefix?: string
  /** Default 2,000. */
  readonly commandTimeoutMs?: number
  /** What no caller waits for: the connection lost and tried again, work in the background. */
  readonly onError: (error: Error) => void
}

export const DEFAULT_KEY_PREFIX = 'cuestream:'
export const DEFAULT_COMMAND_TIMEOUT_MS = 2_000

const SILENT_TIMEOUTS = 3
/** Opening takes a TCP connection, a handshake and a question. */
const OPEN_TIMEOUTS = 3

/** @throws OutageError 'redis-unavailable'; SetupError 'redis-denied' | 'redis-untrusted' | 'bad-redis-url'. */
export async function openRedis(options: RedisOptions): Promise<Redis> {
  const { commandTimeoutMs = DEFAULT_COMMAND_TIMEOUT_MS, onError, tls, username, password } = options
  const { host, port, db, ...fromUrl } = readUrl(options.url)
  const where = `${host}:${port}`
  const secure = tls === undefined ? fromUrl.secure : tls !== false
  const redis = new Redis({
    host,
    port,
    db,
    ...definedOnly({ username: username ?? fromUrl.username, password: password ?? fromUrl.password }),
    ...(secure ? { tls: typeof tls === 'object' ? definedOnly(tls) : {} } : {}),
    protocol: 2,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0, // what is in flight rejects with the connection
    commandTimeout: commandTimeoutMs,
    connectTimeout: commandTimeoutMs,
    socketTimeout: SILENT_TIMEOUTS * commandTimeoutMs,
    retryStrategy: reconnectDelayMs,
    reconnectOnError: isReadOnly,
  })
  let last: Error | undefined
  let opening = true
  redis.on('error', (error: Error) => {
    last = redisError(error, where)
    if (!opening) onError(last)
  })
  const late = () => new OutageError('redis-unavailable', `Redis at ${where} does not answer; waiting for it.`)
  try {
    await withDeadline(redis.connect(), OPEN_TIMEOUTS * commandTimeoutMs, late)
  } catch (error) {
    redis.disconnect()
    throw last ?? redisError(error, where)
  }
  opening = false
  return redis
}

/** What a replica says to a write: a primary that was demoted keeps its connections. */
export function isReadOnly(error: Error): boolean {
  return error.message.startsWith('READONLY')
}

/** The reply of one command, or its error as the ports know it. */
export async function asked<T>(reply: Promise<T>): Promise<T> {
  try {
    return await reply
  } catch (error) {
    throw redisError(error)
  }
}

/** One command by its words, for what is asked of either client. @throws as `asked` */
export type SendCommand = (command: string, ...args: string[]) => Promise<unknown>

export function sendOn(redis: Redis): SendCommand {
  return (command, ...args) => asked(redis.call(command, ...args))
}

/** The replies of a pipeline, in order. @throws what its first failed command would */
export async function askedAll(pipeline: ChainableCommander): Promise<unknown[]> {
  const replies = await askedEach(pipeline)
  for (const reply of replies) if (reply instanceof Error) throw reply
  return replies
}

/** As askedAll, but a command that failed leaves its error in its place. */
export async function askedEach(pipeline: ChainableCommander): Promise<unknown[]> {
  const replies = (await asked(pipeline.exec())) ?? []
  return replies.map(([error, reply]) => (error === null ? reply : redisError(error)))
}

/** First word of the replies that tell of a server that cannot serve now. EXECABORT: it refused a part of a MULTI. */
const OUTAGES = new Set(
  'LOADING READONLY CLUSTERDOWN MASTERDOWN OOM BUSY MISCONF NOREPLICAS TRYAGAIN UNBLOCKED EXECABORT'.split(' '),
)
/** Codes of Node's TLS errors about the other side's certificate. */
const UNTRUSTED = /CERT|UNABLE_TO_(GET|VERIFY|DECRYPT)|HOSTNAME_MISMATCH/
const DENIALS = new Set(['NOAUTH', 'WRONGPASS', 'NOPERM'])

/**
 * @returns OutageError 'redis-unavailable' when Redis is away, cannot serve or did not answer in time; SetupError
 * 'redis-denied' for credentials and rights | 'redis-untrusted' for a certificate; another reply of the server as it is, without its command.
 */
export function redisError(error: unknown, where?: string): Error {
  if (!(error instanceof Error) || error instanceof OutageError || error instanceof SetupError) return error as Error
  const cause = withoutCommand(error)
  const redis = where === undefined ? 'Redis' : `Redis at ${where}`
  if (UNTRUSTED.test((error as NodeJS.ErrnoException).code ?? '')) {
    const message = `${redis} shows a certificate that is not trusted: ${cause.message}; give the authority that signed it.`
    return new SetupError('redis-untrusted', message, { cause })
  }
  if (!(error instanceof ReplyError)) {
    return new OutageError('redis-unavailable', `${redis} is away: ${cause.message}`, { cause })
  }
  const code = error.message.split(' ', 1)[0]!
  if (OUTAGES.has(code) || error.message.startsWith('ERR max number of clients')) {
    return new OutageError('redis-unavailable', `${redis} cannot serve now: ${cause.message}`, { cause })
  }
  if (DENIALS.has(code)) {
    const message = `${redis} refuses the credentials, or what they may do (${code}); check user, password and ACL.`
    return new SetupError('redis-denied', message)
  }
  return cause
}

/** ioredis keeps the whole command, AUTH with its password too, on the error, where a logger would print it. */
function withoutCommand(error: Error): Error {
  const bare = new Error(error.message || (error as NodeJS.ErrnoException).code || error.name)
  bare.name = error.name
  if (error.stack !== undefined) bare.stack = error.stack
  return bare
}
