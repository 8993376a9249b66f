/**
 * redis-om on its own `redis` client, with the same promises as connection.ts: [deadline], [no queue], [reconnect],
 * [errors]; and rights that were taken away while it is open are an outage, for no record is to blame.
 *
 * The client itself has no time limit for commands or for its handshake, so that a connection which is lost without a
 * word waits for ever, and commands sent meanwhile are lost or sent later (redis/node-redis#2205, #2632, #2688, #2785).
 * It is therefore used for one connection and never reconnects:
 *
 *   [one life]  a client whose socket fails, whose server has become read-only, or on which nothing came back for a whole
 *               deadline, is dropped and a new one takes its place; redis-om's repositories follow. A client that is dropped while its socket is being
 *               opened ends once it is open: before that the library cannot end it
 *
 * A write that was given up may still be carried out, until the network has forgotten it.
 */
import { ReplyError } from 'ioredis'
import { createClient, ErrorReply } from 'redis'
import { Client as OmHandle, type RedisConnection } from 'redis-om'
import { OutageError, SetupError } from '../../ports/errors.ts'
import { withDeadline } from '../with-deadline.ts'
import { definedOnly, readUrl, reconnectDelayMs } from './address.ts'
import { catalogueScripts } from './catalogue-scripts.ts'
import {
  DEFAULT_COMMAND_TIMEOUT_MS,
  isReadOnly,
  type RedisOptions,
  redisError,
  type SendCommand,
} from './connection.ts'

/** Commands on the way at most; one more is refused at once. */
const MAX_COMMANDS = 10_000
/** A TCP connection, a handshake and a question. */
const OPEN_TIMEOUTS = 3

export interface OmClient {
  /** For redis-om's repositories. */
  readonly handle: OmHandle
  /** What `work` asks of the client, within the deadline. @throws OutageError 'redis-unavailable' */
  ask<T>(work: (client: OmRedis) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** @throws as openRedis */
export async function openOmClient(options: RedisOptions): Promise<OmClient> {
  const client = new SteadyClient(options)
  await client.open()
  return client
}

class SteadyClient implements OmClient {
  readonly handle = new OmHandle()
  readonly #options: RedisOptions
  readonly #timeoutMs: number
  readonly #where: string
  /** The one that commands go to, and the one that is to follow. */
  #live: Life | undefined
  #opening: Life | undefined
  #retry: NodeJS.Timeout | undefined
  #closed = false
  /** When something last came back, on the clock of `performance`. */
  #heardAt = 0

  constructor(options: RedisOptions) {
    const { host, port } = readUrl(options.url)
    this.#options = options
    this.#timeoutMs = options.commandTimeoutMs ?? DEFAULT_COMMAND_TIMEOUT_MS
    this.#where = `${host}:${port}`
  }

  async open(): Promise<void> {
    const life = beginLife(this.#options, this.#timeoutMs, (error) => this.#lose(life, error))
    this.#opening = life
    try {
      await withDeadline(life.client.connect(), OPEN_TIMEOUTS * this.#timeoutMs, () => this.#silent())
    } catch (error) {
      life.end()
      throw this.#translated(error)
    }
    this.#live = life
    this.handle.useNoClose(life.client as unknown as RedisConnection)
  }

  async ask<T>(work: (client: OmRedis) => Promise<T>): Promise<T> {
    const life = this.#live
    if (life === undefined) throw new OutageError('redis-unavailable', `Redis at ${this.#where} is away.`)
    const askedAt = performance.now()
    const late = this.#silent()
    try {
      const answer = await withDeadline(work(life.client), this.#timeoutMs, () => late)
      this.#heardAt = performance.now()
      return answer
    } catch (error) {
      if (error instanceof ErrorReply) this.#heardAt = performance.now()
      const isSilent = error === late && this.#heardAt < askedAt
      if (isSilent || mayBeReadOnly(error)) this.#lose(life, error) // [one life]
      const known = this.#translated(error)
      throw known instanceof SetupError ? new OutageError('redis-unavailable', known.message, { cause: known }) : known
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#live?.end()
    this.#opening?.end()
    this.#live = undefined
  }

  #lose(life: Life, error: unknown): void {
    if (this.#live !== life) return
    this.#live = undefined
    life.end()
    this.#options.onError(this.#translated(error))
    this.#reopen(1)
  }

  #reopen(attempt: number): void {
    this.#retry = setTimeout(() => {
      this.open().catch((error) => {
        if (this.#closed) return
        this.#options.onError(error)
        this.#reopen(attempt + 1)
      })
    }, reconnectDelayMs(attempt))
  }

  #silent(): OutageError {
    return new OutageError('redis-unavailable', `Redis at ${this.#where} does not answer; waiting for it.`)
  }

  #translated(error: unknown): Error {
    return redisError(error instanceof ErrorReply ? new ReplyError(error.message) : error, this.#where)
  }
}

/** A transaction that is refused does not say why. */
function mayBeReadOnly(error: unknown): boolean {
  return error instanceof ErrorReply && (isReadOnly(error) || error.message.startsWith('EXECABORT'))
}

export function sendOn(client: OmRedis): SendCommand {
  return (...words) => client.sendCommand(words)
}

/** A client for one connection. [one life] */
interface Life {
  readonly client: OmRedis
  /** Now if the socket is open, else as soon as it is. */
  end(): void
}

export type OmRedis = ReturnType<typeof newClient>

function beginLife(options: RedisOptions, timeoutMs: number, onError: (error: unknown) => void): Life {
  const client = newClient(options, timeoutMs)
  let [isOpen, ended] = [false, false]
  const disconnect = () => client.disconnect().catch(() => {}) // it complains when it is closed already
  client.on('error', onError)
  client.on('connect', () => {
    isOpen = true
    if (ended) setImmediate(disconnect) // once the handshake is on its way: before, the client cannot catch its own errors
  })
  return {
    client,
    end() {
      ended = true
      if (isOpen) disconnect()
    },
  }
}

function newClient(options: RedisOptions, timeoutMs: number) {
  const { tls, username, password } = options
  const { host, port, db, ...fromUrl } = readUrl(options.url)
  const socket = { host, port, connectTimeout: timeoutMs, reconnectStrategy: false as const }
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
