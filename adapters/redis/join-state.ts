/**
 * JoinState in Redis. Keys, after the prefix:
 *
 *   joins:generation         random id of this content; gone with it when the store is wiped
 *   joins:run, writes, base, history   whether the server still has every write (server-memory.ts)
 *   joins:<g>:parts:<id>     part → bytes, of generation g
 *   joins:<g>:touched:<n>    ids that hold n parts, by when they were touched last (Unix epoch, ms): what is incomplete is
 *                            counted, and what is stale is found, without looking at the rest
 *   joins:ended              generations whose keys are to be unlinked
 *
 * Each write is one script on the server, which first sees that the generation still stands: [merge] holds whatever
 * processes write at the same time, and a wiped store is noticed instead of being filled with halves. So is a server that
 * may have forgotten writes: what its snapshot brought back is never read, for the tombstones of uploads that were taken
 * down since may be compacted away. To expire what is old is right in any generation.
 *
 * The scripts make their keys themselves, so one server must hold them all; it must not evict keys (the catalogue, on the
 * same server, looks at that).
 */
import type { Redis } from 'ioredis'
import { SetupError } from '../../ports/errors.ts'
import type { JoinState } from '../../ports/join-state.ts'
import { asked, sendOn } from './connection.ts'
import { OncePerConnection, SeenWrites, standingGeneration } from './server-memory.ts'

const ENDED = 'GENERATIONENDED'
/** Ids of one round of `expire`: a script holds up all other clients while it runs. */
const EXPIRE_IDS = 200
const SCAN_COUNT = 1_000
/** Keys from before their names held a generation. */
const UNNAMED = ['parts', 'touched']

/** ARGV[1] = prefix. */
const names = `
local generation = redis.call('GET', ARGV[1] .. 'joins:generation') or ''
local own = ARGV[1] .. 'joins:' .. generation
local function partsOf(id) return own .. ':parts:' .. id end
local function touched(count) return own .. ':touched:' .. count end
local function forget(id)
  redis.call('ZREM', touched(redis.call('HLEN', partsOf(id))), id)
  redis.call('UNLINK', partsOf(id))
end
`
/** ARGV[2] = the generation that the caller writes to. */
const fence = `
if generation ~= ARGV[2] then return redis.error_reply('${ENDED} ' .. ARGV[2]) end
`
const scripts = {
  /** ARGV[3] = id, [4] = part, [5] = bytes, [6] = at. @returns [part, bytes, …] */
  merge: `${names}${fence}
local parts = partsOf(ARGV[3])
redis.call('ZREM', touched(redis.call('HLEN', parts)), ARGV[3])
redis.call('HSET', parts, ARGV[4], ARGV[5])
redis.call('ZADD', touched(redis.call('HLEN', parts)), ARGV[6], ARGV[3])
return redis.call('HGETALL', parts)`,

  /** ARGV[3] = id. */
  remove: `${names}${fence}
forget(ARGV[3])
return 1`,

  /** ARGV[2] = parts. @returns how many ids hold fewer */
  incomplete: `${names}
local ids = 0
for held = 1, ARGV[2] - 1 do ids = ids + redis.call('ZCARD', touched(held)) end
return ids`,

  /** ARGV[2] = parts that the ids hold, [3] = at, [4] = how many at most. @returns how many went */
  expire: `${names}
local stale = redis.call('ZRANGEBYSCORE', touched(ARGV[2]), '-inf', '(' .. ARGV[3], 'LIMIT', 0, ARGV[4])
for _, id in ipairs(stale) do forget(id) end
return #stale`,
} as const

/** @param redis stays its owner's to close. */
export function openRedisJoinState({ redis, keyPrefix }: { redis: Redis; keyPrefix: string }): JoinState {
  const key = (name: string) => `${keyPrefix}joins:${name}`
  const commands = redis as unknown as Record<string, (...args: (string | number | Buffer)[]) => Promise<unknown>>
  for (const [name, lua] of Object.entries(scripts)) redis.defineCommand(`joins_${name}`, { numberOfKeys: 0, lua })
  const seen = new SeenWrites()
  const standing = () => standingGeneration(sendOn(redis), key(''), seen)
  const memory = new OncePerConnection(standing)
  let current: string | undefined
  let isSweeping = false

  async function generation(): Promise<string> {
    current = await standing()
    sweep().catch(() => {}) // what it left is swept after another generation(), of whatever process
    return current
  }

  /** Unlinks what ended generations left. */
  async function sweep(): Promise<void> {
    if (isSweeping) return
    isSweeping = true
    try {
      const ended = await asked(redis.smembers(key('ended')))
      if (ended.length > 0) await unlinkKeysOf(ended)
    } finally {
      isSweeping = false
    }
  }

  async function unlinkKeysOf(ended: readonly string[]): Promise<void> {
    const gone = new Set([...ended, ...UNNAMED])
    const all = key('')
    const pattern = `${all.replaceAll(/[\\*?[\]]/g, '\\$&')}*:*`
    let cursor = '0'
    do {
      const [next, found] = await asked(redis.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT))
      const left = found.filter((name) => gone.has(name.slice(all.length).split(':', 1)[0]!))
      if (left.length > 0) await asked(redis.unlink(left))
      cursor = next
    } while (cursor !== '0')
    await asked(redis.srem(key('ended'), ...ended))
  }

  const run = (name: keyof typeof scripts, ...args: (string | number | Buffer)[]) =>
    asked(commands[`joins_${name}Buffer`]!.call(redis, keyPrefix, ...args))

  /** @throws SetupError 'generation-ended' */
  async function write(name: 'merge' | 'remove', ...args: (string | number | Buffer)[]): Promise<unknown> {
    const written = current ?? (await generation())
    await memory.check(redis.stream)
    try {
      const [reply, , counted] = await Promise.all([
        run(name, written, ...args),
        asked(redis.incr(key('writes'))),
        asked(redis.mget(key('history'), key('writes'))),
      ])
      seen.note(counted)
      return reply
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith(ENDED)) throw error
      throw new SetupError(
        'generation-ended',
        'The joins in Redis were wiped, or may lack writes: they are filled again from the topics',
      )
    }
  }

  return {
    generation,
    async merge(id, part, bytes, at) {
      const reply = (await write('merge', id, part, Buffer.from(bytes), at)) as Buffer[]
      const parts = new Map<string, Uint8Array>()
      for (let i = 0; i < reply.length; i += 2) parts.set(reply[i]!.toString(), new Uint8Array(reply[i + 1]!))
      return parts
    },
    async remove(id) {
      await write('remove', id)
    },
    async incomplete(parts) {
      return Number(await run('incomplete', parts))
    },
    async expire(parts, at) {
      let gone = 0
      for (let held = 1; held <= parts; held++) {
        for (let removed = EXPIRE_IDS; removed === EXPIRE_IDS; gone += removed) {
          removed = Number(await run('expire', held, at, EXPIRE_IDS))
        }
      }
      return gone
    },
    async close() {},
  }
}
