/** What the Redis behind an index must be, and what is said where it is not. */
import type { Redis } from 'ioredis'
import { OutageError, SetupError } from '../../ports/errors.ts'
import { asked, sendOn } from './connection.ts'
import { checkKeepsKeys } from './server-checks.ts'

/** FLOAT16 vectors came with 2.10. */
const LEAST_ENGINE = 21_000

/** @throws SetupError 'no-query-engine' | 'redis-cluster' | 'redis-evicts' | 'bad-redis-url' */
export async function checkServer(redis: Redis): Promise<void> {
  if (redis.options.db !== 0) {
    throw new SetupError('bad-redis-url', 'The Query Engine indexes database 0 alone; leave the number out of the URL.')
  }
  const modules = (await asked(redis.call('MODULE', 'LIST'))) as (string | number)[][]
  const versions = modules.filter((module) => module[1] === 'search').map((module) => Number(module[3]))
  if (!versions.some((version) => version >= LEAST_ENGINE)) {
    const found = versions.length === 0 ? 'none' : `version ${versions[0]}`
    throw new SetupError(
      'no-query-engine',
      `This Redis has no Query Engine of 2.10 or later (MODULE LIST names ${found}). Use Redis 8, or Redis Stack 7.4, or ` +
        'load redisearch.so; an address without one is good for nothing but the embedded index.',
    )
  }
  await checkKeepsKeys(sendOn(redis))
}

/** @throws SetupError 'may-lose-results' where it cannot be set. */
export async function failOnTimeout(redis: Redis): Promise<void> {
  try {
    await asked(redis.call('FT.CONFIG', 'SET', 'ON_TIMEOUT', 'fail'))
  } catch (cause) {
    if (cause instanceof OutageError) throw cause
    throw new SetupError(
      'may-lose-results',
      'The Query Engine must fail when it runs out of time, or searches silently lose results: start Redis with ' +
        'ON_TIMEOUT FAIL (search-on-timeout fail), or let this user call FT.CONFIG SET.',
      { cause },
    )
  }
}
