/** The vector index on one Redis of its own: wiped, killed, stopped, set up wrongly, rebuilt by processes that die. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { openRedisVectorIndex } from '../../adapters/redis/vector-index.ts'
import type { RedisVectorIndexOptions } from '../../adapters/redis/vector-index-rows.ts'
import { readHits } from '../../adapters/redis/vector-index-search.ts'
import { halfBytes } from '../../adapters/redis/vector-index-vector.ts'
import { seededRandom } from '../../model/random.ts'
import { dot } from '../../model/vector.ts'
import { OutageError, SetupError } from '../../ports/errors.ts'
import type { Attributes, Filter, IndexRow, VectorIndex } from '../../ports/vector-index.ts'
import { MAX_OFFSET } from '../../processors/answer-recommendations/cursor.ts'
import { startServices } from '../../services/start-services.ts'
import { until } from '../support/until.ts'
import { clusteredVectors } from '../support/vectors.ts'
import { EVERY_WRITE, engineOf, NO_PROCESS, otherServer } from './redis-fixtures.ts'

const services = await startServices({ want: ['redis'], rungs: ['docker', 'local'] })
const { redis: server, redisUrl: url } = services
const admin = new Redis(url, { protocol: 2 })
admin.on('error', () => {}) // the server is killed on purpose
const music = { release: 'r1', kind: 'music' } as const
const DIMS = 16
/** Rows that the last page asks for: 100 after the deepest cursor, and one to see whether more follow. */
const DEEPEST_PAGE = MAX_OFFSET + 101

const open = new Set<VectorIndex>()
let keyPrefix: string
beforeEach(() => {
  keyPrefix = `${randomUUID()}:`
})
after(async () => {
  for (const index of open) await index.close()
  admin.disconnect()
  await services.stop()
})

async function opened(options: Partial<RedisVectorIndexOptions> = {}): Promise<VectorIndex> {
  const index = await openRedisVectorIndex({ url, keyPrefix, commandTimeoutMs: 20_000, onError: () => {}, ...options })
  open.add(index)
  return index
}

async function withRows(rows: readonly IndexRow[], options: Partial<RedisVectorIndexOptions> = {}) {
  const index = await opened(options)
  await index.create(music, DIMS)
  await index.upsert(music, rows)
  return index
}

async function closed(index: VectorIndex): Promise<void> {
  open.delete(index)
  await index.close()
}

const idsIn = async (index: VectorIndex, k = 10) => (await index.search(music, turned(0), k)).map(({ id }) => id)
const keys = async (pattern: string) => (await admin.keys(`${keyPrefix}${pattern}`)).length
const isSetup = (code: string) => (error: unknown) => error instanceof SetupError && error.code === code
const isOutage = (error: unknown) => error instanceof OutageError

