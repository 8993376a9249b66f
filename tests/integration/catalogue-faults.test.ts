/** The catalogue in Redis when the server, or the network, does not do its part. */
import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, test } from 'node:test'
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { Schema } from 'redis-om'
import { openRedisCatalogue } from '../../adapters/redis/catalogue.ts'
import type { RedisOptions } from '../../adapters/redis/connection.ts'
import { openOmClient } from '../../adapters/redis/om-client.ts'
import { openRedisVectorIndex } from '../../adapters/redis/vector-index.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import { OutageError, SetupError } from '../../ports/errors.ts'
import type { UploadReceived } from '../../schemas/types.ts'
import { startServices } from '../../services/start-services.ts'
import { inTime } from '../conformance/deadline.ts'
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy.ts'
import { tlsFront } from '../support/tls-front.ts'
import { until } from '../support/until.ts'
import { EVERY_WRITE, NO_PROCESS, otherServer, SNAPSHOTS } from './redis-fixtures.ts'

const services = await startServices({ want: ['redis'], rungs: ['docker', 'local'] })
const { redis: server, redisUrl } = services
const target = { host: server.host, port: server.port }
const SHORT_MS = 500
const LONG_MS = 60_000
/** A chunk that is held up for so long is lost. */
const NEVER_MS = 1e8

const open = new Set<Catalogue>()
after(() => services.stop())
afterEach(async () => {
  for (const catalogue of open) await catalogue.close()
  open.clear()
})
beforeEach(async () => {
  await server.start()
  await asAdmin((redis) => redis.flushall())
})

async function opened(options: Partial<RedisOptions> = {}): Promise<Catalogue> {
  const catalogue = await openRedisCatalogue({ url: redisUrl, commandTimeoutMs: 10_000, onError: () => {}, ...options })
  open.add(catalogue)
  return catalogue
}

async function asAdmin<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(redisUrl)
  return work(redis).finally(() => redis.disconnect())
}

const proxied = async () => {
  const proxy = await tcpProxy(target)
  after(() => proxy.close())
  return { proxy, url: `redis://127.0.0.1:${proxy.port}` }
}
/** The next connection opens, and what the client says first is held up. */
async function holdHandshake(proxy: TcpProxy, hold: () => void): Promise<void> {
  proxy.cut()
  await until('the old connections are gone', async () => proxy.connections === 0)
  hold()
  proxy.restore()
  await until('the client has connected and speaks', async () => proxy.heldBytes > 0)
}
const isOutage = (error: unknown) => error instanceof OutageError && error.code === 'redis-unavailable'
const isEnd = (error: unknown) => error instanceof SetupError && error.code === 'generation-ended'
const isSetup = (code: string) => (error: unknown) => error instanceof SetupError && error.code === code
const works = (catalogue: Catalogue) => until('Redis answers', () => catalogue.counts().catch(() => false as const))
const received = (id: string) => ({ id, kind: 'track' }) as const

const plan = {
  revision: 1,
  serving: 'a',
  previous: null,
  trial: null,
  preparing: null,
  lastRollOut: null,
  carrier: null,
}

/** One of each kind: reads, writes, transactions, scripts, values in bytes. */
function everyCall(catalogue: Catalogue): Promise<unknown>[] {
  return [
    catalogue.track('a'),
    catalogue.video('a'),
    catalogue.listUploads({ limit: 3 }),
    catalogue.putTrack('a', { upload: upload('a', 'a') }),
    catalogue.putVideo('a', { features: features(2) }),
    catalogue.removeUpload('a'),
    catalogue.recordStage(received('a'), 'analysed', 1),
    catalogue.recordFailure(received('a'), { stage: 'analysed', code: 'bad', message: 'bad', at: 1 }),
    catalogue.recordTakedown('a', 1),
    catalogue.takenDownAt('a'),
    catalogue.releasePlan(),
    catalogue.replaceReleasePlan(0, plan),
    catalogue.counts(),
  ]
}

