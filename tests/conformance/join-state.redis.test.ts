import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { Redis } from 'ioredis'
import { openRedis } from '../../adapters/redis/connection.ts'
import { openRedisJoinState } from '../../adapters/redis/join-state.ts'
import { SetupError } from '../../ports/errors.ts'
import { eraseRedis } from '../support/erase-redis.ts'
import { testServices } from '../support/services.ts'
import { joinStateConformance } from './join-state.ts'

const { redisUrl: url } = await testServices()
const keyPrefix = `test-${randomUUID()}:`
const connect = () => openRedis({ url, onError: (error) => assert.fail(error) })
let redis: Redis | undefined
const open = async () => {
  redis = await connect()
  return openRedisJoinState({ redis, keyPrefix })
}
const close = async () => redis?.disconnect()

joinStateConformance('Redis', { open, close, reopen: () => close().then(open) })

describe('joins in Redis', () => {
  const prefix = `test-${randomUUID()}:`
  let [one, two] = [] as unknown as [Redis, Redis]
  before(async () => {
    ;[one, two] = [await connect(), await connect()]
  })
  after(async () => {
    for (const connection of [one, two]) connection.disconnect()
    await eraseRedis(url, prefix)
    await eraseRedis(url, keyPrefix)
  })
  const of = (connection: Redis) => openRedisJoinState({ redis: connection, keyPrefix: prefix })

  test('processes that merge parts of one id at the same time lose none, and one of them sees all', async () => {
    const states = [of(one), of(two)]
    const merged = await Promise.all(
      Array.from({ length: 40 }, (_, i) => states[i % 2]!.merge('busy', `part-${i}`, Uint8Array.of(i), i)),
    )
    assert.equal(Math.max(...merged.map((parts) => parts.size)), 40)
  })

  test('a part of 16 MiB comes back whole', async () => {
    const bytes = Buffer.alloc(16 * 1024 * 1024, 'cue')
    const parts = await of(one).merge('large', 'video', bytes, 1)
    assert.equal(Buffer.compare(parts.get('video')!, bytes), 0)
  })

  test('a wiped store takes no more parts until its new generation is asked for', async () => {
    const [writer, other] = [of(one), of(two)]
    const before = await writer.generation()
    assert.equal(await other.generation(), before)
    await eraseRedis(url, prefix)
    const after = await other.generation()
    assert.notEqual(after, before)
    await assert.rejects(
      writer.merge('half', 'video', Uint8Array.of(1), 1),
      (error) => error instanceof SetupError && error.code === 'generation-ended',
    )
    assert.equal(await writer.generation(), after)
    assert.equal((await writer.merge('half', 'video', Uint8Array.of(1), 1)).size, 1)
  })
})
