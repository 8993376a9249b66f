/** What the connection to Redis does when the server, or the network, does not do its part. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { inspect } from 'node:util'
import type { Redis } from 'ioredis'
import { asked, askedAll, openRedis, type RedisOptions } from '../../adapters/redis/connection.ts'
import { OutageError, SetupError } from '../../ports/errors.ts'
import { startServices } from '../../services/start-services.ts'
import { inTime } from '../conformance/deadline.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'
import { tlsFront } from '../support/tls-front.ts'
import { until } from '../support/until.ts'

const services = await startServices({ want: ['redis'], rungs: ['docker', 'local'] })
const { redis: server, redisUrl } = services
const target = { host: server.host, port: server.port }
const SHORT_MS = 700
const LONG_MS = 60_000

const open = new Set<Redis>()
after(async () => {
  for (const redis of open) redis.disconnect()
  await services.stop()
})
beforeEach(async () => {
  await server.start()
  await (await opened()).flushall()
})

async function opened(options: Partial<RedisOptions> = {}): Promise<Redis> {
  const redis = await openRedis({ url: redisUrl, commandTimeoutMs: 10_000, onError: () => {}, ...options })
  open.add(redis)
  return redis
}

const isOutage = (error: unknown) => error instanceof OutageError && error.code === 'redis-unavailable'
const works = (redis: Redis) => until('Redis answers', () => asked(redis.ping()).catch(() => false))

test('redis/node-redis#2688: what is sent while the server is away fails at once and is never sent later', async () => {
  const redis = await opened()
  await asked(redis.set('counter', 0))
  await server.kill('SIGKILL')
  await until('the connection has ended', async () => redis.status !== 'ready')
  for (let i = 0; i < 100; i++) await assert.rejects(inTime(asked(redis.incr('counter')), 'a refusal', 1_000), isOutage)
  await server.start()
  await works(redis)
  assert.equal(await asked(redis.get('counter')), '0')
})

test('redis/ioredis#2193, redis/node-redis#2205: what was in flight when the connection broke is rejected', async () => {
  const proxy = await tcpProxy(target)
  const redis = await opened({ url: `redis://127.0.0.1:${proxy.port}`, commandTimeoutMs: LONG_MS })
  proxy.blackhole(true)
  const replies: Promise<unknown>[] = [asked(redis.set('a', 1)), askedAll(redis.pipeline().set('b', 1).set('c', 1))]
  for (const reply of replies) reply.catch(() => {})
  proxy.cut()
  for (const reply of replies) await assert.rejects(inTime(reply, 'the rejection', 10_000), isOutage)
  proxy.blackhole(false)
  proxy.restore()
  await works(redis)
  redis.disconnect()
  await proxy.close()
})

test('redis/node-redis#2785: a server that stops answering gives errors by the deadline, and later replies are not mixed up', async () => {
  const redis = await opened({ commandTimeoutMs: SHORT_MS })
  await server.kill('SIGSTOP')
  const late = Array.from({ length: 20 }, (_, i) => asked(redis.echo(`late ${i}`)))
  late.push(...Array.from({ length: 5 }, (_, i) => askedAll(redis.pipeline().echo(`late ${i}`)).then(String)))
  for (const reply of late) reply.catch(() => {})
  for (const reply of late) await assert.rejects(inTime(reply, 'the deadline', 20 * SHORT_MS), isOutage)
  assert.equal(redis.status, 'ready', 'it was the deadline of each, not the end of the connection')
  await server.kill('SIGCONT')
  await works(redis)
  const echoes = await Promise.all(Array.from({ length: 50 }, (_, i) => asked(redis.echo(`now ${i}`))))
  assert.deepEqual(
    echoes,
    Array.from({ length: 50 }, (_, i) => `now ${i}`),
  )
})

test('a connection on which nothing comes back any more is given up, and another one made', async () => {
  const proxy = await tcpProxy(target)
  const errors: string[] = []
  const redis = await opened({
    url: `redis://127.0.0.1:${proxy.port}`,
    commandTimeoutMs: SHORT_MS,
    onError: ({ message }) => errors.push(message),
  })
  proxy.blackhole(true)
  await assert.rejects(asked(redis.ping()), isOutage)
  await until('the silent socket is given up', async () => errors.some((message) => /Socket timeout/.test(message)))
  proxy.blackhole(false)
  await works(redis)
  redis.disconnect()
  await proxy.close()
})

test('redis/ioredis#634: opening a server that accepts and never answers ends with an error', async () => {
  await server.kill('SIGSTOP')
  await assert.rejects(inTime(opened({ commandTimeoutMs: SHORT_MS }), 'the refusal', 20 * SHORT_MS), isOutage)
  await server.kill('SIGCONT')
})

test('a server that cannot serve now is an outage: read-only, out of memory, no answer at its address', async () => {
  const [redis, admin] = [await opened(), await opened()]
  const write = () => asked(redis.set('a', 1))
  const inScript = () => asked(redis.eval("return redis.call('SET', KEYS[1], 1)", 1, 'a'))
  await asked(admin.replicaof('127.0.0.1', 1))
  await assert.rejects(write(), isOutage)
  await works(redis)
  await assert.rejects(inScript(), isOutage)
  await asked(admin.replicaof('NO', 'ONE'))
  await works(redis)
  await asked(redis.config('SET', 'maxmemory', 1))
  await assert.rejects(write(), isOutage)
  await assert.rejects(inScript(), isOutage)
  await asked(redis.config('SET', 'maxmemory', 0))
  await write()
  await server.kill('SIGKILL')
  await assert.rejects(opened(), isOutage)
})

test('a primary that was demoted is left, so that the one that took its place at the address is found', async () => {
  const [redis, admin] = [await opened(), await opened()]
  const write = () => asked(redis.set('a', 1))
  const demoted = await asked(redis.client('ID'))
  await asked(admin.replicaof('127.0.0.1', 1))
  await assert.rejects(write(), isOutage)
  await asked(admin.replicaof('NO', 'ONE'))
  await until('it is written', () => write().catch(() => false))
  assert.notEqual(await asked(redis.client('ID')), demoted)
})

test('credentials are never in an error, and wrong ones are a matter of setup', async () => {
  const admin = await opened()
  await asked(admin.call('ACL', 'SETUSER', 'reader', 'on', '>right-secret', '~*', '+@all', '-set'))
  const address = `${server.host}:${server.port}`
  for (const options of [
    { username: 'reader', password: 'wrong-secret' },
    { url: `redis://reader:wrong-secret@${address}` },
    { url: `redis://reader:wrong-secret@${address}/not-a-number` },
    { url: `redis://reader:wrong-secret%of@${address}` },
    { url: `http://reader:wrong-secret@${address}` },
    { url: `redis://reader:wrong-secret@127.0.0.1:1` },
  ]) {
    const error: unknown = await opened(options).then(
      () => assert.fail('it was opened'),
      (thrown) => thrown,
    )
    assert.ok(error instanceof SetupError || error instanceof OutageError)
    assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /wrong-secret/)
  }
  const reader = await opened({ username: 'reader', password: 'right-secret' })
  const silent = (error: unknown) => {
    assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /a value/)
    return true
  }
  await assert.rejects(asked(reader.set('a', 'a value')), (error) => {
    return silent(error) && error instanceof SetupError && error.code === 'redis-denied'
  })
  await asked(reader.hset('hash', 'field', 'a value'))
  await assert.rejects(asked(reader.append('hash', 'a value')), silent)
  await assert.rejects(askedAll(reader.pipeline().append('hash', 'a value')), silent)
})

test('TLS: a server of a known authority is spoken to, one of an unknown authority is refused', async (t) => {
  const front = await tlsFront(target)
  if (front === undefined) return t.skip('openssl, which makes the certificate, is not on this machine')
  const { port, cert } = front
  const secure = await opened({ url: `rediss://127.0.0.1:${port}`, tls: { ca: cert } })
  assert.equal(await asked(secure.ping()), 'PONG')
  const alsoSecure = await opened({ url: `redis://127.0.0.1:${port}`, tls: { ca: cert } })
  assert.equal(await asked(alsoSecure.ping()), 'PONG')
  const untrusted = opened({ url: `rediss://127.0.0.1:${port}` })
  await assert.rejects(untrusted, (error) => error instanceof SetupError && error.code === 'redis-untrusted')
  for (const redis of [secure, alsoSecure]) redis.disconnect()
})