async function assertOutages(catalogue: Catalogue, withinMs: number): Promise<void> {
  await Promise.all(
    everyCall(catalogue).map((call) => assert.rejects(inTime(call, 'the rejection', withinMs), isOutage)),
  )
}

test('redis/node-redis#2688: what is written while the server is away fails at once and is never written later', async () => {
  const catalogue = await opened({ commandTimeoutMs: LONG_MS })
  await catalogue.recordStage(received('before'), 'received', 1)
  await server.kill('SIGKILL')
  for (let i = 0; i < 20; i++) {
    const call = catalogue.recordStage(received(`lost ${i}`), 'received', 1)
    await assert.rejects(inTime(call, 'the rejection', LONG_MS / 2), isOutage)
  }
  await assertOutages(catalogue, LONG_MS / 2)
  await server.start()
  await works(catalogue)
  assert.deepEqual(
    (await catalogue.listUploads({ limit: 50 })).items.map(({ id }) => id),
    ['before'],
  )
})

test('redis/node-redis#2785: calls to a server that stops answering end by their deadline, and replies are not mixed up', async () => {
  const catalogue = await opened({ commandTimeoutMs: SHORT_MS })
  const ids = Array.from({ length: 50 }, (_, i) => `track ${i}`)
  for (const id of ids) await catalogue.putTrack(id, { upload: upload(id, 'title') })
  await server.kill('SIGSTOP')
  await assertOutages(catalogue, LONG_MS / 2)
  await assertOutages(catalogue, LONG_MS / 2)
  await server.kill('SIGCONT')
  await works(catalogue)
  const tracks = await Promise.all(ids.map((id) => catalogue.track(id)))
  assert.deepEqual(
    tracks.map((track) => track?.upload?.uploadId),
    ids,
  )
})

test('redis/node-redis#2205: a connection that is lost without a word is given up, and another one made', async () => {
  const { proxy, url } = await proxied()
  const errors: Error[] = []
  const catalogue = await opened({ url, commandTimeoutMs: SHORT_MS, onError: (error) => errors.push(error) })
  proxy.toTargetDelayMs = NEVER_MS
  await assertOutages(catalogue, LONG_MS / 2)
  proxy.toTargetDelayMs = 0
  await works(catalogue)
  assert.ok(errors.length > 0 && errors.every(isOutage), inspect(errors))
})

test('redis/node-redis#2632: a connection that is lost amid its handshake is given up too, and another one made', async () => {
  const { proxy, url } = await proxied()
  const catalogue = await opened({ url, commandTimeoutMs: SHORT_MS })
  await holdHandshake(proxy, () => {
    proxy.toTargetDelayMs = NEVER_MS
  })
  await assertOutages(catalogue, LONG_MS / 2)
  proxy.toTargetDelayMs = 0
  await works(catalogue)
})

test('what is in flight when the connection breaks is rejected at once', async () => {
  const { proxy, url } = await proxied()
  const catalogue = await opened({ url, commandTimeoutMs: LONG_MS })
  proxy.blackhole(true)
  const calls = everyCall(catalogue).map((call) => assert.rejects(inTime(call, 'the rejection', LONG_MS / 2), isOutage))
  proxy.cut()
  await Promise.all(calls)
  proxy.blackhole(false)
  proxy.restore()
  await works(catalogue)
})

test('a late answer alone does not end a connection on which others come in time', async () => {
  const errors: Error[] = []
  const client = await openOmClient({
    url: redisUrl,
    commandTimeoutMs: SHORT_MS,
    onError: (error) => errors.push(error),
  })
  after(() => client.close())
  const idOf = () => client.ask((redis) => redis.clientId())
  const before = await idOf()
  const late = assert.rejects(
    client.ask(() => new Promise(() => {})),
    isOutage,
  )
  await idOf()
  await late
  assert.equal(await idOf(), before)
  assert.deepEqual(errors, [])
})

