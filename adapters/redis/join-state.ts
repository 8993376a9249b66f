/**
 * JoinState in Redis. Keys, after the prefix:
 *
 *   joins:generation   random id of this content; gone with it when the store is wiped
 *   joins:parts:<id>   part → bytes
 *   joins:sizes        id, by how many parts it holds: what is incomplete is found without looking at the rest
 *   joins:touched      id, by when it was touched last (Unix epoch, ms)
 *
 * Each write is one script on the server, which first sees that the generation still stands: [merge] holds whatever
 * processes write at the same time, and a wiped store is noticed instead of being filled with halves. The scripts make
 * their keys themselves, so one server must hold them all.
 */
import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { SetupError } from '../../ports/errors.ts'
import type { JoinState } from '../../ports/join-state.ts'
import { asked } from './connection.ts'

const ENDED = 'GENERATIONENDED'
/** Ids of one round of `expire`: a script holds up all other clients while it runs. */
const EXPIRE_IDS = 200

/** ARGV[1] = prefix, ARGV[2] = the generation that the caller writes to. */
const prelude = `
local function key(name) return ARGV[1] .. 'joins:' .. name end
if redis.call('GET', key('generation')) ~= ARGV[2] then return redis.error_reply('${ENDED} ' .. ARGV[2]) end
local function forget(id)
  redis.call('UNLINK', key('parts:' .. id))
  redis.call('ZREM', key('sizes'), id)
  redis.call('ZREM', key('touched'), id)
end
`
const scripts = {
  /** ARGV[3] = id, [4] = part, [5] = bytes, [6] = at. @returns [part, bytes, …] */
  merge: `${prelude}
local parts = key('parts:' .. ARGV[3])
redis.call('HSET', parts, ARGV[4], ARGV[5])
redis.call('ZADD', key('sizes'), redis.call('HLEN', parts), ARGV[3])
redis.call('ZADD', key('touched'), ARGV[6], ARGV[3])
return redis.call('HGETALL', parts)`,

  /** ARGV[3] = id. */
  remove: `${prelude}
forget(ARGV[3])
return 1`,

  /** ARGV[3] = parts of a whole, [4] = at, [5 …] = ids that were found incomplete. @returns how many went */
  expire: `${prelude}
local gone = 0
for i = 5, #ARGV do
  local size, at = redis.call('ZSCORE', key('sizes'), ARGV[i]), redis.call('ZSCORE', key('touched'), ARGV[i])
  if size and tonumber(size) < tonumber(ARGV[3]) and tonumber(at) < tonumber(ARGV[4]) then
    forget(ARGV[i])
    gone = gone + 1
  end
end
return gone`,
} as const

/** @param redis stays its owner's to close. */
export function openRedisJoinState({ redis, keyPrefix }: { redis: Redis; keyPrefix: string }): JoinState {
  const key = (name: string) => `${keyPrefix}joins:${name}`
  const commands = redis as unknown as Record<string, (...args: (string | number | Buffer)[]) => Promise<unknown>>
  for (const [name, lua] of Object.entries(scripts)) redis.defineCommand(`joins_${name}`, { numberOfKeys: 0, lua })
  let current: string | undefined

  async function generation(): Promise<string> {
    const [, stored] = (await asked(
      redis.multi().set(key('generation'), randomUUID(), 'NX').get(key('generation')).exec(),
    )) as [unknown, [Error | null, string]]
    if (stored[0] !== null) throw stored[0]
    current = stored[1]
    return current
  }

  /** @throws SetupError 'generation-ended' */
  async function run(name: keyof typeof scripts, ...args: (string | number | Buffer)[]): Promise<unknown> {
    const written = current ?? (await generation())
    try {
      return await asked(commands[`joins_${name}Buffer`]!.call(redis, keyPrefix, written, ...args))
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith(ENDED)) throw error
      throw new SetupError('generation-ended', 'The joins in Redis were wiped: they are filled again from the topics')
    }
  }

  return {
    generation,
    async merge(id, part, bytes, at) {
      const reply = (await run('merge', id, part, Buffer.from(bytes), at)) as Buffer[]
      const parts = new Map<string, Uint8Array>()
      for (let i = 0; i < reply.length; i += 2) parts.set(reply[i]!.toString(), new Uint8Array(reply[i + 1]!))
      return parts
    },
    async remove(id) {
      await run('remove', id)
    },
    incomplete: (parts) => asked(redis.zcount(key('sizes'), '-inf', `(${parts}`)),
    async expire(parts, at) {
      let gone = 0
      for (let seen = 0; ; ) {
        const limit = ['LIMIT', seen, EXPIRE_IDS] as const
        const ids = await asked(redis.zrangebyscore(key('sizes'), '-inf', `(${parts}`, ...limit))
        if (ids.length === 0) return gone
        const removed = Number(await run('expire', parts, at, ...ids))
        gone += removed
        seen += ids.length - removed
      }
    },
    async close() {},
  }
}
