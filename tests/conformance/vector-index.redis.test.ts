import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after } from 'node:test'
import { openRedisShards } from '../../adapters/redis/sharded-vector-index.ts'
import { openRedisVectorIndex } from '../../adapters/redis/vector-index.ts'
import type { VectorIndex } from '../../ports/vector-index.ts'
import { startServices } from '../../services/start-services.ts'
import { eraseRedis } from '../support/erase-redis.ts'
import { testServices } from '../support/services.ts'
import { vectorIndexConformance } from './vector-index.ts'

const { redisUrl: url } = await testServices()
const keyPrefix = `test-${randomUUID()}:`
const options = { keyPrefix, onError: (error: Error) => assert.fail(error) }

conformance('the Redis Query Engine', () => openRedisVectorIndex({ ...options, url }))
after(() => eraseRedis(url, keyPrefix))

const servers = await startServices({ want: ['redis'], redisServers: 3, rungs: ['docker', 'local'] })
conformance('three Redis servers', () => openRedisShards(servers.redisUrls, options))
after(() => servers.stop())

function conformance(adapter: string, openIndex: () => Promise<VectorIndex>): void {
  let index: VectorIndex
  const open = async () => {
    index = await openIndex()
    return index
  }
  const close = () => index.close()
  vectorIndexConformance(adapter, { open, close, reopen: () => close().then(open) })
}
