/** The join state in Redis: when the server does not do its part, when it is wiped, and when much waits in it. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { Redis } from 'ioredis'
import { openRedis } from '../../adapters/redis/connection.ts'
import { openRedisJoinState } from '../../adapters/redis/join-state.ts'
import { OutageError, SetupError } from '../../ports/errors.ts'
import type { JoinState } from '../../ports/join-state.ts'
import { startServices } from '../../services/start-services.ts'
import { inTime } from '../conformance/deadline.ts'
import { until } from '../support/until.ts'
import { EVERY_WRITE, NO_PROCESS, otherServer, SNAPSHOTS } from './redis-fixtures.ts'

describe('joins in Redis', { timeout: 120_000 }, () => {
  const SHORT_MS = 500
  let services: Awaited<ReturnType<typeof startServices>>
  let [redis, admin] = [] as unknown as [Redis, Redis]
  let joins: JoinState
  const connect = async (commandTimeoutMs: number) =>
    openRedis({ url: services.redisUrl, commandTimeoutMs, onError: () => {} })
  before(async () => {
    services = await startServices({ want: ['redis'], rungs: ['docker', 'local'] })
    admin = await connect(10_000)
  })
  after(async () => {
    for (const connection of [redis, admin]) connection?.disconnect()
    await services?.stop()
  })
  beforeEach(async () => {
    await services.redis.start()
    await until('Redis answers', () => admin.ping().catch(() => false as const))
    await admin.flushall()
    redis?.disconnect()
    redis = await connect(10_000)
    joins = openRedisJoinState({ redis, keyPrefix: 'test:' })
  })
  const bytes = (value: number) => Uint8Array.of(value)
  const isOutage = (error: unknown) => error instanceof OutageError
  const isEnd = (error: unknown) => error instanceof SetupError && error.code === 'generation-ended'

  test('a store that is wiped under its writers takes nothing from any of them until they know its new generation', async () => {
    const others = await connect(10_000)
    const other = openRedisJoinState({ redis: others, keyPrefix: 'test:' })
    await joins.merge('a', 'video', bytes(1), 1)
    await other.merge('a', 'music', bytes(1), 1)
    await admin.flushall()
    const next = await other.generation()
    await other.merge('b', 'video', bytes(2), 1)
    await assert.rejects(joins.merge('b', 'music', bytes(2), 1), isEnd)
    await assert.rejects(joins.remove('b'), isEnd)
    assert.deepEqual(await admin.hkeys(`test:joins:${next}:parts:b`), ['video'])
    assert.equal(await joins.generation(), next)
    assert.equal((await joins.merge('b', 'music', bytes(2), 1)).size, 2)
    others.disconnect()
  })

  test('of handles that open an empty store at the same time all get one generation', async () => {
    const handles = Array.from({ length: 10 }, () => openRedisJoinState({ redis, keyPrefix: 'test:' }))
    assert.equal(new Set(await Promise.all(handles.map((handle) => handle.generation()))).size, 1)
  })

  test('a handle whose store was wiped still expires what is old, so that a process which only cleans up goes on', async () => {
    await joins.merge('a', 'video', bytes(1), 1)
    await admin.flushall()
    const other = openRedisJoinState({ redis, keyPrefix: 'test:' })
    await other.merge('b', 'video', bytes(1), 1)
    assert.equal(await joins.expire(3, 2), 1)
    assert.equal(await joins.incomplete(3), 0)
  })

  test('a server that came back with an old snapshot has other joins, and what it brought back is never joined', async (t) => {
    const forgetful = await otherServer(services.redis, SNAPSHOTS)
    if (forgetful === undefined) return t.skip(NO_PROCESS)
    const open = async () => {
      const opened = await openRedis({ url: forgetful.url, commandTimeoutMs: 10_000, onError: () => {} })
      t.after(() => opened.disconnect())
      return opened
    }
    const connection = await open()
    const state = openRedisJoinState({ redis: connection, keyPrefix: 'test:' })
    const before = await state.generation()
    await state.merge('taken down since', 'video', bytes(1), 1)
    await forgetful.save()
    await state.remove('taken down since')
    await forgetful.restart()
    await until('it is noticed', () =>
      state.merge('a', 'video', bytes(1), 1).then(() => assert.fail('it was merged beside what is not whole'), isEnd),
    )
    const after = await state.generation()
    assert.notEqual(after, before)
    assert.equal((await state.merge('taken down since', 'music', bytes(1), 1)).size, 1)
    assert.equal(await state.incomplete(3), 1)
    await until(
      'the old joins are unlinked',
      async () => (await connection.keys(`test:joins:${before}:*`)).length === 0,
    )
    assert.equal((await state.merge('taken down since', 'text', bytes(1), 1)).size, 2)
    assert.equal(await openRedisJoinState({ redis: await open(), keyPrefix: 'test:' }).generation(), after)
  })

  test('a server that came back without its last writes has other joins, and one that lost none has the same', async (t) => {
    const server = await otherServer(services.redis, EVERY_WRITE)
    if (server === undefined) return t.skip(NO_PROCESS)
    const connection = await openRedis({ url: server.url, commandTimeoutMs: 10_000, onError: () => {} })
    t.after(() => connection.disconnect())
    const state = openRedisJoinState({ redis: connection, keyPrefix: 'test:' })
    await state.merge('a', 'video', bytes(1), 1)
    const before = await state.generation()
    await server.restart()
    const again = () => state.merge('a', 'music', bytes(1), 1).catch((error) => isEnd(error) && assert.fail(error))
    assert.equal((await until('it answers', again)).size, 2)
    assert.equal(await state.generation(), before)
    const bytesBefore = server.fileBytes()
    await state.merge('a', 'text', bytes(1), 1)
    await server.restartAt(bytesBefore)
    await until('it is noticed', () =>
      state.merge('b', 'video', bytes(1), 1).then(() => assert.fail('it was merged beside what is not whole'), isEnd),
    )
    assert.notEqual(await state.generation(), before)
  })

  test('joins from before their keys named a generation are filled anew, and unlinked', async () => {
    await admin.set('test:joins:generation', 'early')
    await admin.hset('test:joins:parts:a', 'video', 'x')
    await admin.zadd('test:joins:touched:1', 1, 'a')
    assert.notEqual(await joins.generation(), 'early')
    const early = ['test:joins:parts:a', 'test:joins:touched:1']
    await until('they are unlinked', async () => (await admin.exists(...early)) === 0)
  })

  test('thousands of ids expire by what is stale alone, and are counted without being looked at', async () => {
    const pipeline: Promise<unknown>[] = []
    for (let i = 0; i < 1_500; i++) pipeline.push(joins.merge(`id ${i}`, 'video', bytes(1), i))
    for (let i = 0; i < 300; i++) pipeline.push(joins.merge(`id ${i}`, 'music', bytes(1), i))
    for (let i = 0; i < 100; i++) pipeline.push(joins.merge(`id ${i}`, 'text', bytes(1), i))
    await Promise.all(pipeline)
    assert.equal(await joins.incomplete(3), 1_400)
    await admin.config('RESETSTAT')
    assert.equal(await joins.incomplete(3), 1_400)
    const calls = await admin.info('commandstats')
    assert.deepEqual(
      [...calls.matchAll(/cmdstat_(z\w+):calls=(\d+)/g)].map(([, name, n]) => [name, n]),
      [['zcard', '2']],
    )
    assert.equal(await joins.expire(3, 50), 50)
    assert.equal((await joins.merge('id 49', 'video', bytes(1), 49)).size, 1)
    assert.equal((await joins.merge('id 50', 'video', bytes(1), 50)).size, 3)
    assert.equal(await joins.expire(3, 1_000), 951)
    assert.equal(await joins.incomplete(3), 500)
    assert.equal(await joins.expire(3, 1_000), 0)
    assert.equal((await joins.merge('id 1499', 'music', bytes(1), 1)).size, 2)
    await joins.remove('id 1498')
    assert.equal(await joins.expire(3, 9_999), 499)
    assert.deepEqual(await admin.keys('test:joins:*:*'), [], 'what is counted for each id goes with it')
  })

  test('while Redis is away or silent every call is an outage by its deadline, and the parts are there afterwards', async () => {
    redis.disconnect()
    redis = await connect(SHORT_MS)
    joins = openRedisJoinState({ redis, keyPrefix: 'test:' })
    await joins.merge('a', 'video', bytes(1), 1)
    const assertOutages = async () => {
      const calls: Promise<unknown>[] = [joins.merge('a', 'music', bytes(1), 1), joins.remove('b'), joins.generation()]
      calls.push(joins.incomplete(3), joins.expire(3, 1))
      await Promise.all(calls.map((call) => assert.rejects(inTime(call, 'the rejection', 20 * SHORT_MS), isOutage)))
    }
    await services.redis.kill('SIGSTOP')
    await assertOutages()
    await services.redis.kill('SIGKILL')
    await assertOutages()
    await services.redis.start()
    const parts = await until('Redis answers', () => joins.merge('a', 'text', bytes(1), 1).catch(() => false as const))
    assert.ok(parts.has('video'))
  })

  test('parts that were acknowledged before a kill -9 of the server are there', async () => {
    let acknowledged = 0
    const writing = (async () => {
      for (let i = 0; ; i++) {
        await joins.merge(`id ${i}`, 'video', Buffer.from(String(i)), i)
        acknowledged = i + 1
      }
    })()
    await until('some are written', async () => acknowledged > 200)
    await Promise.all([assert.rejects(writing, isOutage), services.redis.kill('SIGKILL')])
    await services.redis.start()
    await until('Redis answers', () => joins.incomplete(3).catch(() => false as const))
    for (let i = 0; i < acknowledged; i++) {
      const parts = await joins.merge(`id ${i}`, 'music', bytes(1), 1)
      assert.equal(Buffer.from(parts.get('video') ?? []).toString(), String(i))
    }
  })
})