describe('generations', () => {
  test('a store that was wiped is noticed by the next write, and begins another generation', async () => {
    const index = await withRows([row('a', turned(0))])
    const before = await index.generation()
    await admin.flushall()
    for (const write of [
      () => index.upsert(music, [row('b', turned(0))]),
      () => index.create(music, DIMS),
      () => index.remove(music, ['a']),
      () => index.setAttributes(music, 'a', {}),
    ]) {
      await assert.rejects(write(), isSetup('generation-ended'))
    }
    await assert.rejects(index.search(music, turned(0), 1), isSetup('unknown-index'))
    const other = await opened()
    const after = await other.generation()
    assert.notEqual(after, before)
    await assert.rejects(index.create(music, DIMS), isSetup('generation-ended'), 'another began it')
    assert.equal(await index.generation(), after)
    await index.create(music, DIMS)
    await index.upsert(music, [row('b', turned(0))])
    assert.deepEqual(await idsIn(other), ['b'])
  })

  test('a rebuild whose process died may be replaced, a living one may not, and what it wrote is freed', async () => {
    const rebuildLeaseMs = 300
    const [dying, living] = [
      await withRows([row('a', turned(0))], { rebuildLeaseMs }),
      await opened({ rebuildLeaseMs }),
    ]
    const lost = await dying.rebuild()
    await lost.index.create(music, DIMS)
    await lost.index.upsert(music, [row('half', turned(0))])
    const lease = () => admin.hget(`${keyPrefix}index:rebuild`, 'until').then(Number)
    const first = await lease()
    await until('the lease is renewed twice', async () => (await lease()) > first + 1.5 * rebuildLeaseMs)
    await assert.rejects(living.rebuild(), isSetup('rebuild-running'))
    await closed(dying) // its lease is renewed no more
    const next = await until('the lease is over', () => living.rebuild().catch(() => undefined))
    await next.index.create(music, DIMS)
    await next.index.upsert(music, [row('whole', turned(0))])
    await next.promote()
    assert.deepEqual(await idsIn(living), ['whole'])
    await until('only the row that serves is kept', async () => (await keys('row:*')) === 1)
  })

  test('the aliases lead to what serves, and the old generation is kept for as long as was asked', async () => {
    const index = await withRows([row('old', turned(0))])
    const found = async (kind: string) =>
      ((await admin.call('FT.SEARCH', `${keyPrefix}serving:${kind}/r1`, '*', 'NOCONTENT')) as string[])
        .slice(1)
        .map((key) => key.split(':').at(-1))
    assert.deepEqual(await found('music'), ['old'])
    await index.create({ ...music, kind: 'video' }, DIMS)
    const rebuild = await index.rebuild()
    await rebuild.index.create(music, DIMS)
    await rebuild.index.upsert(music, [row('new', turned(0))])
    assert.deepEqual(await found('music'), ['old'])
    await rebuild.promote(3_600_000)
    assert.deepEqual(await found('music'), ['new'])
    await assert.rejects(found('video'))
    assert.equal(await keys('row:*'), 2)
    const [old] = await admin.zrange(`${keyPrefix}index:ended`, 0, '-1')
    await admin.zadd(`${keyPrefix}index:ended`, '0', old!)
    await opened() // sweeps
    await until('the old generation is freed', async () => (await keys('row:*')) === 1)
    assert.equal(((await admin.call('FT._LIST')) as string[]).filter((name) => name.startsWith(keyPrefix)).length, 1)
  })

  test('a generation is not promoted before the engine has all its rows', async () => {
    const index = await withRows([], { readyWithinMs: 0 })
    const other = await index.rebuild()
    await other.index.create(music, DIMS)
    await other.index.upsert(music, [row('a', turned(0)), row('b', turned(0))])
    // A row that the engine does not hold: as one that it could not index.
    const uid = (await uidOfBuilding())!
    await admin.hincrby(`${keyPrefix}index:rows`, uid, 1)
    await assert.rejects(other.promote(), (error: Error & { code?: string }) => error.code === 'index-not-ready')
    assert.deepEqual(await idsIn(index), [])
    await admin.hincrby(`${keyPrefix}index:rows`, uid, -1)
    await other.promote()
    assert.deepEqual(await idsIn(index), ['a', 'b'])
  })

  async function uidOfBuilding(): Promise<string | undefined> {
    const id = await admin.hget(`${keyPrefix}index:rebuild`, 'generation')
    return (await admin.hget(`${keyPrefix}index:names:${id}`, 'music/r1'))?.split(' ')[0]
  }

  test('dropping an index frees its rows', async () => {
    const index = await withRows(Array.from({ length: 2_500 }, (_, i) => row(`row-${i}`, turned(i))))
    assert.equal(await keys('row:*'), 2_500)
    await index.drop(music)
    assert.equal(await keys('row:*'), 0)
    assert.equal(await keys('index:garbage'), 0)
  })

  test('ten handles that create one index at the same time make one', async () => {
    const handles = await Promise.all(Array.from({ length: 10 }, () => opened()))
    await Promise.all(handles.map((handle) => handle.create(music, DIMS)))
    await Promise.all(handles.map((handle, i) => handle.upsert(music, [row(`row-${i}`, turned(0), { [`n${i}`]: i })])))
    assert.equal(await handles[0]!.count(music), 10)
    for (const i of [0, 9]) assert.equal(await handles[5]!.count(music, [{ field: `n${i}`, min: i, max: i }]), 1)
    assert.equal(((await admin.call('FT._LIST')) as string[]).filter((name) => name.startsWith(keyPrefix)).length, 1)
  })

  test('a handle that knew an index which was dropped and made anew with other dims asks again', async () => {
    const [one, other] = [await withRows([row('a', turned(0))]), await opened()]
    assert.equal((await other.search(music, turned(0), 1)).length, 1)
    await one.drop(music)
    await one.create(music, 2)
    await one.upsert(music, [row('b', Float32Array.of(1, 0))])
    await assert.rejects(other.search(music, turned(0), 1), /has 16 dims, not 2/)
    assert.deepEqual(await other.search(music, Float32Array.of(1, 0), 1), [{ id: 'b', score: 1 }])
    await other.upsert(music, [row('c', Float32Array.of(0, 1))])
    assert.equal(await one.count(music), 2)
  })

  test('what another handle changes is seen by the next call: a new numeric field, an index made anew', async () => {
    const [one, other] = [await withRows([row('a', turned(0))]), await opened()]
    const fast: Filter = [{ field: 'bpm', min: 100 }]
    assert.equal(await other.count(music, fast), 0)
    await one.upsert(music, [row('b', turned(1), { bpm: 120 })])
    assert.equal(await other.count(music, fast), 1)
    await one.setAttributes(music, 'a', { loudness: -7 })
    assert.equal((await other.search(music, turned(0), 5, [{ field: 'loudness', max: 0 }])).length, 1)
    await one.drop(music)
    await one.create(music, DIMS)
    await one.upsert(music, [row('a', turned(2))])
    assert.deepEqual([...(await other.vectors(music, ['a', 'b']))], [['a', turned(2)]])
  })

  test('an attribute change that comes after the removal does not bring the row back', async () => {
    const [one, other] = [await withRows([row('a', turned(0))]), await opened()]
    await Promise.all([
      one.remove(music, ['a']),
      ...Array.from({ length: 20 }, (_, i) => other.setAttributes(music, 'a', { n: i })),
    ])
    assert.equal(await one.count(music), 0)
    assert.equal(await keys('row:*'), 0)
  })

  test('a row that comes again as it is does not go through the graph again', async () => {
    const rows = [row('a', turned(1), { genre: ['rock', 'pop'], bpm: 120 })]
    const index = await withRows(rows)
    const [name] = ((await admin.call('FT._LIST')) as string[]).filter((each) => each.startsWith(keyPrefix))
    const lastDocument = async () => {
      const info = (await admin.call('FT.INFO', name!)) as unknown[]
      return info[info.indexOf('max_doc_id') + 1]
    }
    const before = await lastDocument()
    await index.upsert(music, rows)
    await index.setAttributes(music, 'a', rows[0]!.attributes)
    assert.equal(await lastDocument(), before)
    await index.setAttributes(music, 'a', { genre: ['rock'] })
    assert.notEqual(await lastDocument(), before)
  })
})

