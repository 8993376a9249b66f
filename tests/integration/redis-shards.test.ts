/** The vector index over three Redis servers: one away, one wiped, a switch that a crash cut short. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, beforeEach, test } from 'node:test'
import { Redis } from 'ioredis'
import { openRedisShards } from '../../adapters/redis/sharded-vector-index.ts'
import type { RedisVectorIndexOptions } from '../../adapters/redis/vector-index-rows.ts'
import { VectorIndexStore } from '../../adapters/redis/vector-index-store.ts'
import { seededRandom } from '../../model/random.ts'
import { OutageError, SetupError } from '../../ports/errors.ts'
import type { VectorIndex } from '../../ports/vector-index.ts'
import { startServices } from '../../services/start-services.ts'
import { until } from '../support/until.ts'
import { clusteredVectors } from '../support/vectors.ts'
import { engineOf, NO_PROCESS, otherServer, SNAPSHOTS } from './redis-fixtures.ts'

const services = await startServices({ want: ['redis'], redisServers: 3, rungs: ['docker', 'local'] })
const { redisUrls: urls, redisServers: servers } = services
const music = { release: 'r1', kind: 'music' } as const
const DIMS = 8
const rows = clusteredVectors({ count: 300, dims: DIMS, clusters: 10, random: seededRandom(5) }).map((vector, i) => ({
  id: `row-${i}`,
  vector,
  attributes: { part: [`part-${i % 3}`], n: i },
}))
const query = rows[0]!.vector

const open = new Set<VectorIndex>()
let keyPrefix: string
beforeEach(async () => {
  keyPrefix = `${randomUUID()}:`
  for (const server of servers) await server.start()
})
after(async () => {
  for (const index of open) await index.close()
  await services.stop()
})

async function opened(options: Partial<RedisVectorIndexOptions> = {}): Promise<VectorIndex> {
  const index = await openRedisShards(urls, { keyPrefix, commandTimeoutMs: 20_000, onError: () => {}, ...options })
  open.add(index)
  return index
}

async function filled(options: Partial<RedisVectorIndexOptions> = {}): Promise<VectorIndex> {
  const index = await opened(options)
  await index.create(music, DIMS)
  await index.upsert(music, rows)
  return index
}

async function onServer<T>(shard: number, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(urls[shard]!, { protocol: 2 })
  const done = await work(redis).finally(() => redis.disconnect())
  return done
}

const isSetup = (code: string) => (error: unknown) => error instanceof SetupError && error.code === code
const isOutage = (error: unknown) => error instanceof OutageError

test('rows lie on all servers, and each server has its own alone', async () => {
  const index = await filled()
  const keys = await Promise.all(urls.map((_, i) => onServer(i, (redis) => redis.keys(`${keyPrefix}*row:*`))))
  assert.equal(keys.flat().length, rows.length)
  for (const own of keys) assert.ok(own.length > rows.length / 6, `${own.length} of ${rows.length} rows on one server`)
  assert.equal(await index.count(music, [{ field: 'part', anyOf: ['part-1'] }]), 100)
  assert.equal((await index.search(music, query, 300)).length, 300)
})

test('one server away is an outage for searches, counts and its rows, never fewer rows', async () => {
  const index = await filled({ commandTimeoutMs: 1_000 })
  for (const [stop, resume] of [
    ['SIGSTOP', () => servers[1]!.kill('SIGCONT')],
    ['SIGKILL', () => servers[1]!.start()],
  ] as const) {
    await servers[1]!.kill(stop)
    await assert.rejects(index.search(music, query, 5), isOutage)
    await assert.rejects(index.count(music), isOutage)
    await assert.rejects(index.upsert(music, rows), isOutage)
    await assert.rejects(index.generation(), isOutage)
    await assert.rejects(opened({ commandTimeoutMs: 500 }), isOutage)
    await resume()
    await until('all answer', () => index.count(music).catch(() => undefined))
    await index.upsert(music, rows)
    assert.equal((await index.search(music, query, 300)).length, 300)
  }
})

test('a server that was wiped gives the whole another generation, and is whole once filled anew', async () => {
  for (const wiped of [0, 2]) {
    keyPrefix = `${randomUUID()}:`
    const index = await filled()
    const before = await index.generation()
    await onServer(wiped, (redis) => redis.flushall())
    await assert.rejects(index.upsert(music, rows), isSetup('generation-ended'))
    await assert.rejects(index.search(music, query, 5), SetupError)
    const after = await index.generation()
    assert.notEqual(after, before)
    assert.equal(await index.generation(), after)
    await index.create(music, DIMS)
    await index.upsert(music, rows)
    assert.equal((await index.search(music, query, 300)).length, 300)
    assert.equal(await (await opened()).generation(), after)
  }
})

test('a server that forgot rows ends the generation of the whole, for who only reads it too', async (t) => {
  const forgetful = await otherServer(servers[0]!, [...SNAPSHOTS, ...(await engineOf(urls[0]!))])
  if (forgetful === undefined) return t.skip(NO_PROCESS)
  const of = async () => {
    const options = { keyPrefix, commandTimeoutMs: 20_000, onError: () => {} }
    const index = await openRedisShards([urls[0]!, urls[1]!, forgetful.url], options)
    open.add(index)
    return index
  }
  const [index, reader] = [await of(), await of()]
  await index.create(music, DIMS)
  const before = await index.generation()
  await index.upsert(music, rows.slice(0, 200))
  assert.equal((await reader.search(music, query, 300)).length, 200)
  await forgetful.save()
  await index.upsert(music, rows)
  await forgetful.restart()
  await until('it is noticed', () =>
    reader.search(music, query, 300).then(
      (hits) => assert.fail(`${hits.length} rows of 300 were found in silence`),
      (error) => isSetup('generation-ended')(error),
    ),
  )
  assert.notEqual(await index.generation(), before)
  await index.create(music, DIMS)
  await index.upsert(music, rows)
  assert.equal((await reader.search(music, query, 300)).length, 300)
})

test('the lease of a rebuild is renewed before the switch, so that no other takes one of its servers meanwhile', async () => {
  const index = await filled()
  const rebuild = await index.rebuild()
  await rebuild.index.create(music, DIMS)
  const lease = `${keyPrefix}shard-2-of-3:index:rebuild`
  await onServer(2, (redis) => redis.hset(lease, 'until', 1))
  await onServer(2, (redis) => redis.call('ACL', 'SETUSER', 'default', '-ft.aliasupdate'))
  await assert.rejects(rebuild.promote())
  assert.ok(Number(await onServer(2, (redis) => redis.hget(lease, 'until'))) > 1)
  await onServer(2, (redis) => redis.call('ACL', 'SETUSER', 'default', '+ft.aliasupdate'))
  assert.equal(await index.generation(), await rebuild.index.generation(), 'the switch is finished')
  assert.equal(await index.count(music), 0)
})

test('a crash between the switch and the servers that follow it leaves the new generation whole, and is repaired', async () => {
  const index = await filled()
  const before = await index.generation()
  const rebuild = await index.rebuild()
  await rebuild.index.create(music, DIMS)
  await rebuild.index.upsert(music, rows.slice(0, 200))
  assert.equal(await index.count(music), 300)

  // What promote() writes first, and nothing that follows it.
  const stores = await Promise.all(
    urls.map((url, i) =>
      VectorIndexStore.open({ url, keyPrefix: `${keyPrefix}shard-${i}-of-3:`, commandTimeoutMs: 20_000, onError() {} }),
    ),
  )
  const states = await Promise.all(stores.map((store) => store.state()))
  const record = states.map(({ building }) => building).join(' ')
  assert.ok(await stores[0]!.setShardRecord(await stores[0]!.shardRecord(), record))

  const reader = await opened()
  for (const each of [index, reader]) {
    assert.equal(await each.count(music), 200)
    assert.equal((await each.search(music, query, 300)).length, 200)
  }
  const after = await index.generation()
  assert.notEqual(after, before)
  assert.equal(after, await rebuild.index.generation())
  for (const [i, store] of stores.entries()) {
    assert.deepEqual(await store.state(), { serving: record.split(' ')[i], building: '' })
    await store.close()
  }
  await index.upsert(music, rows)
  assert.equal((await reader.search(music, query, 300)).length, 300)
  await (await reader.rebuild()).discard()
})

test('a switch that one server did not follow is finished by asking again', async () => {
  const index = await filled({ commandTimeoutMs: 1_000 })
  const rebuild = await index.rebuild()
  await rebuild.index.create(music, DIMS)
  await servers[2]!.kill('SIGSTOP')
  await assert.rejects(rebuild.promote(), isOutage)
  await servers[2]!.kill('SIGCONT')
  await until('all answer', () => index.count(music).catch(() => undefined))
  assert.equal(await index.count(music), 300, 'nothing has switched')
  await until('the switch is done', () =>
    rebuild.promote().then(
      () => true,
      () => undefined,
    ),
  )
  assert.equal(await index.count(music), 0)
})

test('a rebuild that one server cannot begin leaves none on the others', async () => {
  const index = await filled()
  await onServer(2, (redis) =>
    redis.hset(`${keyPrefix}shard-2-of-3:index:rebuild`, { generation: 'another', until: Number.MAX_SAFE_INTEGER }),
  )
  await assert.rejects(index.rebuild(), isSetup('rebuild-running'))
  await onServer(2, (redis) => redis.del(`${keyPrefix}shard-2-of-3:index:rebuild`))
  await (await index.rebuild()).discard()
})

test('another number of servers begins with indexes of its own', async () => {
  const index = await filled()
  const two = await openRedisShards(urls.slice(0, 2), { keyPrefix, onError: () => {} })
  open.add(two)
  assert.notEqual(await two.generation(), await index.generation())
  assert.deepEqual(await two.indexes(), [])
  assert.equal((await index.indexes())[0]!.rows, 300)
})