test('a catalogue that is closed leaves no connection behind, whatever the connection was about', async () => {
  const { proxy, url } = await proxied()
  const states: Readonly<Record<string, (catalogue: Catalogue) => Promise<void>>> = {
    connected: async () => {},
    'without an answer': async () => proxy.blackhole(true),
    'cut off': async () => proxy.cut(),
    'amid a handshake': () => holdHandshake(proxy, () => proxy.blackhole(true)),
  }
  for (const [state, reach] of Object.entries(states)) {
    const catalogue = await opened({ url, commandTimeoutMs: SHORT_MS })
    await reach(catalogue)
    const calls = everyCall(catalogue).map((call) => call.catch(() => {}))
    await catalogue.close()
    await Promise.all(calls)
    proxy.restore()
    proxy.blackhole(false)
    await until(`no connection is left of one that was ${state}`, async () => proxy.connections === 0)
    await assertOutages(catalogue, LONG_MS / 2)
    assert.equal(proxy.connections, 0)
  }
})

test('an opening that is given up leaves no connection behind, even if it was too early to end it', async () => {
  const { proxy, url } = await proxied()
  await Promise.all(
    Array.from({ length: 30 }, async () => {
      const catalogue = await openRedisCatalogue({ url, commandTimeoutMs: 0, onError: () => {} }).catch(() => undefined)
      await catalogue?.close()
    }),
  )
  // Connections are accepted in order: once this one is open, those before it are.
  await (await opened({ url })).close()
  await until('all connections are gone', async () => proxy.connections === 0, 10_000)
})

test('a server that cannot serve now is an outage: read-only, out of memory, away, silent', async () => {
  const catalogue = await opened()
  const write = () => catalogue.putTrack('a', { upload: upload('a', 'a') })
  const inScript = () => catalogue.recordStage(received('a'), 'received', 1)
  const assertNoWrites = () => Promise.all([assert.rejects(write(), isOutage), assert.rejects(inScript(), isOutage)])
  await asAdmin((redis) => redis.replicaof('127.0.0.1', 1))
  await assertNoWrites()
  await asAdmin((redis) => redis.replicaof('NO', 'ONE'))
  await works(catalogue)
  await asAdmin((redis) => redis.config('SET', 'maxmemory', 1))
  await assertNoWrites()
  await asAdmin((redis) => redis.config('SET', 'maxmemory', 0))
  await write()
  await server.kill('SIGSTOP')
  await assert.rejects(inTime(opened({ commandTimeoutMs: SHORT_MS }), 'the refusal', LONG_MS), isOutage)
  await server.kill('SIGKILL')
  await assert.rejects(opened(), isOutage)
})

test('a primary that was demoted is left, so that the one that took its place at the address is found', async () => {
  const client = await openOmClient({ url: redisUrl, commandTimeoutMs: 10_000, onError: () => {} })
  after(() => client.close())
  for (const write of [
    () => client.ask((redis) => redis.set('a', '1')),
    () => client.ask((redis) => redis.multi().set('a', '1').exec()),
    () => client.ask((redis) => redis.eval("return redis.call('SET', 'a', '1')")),
  ]) {
    const demoted = await client.ask((redis) => redis.clientId())
    await asAdmin((redis) => redis.replicaof('127.0.0.1', 1))
    await assert.rejects(write(), isOutage)
    await asAdmin((redis) => redis.replicaof('NO', 'ONE'))
    await until('it is written', () =>
      write().then(
        () => true,
        () => false,
      ),
    )
    assert.notEqual(await client.ask((redis) => redis.clientId()), demoted)
  }
})