describe('a server that fails', () => {
  test('kill -9: every row that was acknowledged is there after the restart, whole and found', async () => {
    const index = await withRows([])
    let acknowledged = 0
    const writing = (async () => {
      for (let i = 0; ; i++) {
        await index.upsert(music, [row(`row-${i}`, turned(i), { n: i, genre: [`genre-${i % 7}`] })])
        acknowledged = i + 1
        if (acknowledged === 500) void server.kill('SIGKILL')
      }
    })()
    await assert.rejects(writing, isOutage)
    await assert.rejects(idsIn(index), isOutage)
    await until('the server has ended', async () => server.pid === undefined)
    await server.start()
    await until('the index answers', () => idsIn(index).catch(() => undefined))
    const count = await index.count(music)
    assert.ok(count === acknowledged || count === acknowledged + 1, `${count} rows of ${acknowledged}`)
    assert.equal((await index.search(music, turned(0), 2_000)).length, count)
    for (let i = 0; i < acknowledged; i += 50) {
      const [hit] = await index.search(music, turned(i), 1, [{ field: 'n', min: i, max: i }])
      assert.equal(hit?.id, `row-${i}`)
    }
    assert.equal((await index.indexes())[0]!.rows, count)
    await index.upsert(music, [row('next', turned(0))])
  })

  test('a server that stopped answering gives an outage, and the same handle goes on when it is back', async () => {
    const index = await withRows([row('a', turned(0))], { commandTimeoutMs: 700 })
    await server.kill('SIGSTOP')
    await assert.rejects(idsIn(index), isOutage)
    await assert.rejects(index.upsert(music, [row('b', turned(1))]), isOutage)
    await server.kill('SIGCONT')
    await until('it answers', () => idsIn(index).catch(() => undefined))
    await index.upsert(music, [row('b', turned(1))])
    assert.deepEqual(await idsIn(index), ['a', 'b'])
  })

  test('an engine that would hide that it ran out of time is told again to fail', async () => {
    const index = await withRows([row('a', turned(0))])
    const onTimeout = async () => ((await admin.call('FT.CONFIG', 'GET', 'ON_TIMEOUT')) as string[][])[0]![1]
    for (const ask of [() => idsIn(index), () => index.count(music, [{ field: 'genre', noneOf: ['x'] }])]) {
      await admin.call('FT.CONFIG', 'SET', 'ON_TIMEOUT', 'return')
      await ask()
      assert.equal(await onTimeout(), 'fail')
    }
    await admin.call('ACL', 'SETUSER', 'plain', 'on', '>secret', '~*', '+@all', '-ft.config')
    const refused = opened({ username: 'plain', password: 'secret' })
    await assert.rejects(refused, isSetup('may-lose-results'))
  })

  test('while the engine is still indexing, a search is an outage and not a part of the rows', async () => {
    const index = await withRows(Array.from({ length: 3_000 }, (_, i) => row(`row-${i}`, turned(i))))
    await closed(index)
    const [name] = ((await admin.call('FT._LIST')) as string[]).filter((each) => each.startsWith(keyPrefix))
    const prefix = name!.replace(':ix:', ':row:')
    await admin.call('FT.DROPINDEX', name!)
    const vector = ['TYPE', 'FLOAT16', 'DIM', DIMS, 'DISTANCE_METRIC', 'COSINE']
    const schema = ['h', 'VECTOR', 'HNSW', vector.length, ...vector, 'tags', 'TAG', 'SEPARATOR', ',', 'CASESENSITIVE']
    const again = await opened()
    await admin.call('FT.CREATE', name!, 'ON', 'HASH', 'PREFIX', '1', `${prefix}:`, 'SCHEMA', ...schema)
    await assert.rejects(idsIn(again), isOutage)
    const found = await until('the engine is done', () => idsIn(again, 3_000).catch(() => undefined))
    assert.equal(found.length, 3_000)
  })
})

