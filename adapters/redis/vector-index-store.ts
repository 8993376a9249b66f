/** The server behind the index: what it must be able to do, its scripts, and what is freed in the background. */
import { randomBytes } from 'node:crypto'
import type { ChainableCommander, Redis } from 'ioredis'
import { OutageError } from '../../ports/errors.ts'
import type { IndexName } from '../../ports/vector-index.ts'
import {
  asked,
  askedEach,
  DEFAULT_COMMAND_TIMEOUT_MS,
  DEFAULT_KEY_PREFIX,
  openRedis,
  type RedisOptions,
  sendOn,
} from './connection.ts'
import { OncePerConnection, SeenWrites, serverRun } from './server-memory.ts'
import { engineError, startsWith } from './vector-index-errors.ts'
import { type Script, scripts } from './vector-index-scripts.ts'
import { checkServer, failOnTimeout } from './vector-index-server.ts'

/** The generation that is meant where none is named. */
export const SERVING = ''
const ID_BYTES = 8
const DEFAULT_LEASE_MS = 30_000
const SCAN_COUNT = 1_000
const MAX_TIMER_MS = 2 ** 31 - 1

export class VectorIndexStore {
  readonly redis: Redis
  readonly prefix: string
  readonly commandTimeoutMs: number
  readonly #onError: (error: Error) => void
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #memory = new OncePerConnection(() => this.#checkMemory())
  readonly #seen = new SeenWrites()
  /** FT indexes that were seen to have all rows since the connection was made. */
  readonly #whole = new Set<string>()
  #sweeping: Promise<void> = Promise.resolve()
  #closed = false