test('a Redis that evicts keys, or is of a cluster, is refused with what to do', async (t) => {
  await asAdmin((redis) => redis.config('SET', 'maxmemory-policy', 'allkeys-lru'))
  await assert.rejects(opened(), isSetup('redis-evicts'))
  await asAdmin((redis) => redis.config('SET', 'maxmemory-policy', 'noeviction'))
  const member = await otherServer(server, ['--cluster-enabled', 'yes'])
  if (member === undefined) return t.skip(NO_PROCESS)
  await assert.rejects(opened({ url: member.url }), isSetup('redis-cluster'))
})

/** All that a projection does. */
function projections(catalogue: Catalogue): (() => Promise<void>)[] {
  return [
    () => catalogue.putTrack('a', { upload: upload('a', 'a') }),
    () => catalogue.putVideo('a', { features: features(2) }),
    () => catalogue.recordStage(received('a'), 'analysed', 1),
    () => catalogue.recordFailure(received('a'), { stage: 'analysed', code: 'bad', message: 'bad', at: 2 }),
    () => catalogue.recordFailure(received('a'), { stage: 'analysed', code: 'bad', message: 'bad', at: 1 }),
    () => catalogue.recordTakedown('a', 1),
    () => catalogue.removeTrack('a'),
    () => catalogue.removeVideo('a'),
    () => catalogue.removeUpload('a'),
  ]
}

test('a catalogue that is wiped under its projection refuses each of its writes until its new generation is named; others go on', async () => {
  const [projection, gateway] = [await opened(), await opened()]
  const before = await projection.generation()
  for (const write of projections(projection)) await write()
  await asAdmin((redis) => redis.flushall())
  for (const write of projections(projection)) await assert.rejects(write(), isEnd)
  for (const write of projections(gateway)) await write()
  const next = await (await opened()).generation()
  assert.notEqual(next, before)
  for (const write of projections(projection)) await assert.rejects(write(), isEnd)
  assert.equal(await projection.generation(), next)
  for (const write of projections(projection)) await write()
})

test('a server that came back with an old snapshot has another generation of the catalogue, for whoever knew it and for who comes', async (t) => {
  const forgetful = await otherServer(server, SNAPSHOTS)
  if (forgetful === undefined) return t.skip(NO_PROCESS)
  const catalogue = await opened({ url: forgetful.url })
  const before = await catalogue.generation()
  await forgetful.save()
  await catalogue.recordTakedown('lost', 1)
  await forgetful.restart()
  await until('it is noticed', () =>
    catalogue.recordTakedown('next', 1).then(() => assert.fail('it was written beside what is not whole'), isEnd),
  )
  const next = await catalogue.generation()
  assert.notEqual(next, before)
  assert.equal(await (await opened({ url: forgetful.url })).generation(), next)
  await catalogue.recordTakedown('next', 1)
})

test('a server that came back without its last writes has another generation of the catalogue, and one that lost none the same', async (t) => {
  const other = await otherServer(server, EVERY_WRITE)
  if (other === undefined) return t.skip(NO_PROCESS)
  const catalogue = await opened({ url: other.url })
  const before = await catalogue.generation()
  await catalogue.recordTakedown('kept', 1)
  await other.restart()
  const again = () =>
    catalogue.putTrack('kept', {}).then(
      () => true,
      (error) => isEnd(error) && assert.fail(error),
    )
  await until('it answers', again)
  assert.equal(await catalogue.generation(), before)
  const bytes = other.fileBytes()
  await catalogue.recordTakedown('lost', 1)
  await other.restartAt(bytes)
  await until('it is noticed', () =>
    catalogue.recordTakedown('next', 1).then(() => assert.fail('it was written beside what is not whole'), isEnd),
  )
  assert.notEqual(await catalogue.generation(), before)
})

