import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { openRedis } from '../../adapters/redis/connection.ts'
import { openRedisGenerationStore } from '../../adapters/redis/generation-store.ts'
import { eraseRedis } from '../support/erase-redis.ts'
import { testServices } from '../support/services.ts'
import { generationStoreConformance } from './generation-store.ts'

const { redisUrl: url } = await testServices()
const keyPrefix = `test-${randomUUID()}:`
let redis: Redis | undefined
const open = async () => {
  redis = await openRedis({ url, onError: () => {} })
  return openRedisGenerationStore({ redis, keyPrefix, keepMs: 60_000 })
}
const close = async () => {
  redis?.disconnect()
}

generationStoreConformance('Redis', {
  open,
  reopen: () => close().then(open),
  close: async () => {
    await close()
    await eraseRedis(url, keyPrefix)
  },
})
