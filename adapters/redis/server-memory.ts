/**
 * Whether a server still has what it acknowledged. One that restarts without every write in a file (appendonly no) comes
 * back as it was at its last snapshot, and lacks the rest in silence: what it holds then is another generation.
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

/** Keys of a store whose content is one generation. */
export interface GenerationKeys {
  /** Random id of the content; gone with it when the store is wiped. */
  readonly generation: string
  /** The server's run that the generation was last seen in. */
  readonly run: string
  /** Generations that ended and whose keys are to be unlinked; absent where keys do not name theirs. */
  readonly ended?: string
}

/** KEYS as GenerationKeys. ARGV[1] = id of a new generation, [2] = the server's run, [3] = '1' if it keeps every write. */
const STANDING = `
local generation, run = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local forgot = generation and run ~= ARGV[2] and not (run and ARGV[3] == '1')
if forgot and KEYS[3] then redis.call('SADD', KEYS[3], generation) end
if forgot or not generation then
  generation = ARGV[1]
  redis.call('SET', KEYS[1], generation)
end
if run ~= ARGV[2] then redis.call('SET', KEYS[2], ARGV[2]) end
return generation`

/** @returns the generation that stands. Another one begins where there is none, or where writes may be lost. */
export async function standingGeneration(send: SendCommand, keys: GenerationKeys): Promise<string> {
  const { id, keepsWrites } = await serverRun(send)
  const names = [keys.generation, keys.run, ...(keys.ended === undefined ? [] : [keys.ended])]
  const given = [randomUUID(), id, keepsWrites ? '1' : '0']
  return String(await send('EVAL', STANDING, String(names.length), ...names, ...given))
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