test('credentials are never in an error, and wrong ones are a matter of setup', async () => {
  await asAdmin((redis) => redis.call('ACL', 'SETUSER', 'writer', 'on', '>right-secret', '~*', '+@all'))
  const address = `${server.host}:${server.port}`
  for (const options of [
    { username: 'writer', password: 'wrong-secret' },
    { url: `redis://writer:wrong-secret@${address}` },
    { url: `http://writer:wrong-secret@${address}` },
    { url: `redis://writer:wrong-secret@127.0.0.1:1` },
  ]) {
    const error: unknown = await opened(options).then(
      () => assert.fail('it was opened'),
      (thrown) => thrown,
    )
    assert.ok(error instanceof SetupError || error instanceof OutageError, inspect(error))
    assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /wrong-secret/)
  }
  const writer = await opened({ username: 'writer', password: 'right-secret' })
  await writer.putTrack('a', { upload: upload('a', 'a') })
})

test('TLS: a server of a known authority is spoken to, one of an unknown authority is refused', async (t) => {
  const front = await tlsFront(target)
  if (front === undefined) return t.skip('openssl, which makes the certificate, is not on this machine')
  const tls = { ca: front.cert }
  for (const scheme of ['redis', 'rediss']) {
    const catalogue = await opened({ url: `${scheme}://127.0.0.1:${front.port}`, tls })
    await catalogue.recordTakedown(scheme, 1)
    assert.equal(await catalogue.takenDownAt(scheme), 1)
    await catalogue.close()
  }
  const untrusted = opened({ url: `rediss://127.0.0.1:${front.port}` })
  await assert.rejects(untrusted, (error) => error instanceof SetupError && error.code === 'redis-untrusted')
})

test('every stage that was acknowledged before a kill -9 of the server is there', async () => {
  const catalogue = await opened()
  let acknowledged = 0
  const writing = (async () => {
    for (let i = 0; ; i++) {
      await catalogue.recordStage(received(`upload ${i}`), 'received', i)
      acknowledged = i + 1
    }
  })()
  await until('some are written', async () => acknowledged > 200)
  await Promise.all([assert.rejects(writing, isOutage), server.kill('SIGKILL')])
  await server.start()
  await works(catalogue)
  for (let i = 0; i < acknowledged; i++) {
    assert.deepEqual((await catalogue.upload(`upload ${i}`))?.stages, { received: i })
  }
})

test('sections and stages that several processes write at the same time are all kept [sections]', async () => {
  const [one, two, three] = [await opened(), await opened(), await opened()]
  const ids = Array.from({ length: 40 }, (_, i) => `busy ${i}`)
  await Promise.all(
    ids.flatMap((id) => [
      one.putTrack(id, { upload: upload(id, 'one') }),
      two.putTrack(id, { described: described(id) }),
      three.recordStage(received(id), 'analysed', 30),
      one.recordFailure(received(id), { stage: 'analysed', code: 'bad', message: 'bad', at: 20 }),
      two.recordStage({ ...received(id), title: id }, 'analysed', 10),
      three.recordFailure(received(id), { stage: 'described', code: 'bad', message: 'bad', at: 20 }),
    ]),
  )
  for (const id of ids) {
    assert.deepEqual(await one.track(id), { id, upload: upload(id, 'one'), described: described(id) })
    const status = (await two.upload(id))!
    assert.deepEqual({ ...status.stages }, { analysed: 10 })
    assert.deepEqual([status.title, ...status.failures.map(({ stage }) => stage)], [id, 'described'])
  }
  assert.equal((await three.counts()).failed, ids.length)
})

test('texts of any kind, and feature sequences of 8 MiB, come back as they were', async () => {
  const catalogue = await opened()
  for (const title of ['\ud83d', '\udc00 half', '\0', '"}{', '%s\r\n$5', 'Ω曲🎵', '']) {
    await catalogue.putTrack('text', { upload: upload('text', title) })
    assert.equal((await catalogue.track('text'))!.upload!.title, title)
    await catalogue.recordFailure(received('text'), { stage: 'analysed', code: 'bad', message: title, at: 1 })
    assert.equal((await catalogue.upload('text'))!.failure!.message, title)
  }
  const large = { ...features(2 ** 21 / 4), values: Float32Array.from({ length: 2 ** 21 }, (_, i) => i / 3) }
  await catalogue.putVideo('large', { features: { ...large, dims: 4 } })
  assert.deepEqual((await catalogue.video('large'))!.features!.values, large.values)
})