describe('a server that is set up wrongly is refused with what to do', () => {
  test('one that evicts rows', async () => {
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await assert.rejects(opened(), isSetup('redis-evicts'))
    await admin.config('SET', 'maxmemory-policy', 'noeviction')
  })

  test('a database that the engine does not index', async () => {
    await assert.rejects(opened({ url: `${url.replace(/\/\d*$/, '')}/1` }), isSetup('bad-redis-url'))
  })

  test('one whose user may not look at its modules', async () => {
    await admin.call('ACL', 'SETUSER', 'blind', 'on', '>secret', '~*', '+@all', '-module')
    await assert.rejects(opened({ username: 'blind', password: 'secret' }), isSetup('redis-denied'))
  })

  test('one without the Query Engine', async (t) => {
    const plain = await otherServer(server, [])
    if (plain === undefined) return t.skip(NO_PROCESS)
    await assert.rejects(opened({ url: plain.url }), isSetup('no-query-engine'))
  })

  test('one of a cluster, where the engine at hand would search a part of the rows', async (t) => {
    const member = await otherServer(server, ['--cluster-enabled', 'yes', ...(await engineOf(url))])
    if (member === undefined) return t.skip(NO_PROCESS)
    await assert.rejects(opened({ url: member.url }), isSetup('redis-cluster'))
  })
})

test('a server that lost rows since its last snapshot has another generation, for whoever knew it and for who comes', async (t) => {
  const forgetful = await otherServer(server, ['--save', '3600 1', ...(await engineOf(url))])
  if (forgetful === undefined) return t.skip(NO_PROCESS)
  const index = await withRows([row('kept', turned(0))], { url: forgetful.url })
  const before = await index.generation()
  await forgetful.save()
  await index.upsert(music, [row('lost', turned(0))])
  await forgetful.restart()
  await until('it is noticed', () =>
    index.upsert(music, [row('next', turned(0))]).then(
      () => assert.fail('it was written beside rows that are not all'),
      (error) => isSetup('generation-ended')(error),
    ),
  )
  const after = await index.generation()
  assert.notEqual(after, before)
  assert.equal(await (await opened({ url: forgetful.url })).generation(), after)
  assert.deepEqual(await index.indexes(), [])
})

