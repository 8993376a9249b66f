import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { openRedisVectorIndex } from '../../adapters/redis/vector-index.ts'
import type { VectorIndex } from '../../ports/vector-index.ts'
import { eraseRedis } from '../support/erase-redis.ts'
import { testServices } from '../support/services.ts'
import { vectorIndexConformance } from './vector-index.ts'

const { redisUrl: url } = await testServices()
const keyPrefix = `test-${randomUUID()}:`
const options = { url, keyPrefix, onError: (error: Error) => assert.fail(error) }
let index: VectorIndex
const open = async () => {
  index = await openRedisVectorIndex(options)
  return index
}

vectorIndexConformance('the Redis Query Engine', {
  open,
  reopen: () => index.close().then(open),
  close: () => index.close().then(() => eraseRedis(url, keyPrefix)),
})