  private constructor(redis: Redis, options: RedisOptions) {
    this.redis = redis
    this.prefix = options.keyPrefix ?? DEFAULT_KEY_PREFIX
    this.commandTimeoutMs = options.commandTimeoutMs ?? DEFAULT_COMMAND_TIMEOUT_MS
    this.#onError = options.onError
    redis.on('close', () => this.#whole.clear())
  }

  static async open(options: RedisOptions): Promise<VectorIndexStore> {
    const store = new VectorIndexStore(await openRedis(options), options)
    try {
      await checkServer(store.redis)
      await failOnTimeout(store.redis)
      await store.begin()
      store.background(store.sweep())
      return store
    } catch (error) {
      store.redis.disconnect()
      throw error
    }
  }

  /** @param generation that is meant; '' for the one that serves. */
  async run(script: Script, generation: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    const [reply] = await this.pipelined((pipeline) => this.queue(pipeline, script, generation, ...args))
    if (reply instanceof Error) throw reply
    return reply
  }

  queue(pipeline: ChainableCommander, script: Script, generation: string, ...args: (string | number | Buffer)[]): void {
    pipeline.evalsha(script.sha, 0, this.prefix, generation, ...args)
  }

  /** All that is queued must be idempotent. A command that failed leaves its error, as the ports know it, in its place. */
  async pipelined(queue: (pipeline: ChainableCommander) => void): Promise<unknown[]> {
    await this.#memory.check(this.redis.stream)
    const replies = await this.#send((pipeline) => {
      queue(pipeline)
      pipeline.mget(`${this.prefix}index:history`, `${this.prefix}index:writes`)
    })
    const seen = replies.pop()
    if (!(seen instanceof Error)) this.#seen.note(seen)
    return replies
  }

  /** What a server holds that may have forgotten writes has ended. */
  async #checkMemory(): Promise<void> {
    const run = await serverRun(sendOn(this.redis))
    const given = [newId(), ...this.#seen.words(run)]
    const [reply] = await this.#send((pipeline) => this.queue(pipeline, scripts.remember, SERVING, ...given))
    if (reply instanceof Error) throw reply
    this.#seen.noteRun(run)
  }

  async #send(queue: (pipeline: ChainableCommander) => void): Promise<unknown[]> {
    const send = async () => {
      const pipeline = this.redis.pipeline()
      queue(pipeline)
      return askedEach(pipeline)
    }
    let replies = await send()
    if (replies.some((reply) => startsWith(reply, 'NOSCRIPT'))) {
      await Promise.all(Object.values(scripts).map(({ text }) => asked(this.redis.script('LOAD', text))))
      replies = await send()
    }
    return replies.map((reply) => (reply instanceof Error ? engineError(reply) : reply))
  }

  /** @returns the generation that serves; the first one begins where there is none. */
  async begin(): Promise<string> {
    return (await this.state()).serving
  }

  /** @throws SetupError 'rebuild-running' */
  async startRebuild(leaseMs = DEFAULT_LEASE_MS): Promise<BegunRebuild> {
    await this.begin()
    const id = newId()
    await this.run(scripts.rebuild, SERVING, id, leaseMs)
    const renew = () => this.run(scripts.renew, id, leaseMs)
    return { id, renew, stopRenewing: this.#every(leaseMs / 3, renew) }
  }

  /** The first generation begins where there is none. */
  async state(): Promise<{ serving: string; building: string }> {
    const [serving, building] = (await this.run(scripts.state, SERVING, newId())) as [string, string]
    return { serving, building }
  }

  /** The generations of all servers of a sharded index, on its first; '' where there are none. */
  async shardRecord(): Promise<string> {
    return (await asked(this.redis.get(`${this.prefix}index:shards`))) ?? ''
  }

  /** @returns false where another record than the expected one stands. */
  async setShardRecord(expected: string, next: string): Promise<boolean> {
    return (await this.run(scripts.setShards, SERVING, expected, next)) === 1
  }

  /** Twice is as once. @throws SetupError 'generation-ended' */
  async promote(id: string, keepMs: number): Promise<void> {
    await this.run(scripts.promote, id, keepMs)
    if (keepMs > 0) this.#sweepLater(keepMs)
    else this.background(this.sweep())
  }

  /** Nothing happens if it is not under construction. */
  async discard(id: string): Promise<void> {
    await this.run(scripts.discard, id)
    await this.sweep()
  }

  /** Frees what ended and was dropped, one sweep after the other. */
  sweep(): Promise<void> {
    const swept = this.#sweeping.then(() => this.#sweep())
    this.#sweeping = swept.catch(() => {})
    return swept
  }

  /** Whatever is left of it is done by whoever opens the store next. */
  #sweepLater(delayMs: number): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        this.background(this.sweep())
      },
      Math.min(delayMs, MAX_TIMER_MS),
    )
    this.#timers.add(timer.unref())
  }

  /** @returns what stops it. */
  #every(ms: number, work: () => Promise<unknown>): () => void {
    const timer = setInterval(() => this.background(work()), ms).unref()
    this.#timers.add(timer)
    return () => {
      clearInterval(timer)
      this.#timers.delete(timer)
    }
  }

  /**
   * After a restart, or when its schema was changed by hand, an index may be searched before the engine has all its rows.
   * Looked at once a connection. @throws OutageError 'redis-unavailable' while that is so
   */
  async checkWhole(ftName: string): Promise<void> {
    if (this.#whole.has(ftName)) return
    const { done, rows } = await this.indexed(ftName)
    if (!done) {
      throw new OutageError('redis-unavailable', `The Query Engine is still indexing ${ftName}, ${rows} rows so far.`)
    }
    this.#whole.add(ftName)
  }

  /** How far the engine has come with the rows of an index. */
  async indexed(ftName: string): Promise<{ done: boolean; rows: number }> {
    const info = (await asked(this.redis.call('FT.INFO', ftName))) as unknown[]
    const value = (name: string) => Number(info[info.indexOf(name) + 1])
    return { done: value('indexing') === 0 && value('percent_indexed') === 1, rows: value('num_docs') }
  }

  background(work: Promise<unknown>): void {
    work.catch((error: Error) => {
      if (!this.#closed) this.#onError(error)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    await this.#sweeping
    this.redis.disconnect()
  }

  async #sweep(): Promise<void> {
    for (const uid of (await this.run(scripts.sweep, '')) as string[]) {
      const pattern = `${this.prefix}row:${uid}:`.replaceAll(/[\\*?[\]]/g, '\\$&')
      let cursor = '0'
      do {
        if (this.#closed) return
        const [next, keys] = await asked(this.redis.scan(cursor, 'MATCH', `${pattern}*`, 'COUNT', SCAN_COUNT))
        if (keys.length > 0) await asked(this.redis.unlink(keys))
        cursor = next
      } while (cursor !== '0')
      await asked(this.redis.srem(`${this.prefix}index:garbage`, uid))
    }
  }
}

export interface BegunRebuild {
  readonly id: string
  /** Its lease, from now. @throws SetupError 'generation-ended' unless it is under construction or serves. */
  renew(): Promise<unknown>
  stopRenewing(): void
}

export function newId(): string {
  return randomBytes(ID_BYTES).toString('hex')
}

/** One index as the store knows it. */
export interface Entry {
  /** As it lies in the store. */
  readonly text: string
  readonly uid: string
  readonly dims: number
  /** Fewer than now when it was looked at some time ago. */
  readonly rows: number
  /** Numeric fields of the schema; they only grow. */
  readonly fields: ReadonlySet<string>
}

export function readEntry(text: string, rows: number, fields: readonly string[]): Entry {
  const [uid, dims] = text.split(' ') as [string, string]
  return { text, uid, dims: Number(dims), rows, fields: new Set(fields) }
}

export function nameText({ release, kind }: IndexName): string {
  return `${kind}/${release}`
}