test('a server that came back without its last writes has another generation, and one that lost none has the same', async (t) => {
  const other = await otherServer(server, [...EVERY_WRITE, ...(await engineOf(url))])
  if (other === undefined) return t.skip(NO_PROCESS)
  const [index, reader] = [await withRows([row('a', turned(0))], { url: other.url }), await opened({ url: other.url })]
  const before = await index.generation()
  await other.restart()
  await until('it answers', () => index.upsert(music, [row('b', turned(0))]).then(() => true, whileOutage))
  assert.equal(await index.generation(), before)
  assert.deepEqual(await idsIn(reader), ['a', 'b'])
  const bytes = other.fileBytes()
  await index.upsert(music, [row('lost', turned(0))])
  await other.restartAt(bytes)
  await until('the reader is served', () => idsIn(reader).catch(whileOutage)) // it has seen nothing of what is lost
  await until('it is noticed', () =>
    index.upsert(music, [row('next', turned(0))]).then(
      () => assert.fail('it was written beside rows that are not all'),
      (error) => isSetup('generation-ended')(error),
    ),
  )
  const after = await index.generation()
  assert.notEqual(after, before)
  assert.equal(await (await opened({ url: other.url })).generation(), after)
  assert.equal(await index.generation(), after, 'another handle ends it no second time')
})

function whileOutage(error: unknown): false {
  if (isOutage(error)) return false
  throw error
}

test('an index of the engine that was dropped by hand keeps nothing from being dropped, switched or freed', async () => {
  const index = await withRows([row('a', turned(0))])
  const dropByHand = async () => {
    const names = ((await admin.call('FT._LIST')) as string[]).filter((name) => name.startsWith(keyPrefix))
    assert.equal(names.length, 1)
    await admin.call('FT.DROPINDEX', names[0]!)
  }
  await dropByHand()
  await index.drop(music)
  assert.equal(await keys('row:*'), 0)
  await index.create(music, DIMS)
  await index.upsert(music, [row('b', turned(0))])
  await dropByHand()
  await (await index.rebuild()).promote()
  await until('the rows of the old generation are freed', async () => (await keys('row:*')) === 0)
  await index.generation()
  await index.create(music, DIMS)
  assert.deepEqual(await idsIn(index), [])
})

