/** Takes everything away that a test left on a Redis that others use too. */
import { Redis } from 'ioredis'

/** Keys and search indexes whose names begin with the prefix. */
export async function eraseRedis(url: string, keyPrefix: string): Promise<void> {
  const redis = new Redis(url, { protocol: 2 })
  const indexes = (await redis.call('FT._LIST').catch(() => [])) as string[]
  for (const index of indexes) if (index.startsWith(keyPrefix)) await redis.call('FT.DROPINDEX', index)
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', `${keyPrefix}*`, 'COUNT', 1000)
    if (keys.length > 0) await redis.unlink(keys)
    cursor = next
  } while (cursor !== '0')
  redis.disconnect()
}
