/**
 * The `redis` client that redis-om stands on, with the same promises as connection.ts: [deadline], [no queue],
 * [reconnect], [errors]. The client itself has no time limit for commands, and one whose connection is lost without a
 * word waits for ever (redis/node-redis#2205, #2688, #2785): each call is raced against a deadline here, and after some
 * in a row that got no answer the connection is made anew.
 */
import { ReplyError } from 'ioredis'
import { createClient, ErrorReply } from 'redis'
import { OutageError } from '../../ports/errors.ts'
import { withDeadline } from '../with-deadline.ts'
import { definedOnly, readUrl, reconnectDelayMs } from './address.ts'
import { catalogueScripts } from './catalogue-scripts.ts'
import { DEFAULT_COMMAND_TIMEOUT_MS, type RedisOptions, redisError } from './connection.ts'

/** Replies that fail to come, one after the other, before the connection is given up. */
const SILENT_REPLIES = 3
/** Commands on the way at most; one more is refused at once. */
const MAX_COMMANDS = 10_000

function newClient(options: RedisOptions) {
  const { commandTimeoutMs = DEFAULT_COMMAND_TIMEOUT_MS, tls, username, password } = options
  const { host, port, db, ...fromUrl } = readUrl(options.url)
  const socket = {
    host,
    port,
    connectTimeout: commandTimeoutMs,
    reconnectStrategy: (n: number) => reconnectDelayMs(n + 1),
  }
  const secure = tls === undefined ? fromUrl.secure : tls !== false
  return createClient({
    socket: secure ? { ...socket, tls: true, ...(typeof tls === 'object' ? definedOnly(tls) : {}) } : socket,
    ...definedOnly({ username: username ?? fromUrl.username, password: password ?? fromUrl.password }),
    database: db,
    disableOfflineQueue: true,
    commandsQueueMaxLength: MAX_COMMANDS,
    scripts: catalogueScripts,
  })
}

export type OmRedis = ReturnType<typeof newClient>

export interface OmClient {
  /** For redis-om's repositories. */
  readonly client: OmRedis
  /** What `work` asks of the client, within the deadline. */
  ask<T>(work: (client: OmRedis) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** @throws as openRedis */
export async function openOmClient(options: RedisOptions): Promise<OmClient> {
  const { commandTimeoutMs = DEFAULT_COMMAND_TIMEOUT_MS, onError } = options
  const client = newClient(options)
  const { host, port } = readUrl(options.url)
  const translated = (error: unknown) =>
    redisError(error instanceof ErrorReply ? new ReplyError(error.message) : error, `${host}:${port}`)
  const late = () => new OutageError('redis-unavailable', `Redis at ${host}:${port} does not answer; waiting for it.`)
  let [opening, closed, silent] = [true, false, 0]
  let last: Error | undefined
  client.on('error', (error: unknown) => {
    last = translated(error)
    if (!opening) onError(last)
  })

  async function reconnect(): Promise<void> {
    silent = 0
    await client.disconnect().catch(() => {})
    if (!closed) await client.connect()
  }

  try {
    await withDeadline(client.connect(), 3 * commandTimeoutMs, late)
  } catch (error) {
    await client.disconnect().catch(() => {})
    throw last ?? translated(error)
  }
  opening = false

  return {
    client,
    async ask(work) {
      try {
        const answer = await withDeadline(work(client), commandTimeoutMs, late)
        silent = 0
        return answer
      } catch (error) {
        if (error instanceof OutageError && ++silent === SILENT_REPLIES)
          reconnect().catch((cause) => onError(translated(cause)))
        throw translated(error)
      }
    },
    async close() {
      closed = true
      await client.disconnect().catch(() => {})
    },
  }
}