describe('more rows than are scanned', () => {
  const count = 15_000
  const random = seededRandom(11)
  const vectors = clusteredVectors({ count, dims: DIMS, clusters: 150, random })
  const rows = vectors.map((vector, i) =>
    row(`row-${i}`, vector, { half: [i % 10 < 8 ? 'most' : 'few'], part: [`part-${i % 300}`], n: i }),
  )
  const queries = clusteredVectors({ count: 30, dims: DIMS, clusters: 150, random })
  const prefix = `${randomUUID()}:`
  let index: VectorIndex
  before(async () => {
    index = await withRows(rows, { keyPrefix: prefix })
  })

  const filters: readonly [what: string, filter: Filter, least: number][] = [
    ['none', [], 0.98],
    ['that most pass', [{ field: 'half', anyOf: ['most'] }], 0.98],
    ['that most pass by exclusion', [{ field: 'half', noneOf: ['few'] }], 0.98],
    ['that a fifth passes', [{ field: 'half', anyOf: ['few'] }], 1],
    ['that few pass', [{ field: 'part', anyOf: ['part-7'] }], 1],
    ['of a range', [{ field: 'n', min: 100, max: 120 }], 1],
    ['that fewer pass than are asked for', [{ field: 'n', max: 3 }], 1],
    ['that nothing passes', [{ field: 'half', anyOf: ['nothing'] }], 1],
  ]
  for (const [what, filter, least] of filters) {
    test(`recall with a filter ${what}`, async () => {
      const among = rows.filter(({ attributes }) => passes(attributes, filter))
      assert.equal(await index.count(music, filter), among.length)
      for (const k of [10, 100]) {
        let found = 0
        let wanted = 0
        for (const query of queries) {
          const hits = await index.search(music, query, k, filter)
          const best = among.map(({ vector }) => dot(query, vector)).sort((a, b) => b - a)
          assert.equal(hits.length, Math.min(k, among.length))
          wanted += hits.length
          if (hits.length > 0) found += hits.filter(({ score }) => score >= best[hits.length - 1]! - 1e-6).length
        }
        assert.ok(found >= least * wanted, `recall@${k} is ${found / wanted}`)
      }
    })
  }

  test('more ties than are fetched still come by id', async () => {
    const tied = { release: 'tied', kind: 'music' } as const
    const ids = Array.from({ length: 300 }, (_, i) => `row-${String(i).padStart(3, '0')}`)
    await index.create(tied, DIMS)
    await index.upsert(
      tied,
      ids.toReversed().map((id) => row(id, turned(0))),
    )
    const hits = await index.search(tied, turned(0.5), 5)
    assert.deepEqual(
      hits.map(({ id }) => id),
      ids.slice(0, 5),
    )
  })

  test('a search for more rows than one answer takes is refused, and one for more than there are is not', async () => {
    await assert.rejects(index.search(music, queries[0]!, 10_001), /at most 10000 rows/)
    assert.equal((await index.search(music, queries[0]!, 10_000)).length, 10_000)
    assert.equal((await index.search(music, queries[0]!, DEEPEST_PAGE)).length, DEEPEST_PAGE)
  })

  test('RediSearch/RediSearch#4672: after every row was replaced twice, the graph finds what it found before', async () => {
    const name = { release: 'churned', kind: 'music' } as const
    const some = rows.slice(0, 3_000)
    await index.create(name, DIMS)
    const generation = await admin.get(`${prefix}index:generation`)
    const entry = await admin.hget(`${prefix}index:names:${generation}`, 'music/churned')
    const ftName = `${prefix}ix:${entry!.split(' ')[0]}`
    /** Of the graph itself: so few rows are scanned otherwise. */
    const recall = async () => {
      let found = 0
      for (const query of queries) {
        const best = some.map(({ vector }) => dot(query, vector)).sort((a, b) => b - a)[9]!
        const knn = '*=>[KNN 10 @h $vector EF_RUNTIME 50 AS distance]'
        const how = ['PARAMS', '2', 'vector', halfBytes(query), 'RETURN', '1', 'v', 'LIMIT', '0', '10', 'DIALECT', '2']
        const reply = await admin.callBuffer('FT.SEARCH', ftName, knn, ...how)
        found += readHits(reply, '', query).filter(({ score }) => score >= best - 1e-3).length
      }
      return found / 10 / queries.length
    }
    const write = (shift: number) =>
      index.upsert(
        name,
        some.map(({ id }, i) => row(id, some[(i + shift) % some.length]!.vector)),
      )
    await write(0)
    const fresh = await recall()
    for (const half of [0, 1]) {
      const gone = some.filter((_, i) => i % 2 === half).map(({ id }) => id)
      await index.remove(name, gone)
      await write(1_000 * (half + 1))
    }
    const churned = await recall()
    assert.ok(fresh > 0.95, `recall@10 is ${fresh} at first`)
    assert.ok(churned >= fresh - 0.01, `recall@10 is ${churned} after it was ${fresh}`)
  })
})

function row(id: string, vector: Float32Array, attributes: Attributes = {}): IndexRow {
  return { id, vector, attributes }
}

function turned(radians: number): Float32Array {
  const vector = new Float32Array(DIMS)
  vector[0] = Math.cos(radians)
  vector[1] = Math.sin(radians)
  return vector
}

function passes(attributes: Attributes, filter: Filter): boolean {
  return filter.every((condition) => {
    const value = attributes[condition.field]
    if ('anyOf' in condition) return Array.isArray(value) && value.some((tag) => condition.anyOf.includes(tag))
    if ('noneOf' in condition) return !(Array.isArray(value) && value.some((tag) => condition.noneOf.includes(tag)))
    return typeof value === 'number' && value >= (condition.min ?? -Infinity) && value <= (condition.max ?? Infinity)
  })
}