test('a page and the counts cost no more in a large catalogue than in a small one', async () => {
  const catalogue = await opened()
  await asAdmin(async (redis) => {
    const pipeline = redis.pipeline()
    for (let i = 0; i < 20_000; i++)
      pipeline.zadd('cuestream:catalogue:ids:tracks', 0, `t${String(i).padStart(8, '0')}`)
    await pipeline.exec()
    await redis.config('RESETSTAT')
  })
  assert.equal((await catalogue.counts()).tracks, 20_000)
  const page = await catalogue.listTracks({ after: 't00009999', limit: 10 })
  assert.equal(page.next, 't00010009')
  const stats = await asAdmin((redis) => redis.info('commandstats'))
  const calls = Object.fromEntries(
    [...stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name, n]) => [name, Number(n)]),
  )
  const { zcard, scard, zrangebylex, hgetall, ...others } = calls
  assert.deepEqual({ zcard, scard, zrangebylex, hgetall }, { zcard: 3, scard: 1, zrangebylex: 1, hgetall: 10 })
  const handshake = ['info', 'client|setinfo', 'config|resetstat', 'select', 'hello']
  assert.deepEqual(
    Object.keys(others).filter((name) => !handshake.includes(name)),
    [],
  )
})

test('redis/redis-om-node#85: redis-om has no vectors, so they are searched by raw commands beside the catalogue', async () => {
  assert.throws(() => new Schema('track', { vector: { type: 'vector' } } as never), /'vector'/)
  const catalogue = await opened()
  const index = await openRedisVectorIndex({ url: redisUrl, onError: (error) => assert.fail(error) })
  const name = { release: 'r', kind: 'music' } as const
  await index.create(name, 2)
  for (const [id, x] of [
    ['near', 1],
    ['far', -1],
  ] as const) {
    await catalogue.putTrack(id, { upload: upload(id, id) })
    await index.upsert(name, [{ id, vector: Float32Array.of(x, 0), attributes: {} }])
  }
  const indexes = () => asAdmin((redis) => redis.call('FT._LIST'))
  const nearest = async () => (await index.search(name, Float32Array.of(1, 0), 1)).map(({ id }) => id)
  assert.deepEqual(await nearest(), ['near'])
  const before = await indexes()
  await catalogue.removeTrack('near')
  assert.deepEqual(await nearest(), ['near'], 'the index holds no documents of the catalogue, and they no vectors')
  assert.deepEqual([...(await catalogue.tracks(['near', 'far'])).keys()], ['far'])
  assert.deepEqual(await indexes(), before, 'the catalogue has no search index')
  await index.close()
})

/** (segments, 4) */
function features(segments: number) {
  const values = Float32Array.from({ length: segments * 4 }, (_, i) => i / 7)
  return { encoderId: 'e', values, segments, dims: 4, segmentSeconds: 10, durationSeconds: 9.5 }
}

function upload(uploadId: string, title: string): UploadReceived {
  const media = { uri: `media:${'0'.repeat(64)}`, sha256: '0'.repeat(64), bytes: 1 }
  const rights = { licence: null, territories: [], explicit: false }
  return { uploadId, kind: 'track', media, title, artist: null, owner: null, rights, receivedAt: 1.7e12 }
}

function described(trackId: string) {
  return {
    trackId,
    source: 'track',
    text: 'A driving rock song.',
    method: 'tags',
    generator: 'g',
    promptVersion: null,
    prompt: null,
    fallback: null,
    tagsKept: [],
    tagsOmitted: [],
    tagsInvented: [],
    describedAt: 1.7e12,
  } as const
}
