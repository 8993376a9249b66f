/**
 * Whether a server still has what it acknowledged; what it holds is another generation where it may not.
 *
 *   [snapshot]  one that restarts without every write in a file (appendonly no) comes back as it was at its last snapshot
 *   [counted]   writes are counted. A server that comes back, or takes the place of another, with fewer than a client has
 *               seen has lost some: of the last moment (appendfsync everysec), or what had not reached a replica. Where no
 *               process outlived the server nobody knows
 *
 * Keys of a store, each after its prefix; `history` names what the count counts on, another one once writes were lost:
 *
 *   run, writes, base, history    the server's run, the count, what it was when this run began, random
 */
import { randomUUID } from 'node:crypto'
import type { SendCommand } from './connection.ts'

export interface ServerRun {
  /** Another one after each start of the server. */
  readonly id: string
  /** Every write goes to a file. */
  readonly keepsWrites: boolean
}

export async function serverRun(send: SendCommand): Promise<ServerRun> {
  const info = String(await send('INFO', 'server', 'persistence'))
  const value = (name: string) => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? ''
  return { id: value('run_id'), keepsWrites: value('aof_enabled') === '1' }
}

/** What a client saw of a store last. */
export class SeenWrites {
  #history = ''
  #writes = '0'
  #run = ''

  /** @param reply of MGET history writes, asked after a write on the same connection. */
  note(reply: unknown): void {
    const [history, writes] = reply as (string | null)[]
    this.#history = history ?? ''
    this.#writes = writes ?? '0'
  }

  noteRun({ id }: ServerRun): void {
    this.#run = id
  }

  /** What FORGOT is told. */
  words({ id, keepsWrites }: ServerRun): string[] {
    return [id, keepsWrites ? '1' : '0', this.#run, this.#history, this.#writes]
  }
}

/** Counts a write; `key` makes a key of the store. */
export const COUNT_WRITE = `redis.call('INCR', key('writes'))`

/** Lua: forgot(first) notes the run and says whether writes are lost. ARGV[first …] = words(), ARGV[first - 1] = a new id. */
export const FORGOT = `
local function forgot(first)
  local run, keeps, seenIn, history, writes = unpack(ARGV, first, first + 4)
  local lastRun, current = redis.call('GET', key('run')), redis.call('GET', key('history'))
  local lost = false
  if lastRun ~= run then
    redis.call('SET', key('run'), run)
    redis.call('SET', key('base'), redis.call('GET', key('writes')) or '0')
    lost = lastRun and keeps ~= '1'
  end
  if current and current == history and seenIn ~= run then
    lost = lost or tonumber(writes) > tonumber(redis.call('GET', key('base')) or writes)
  end
  if lost or not current then redis.call('SET', key('history'), ARGV[first - 1]) end
  return lost
end
`

/** ARGV[1] = prefix of the store, [2] = id of a new generation, [3 …] = words(). */
const STANDING = `
local function key(name) return ARGV[1] .. name end
${FORGOT}
local generation, isNamed = redis.call('GET', key('generation')), redis.call('EXISTS', key('run')) == 1
local lost = forgot(3) or (generation and not isNamed)
if generation and lost then redis.call('SADD', key('ended'), generation) end
if lost or not generation then
  generation = ARGV[2]
  redis.call('SET', key('generation'), generation)
end
return generation`

/**
 * @param prefix of the store; its generation lies under `generation`, those that ended under `ended`.
 * @returns the generation that stands. Another one begins where there is none, or where writes may be lost.
 */
export async function standingGeneration(send: SendCommand, prefix: string, seen: SeenWrites): Promise<string> {
  const run = await serverRun(send)
  const generation = await send('EVAL', STANDING, '0', prefix, randomUUID(), ...seen.words(run))
  seen.noteRun(run)
  return String(generation)
}

/** Looks at each connection once, before it is used; again where that failed. */
export class OncePerConnection<Connection extends object> {
  readonly #look: (connection: Connection) => Promise<unknown>
  #connection: Connection | undefined
  #looked: Promise<unknown> | undefined

  constructor(look: (connection: Connection) => Promise<unknown>) {
    this.#look = look
  }

  async check(connection: Connection): Promise<void> {
    if (this.#connection !== connection || this.#looked === undefined) {
      this.#connection = connection
      const looked = this.#look(connection)
      this.#looked = looked
      looked.catch(() => {
        if (this.#looked === looked) this.#looked = undefined
      })
    }
    await this.#looked
  }
}
