import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { findEngine } from '../../../services/engine.ts'
import { startServices } from '../../../services/start-services.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const ladderProcess = new URL('../../support/ladder-process.ts', import.meta.url).pathname

describe('the Docker engine', () => {
  const folder = temporaryFolder()

  test('a DOCKER_HOST whose socket is dead is no engine, and the reason names it', async () => {
    const socket = join(folder, 'dead.sock')
    writeFileSync(socket, '')
    assert.match(String(await findEngine({ DOCKER_HOST: `unix://${socket}` })), /dead\.sock does not answer/)
    assert.match(String(await findEngine({ DOCKER_HOST: `unix://${folder}/none.sock` })), /none\.sock does not answer/)
  })

  test('an engine on another machine is passed over: the services would listen on its loopback', async () => {
    assert.match(String(await findEngine({ DOCKER_HOST: 'tcp://192.0.2.1:2375' })), /no engine of this machine/)
    assert.match(String(await findEngine({ DOCKER_HOST: 'ssh://me@example.org' })), /no engine of this machine/)
    assert.match(String(await findEngine({ DOCKER_HOST: 'not an address' })), /no engine of this machine/)
  })

  test('one that takes the connection and never answers is passed over', async () => {
    const server = createServer(() => {})
    await listen(server, join(folder, 'silent.sock'))
    assert.match(String(await findEngine({ DOCKER_HOST: `unix://${folder}/silent.sock` })), /no answer/)
  })

  test('one that answers is found, by socket and by port', async () => {
    const engine = createHttpServer((request, response) => {
      response.writeHead(request.url === '/_ping' ? 200 : 404).end('OK')
    })
    await listen(engine, join(folder, 'docker.sock'))
    assert.deepEqual(await findEngine({ DOCKER_HOST: `unix://${folder}/docker.sock` }), {
      address: { socketPath: join(folder, 'docker.sock') },
    })
    const byPort = createHttpServer((_, response) => void response.end('OK'))
    await listen(byPort, 0)
    const { port } = byPort.address() as AddressInfo
    assert.deepEqual(await findEngine({ DOCKER_HOST: `tcp://localhost:${port}` }), {
      address: { host: 'localhost', port },
    })
  })
})

describe('the ladder', () => {
  const folder = temporaryFolder()

  test('addresses in the environment are taken as they are, and nothing is started, stopped or killed', async () => {
    const given = {
      KAFKA_BROKERS: 'one:9092, two:9093',
      SCHEMA_REGISTRY_URL: 'http://registry:8081',
      REDIS_URL: 'redis://redis:6379',
    }
    await withEnvironment(given, async () => {
      const services = await startServices()
      assert.equal(services.rung, 'given')
      assert.deepEqual(services.kafkaBrokers, ['one:9092', 'two:9093'])
      assert.equal(services.schemaRegistryUrl, 'http://registry:8081')
      assert.equal(services.redisUrl, 'redis://redis:6379')
      assert.deepEqual([services.kafka.host, services.kafka.port], ['one', 9092])
      await assert.rejects(services.redis.kill('SIGKILL'), { code: 'service-given' })
      await assert.rejects(services.kafka.stop(), { code: 'service-given' })
      await services.stop()
    })
  })

  test('a machine with neither Docker nor tools is told all that is missing, with the command that installs it', async () => {
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    symlinkSync(process.execPath, join(bin, 'node'))
    const temporary = join(folder, 'tmp')
    mkdirSync(temporary)
    const environment = {
      PATH: bin,
      TMPDIR: temporary,
      XDG_CACHE_HOME: join(folder, 'cache'),
      DOCKER_HOST: 'unix:///nowhere/docker.sock',
    }
    const { code, output } = await runLadder(environment)
    assert.equal(code, 2, output)
    assert.match(output, /docker: the Docker engine at \/nowhere\/docker\.sock does not answer \(ENOENT\)/)
    assert.match(output, /lacks Java 17 or newer .*; Maven .*; Python 3\.9 or newer with pip/)
    assert.match(output, /apt-get install -y openjdk-17-jre-headless maven python3-pip/)
    assert.match(output, /KAFKA_BROKERS, SCHEMA_REGISTRY_URL and REDIS_URL/)
    assert.ok(!existsSync(join(folder, 'cache')), 'it began to install')
    const left = readdirSync(temporary).filter((name) => name.startsWith('cuestream-'))
    assert.deepEqual(left, [])
  })

  test('a port that is asked for and taken is a setup error that names it', async () => {
    const server = createServer()
    await listen(server, 0)
    const { port } = server.address() as AddressInfo
    const start = startServices({ rungs: ['local'], want: ['redis'], ports: { redis: port } })
    await assert.rejects(start, { code: 'port-in-use', message: new RegExp(`Port ${port} `) })
  })
})

async function listen(server: Server, where: string | number): Promise<void> {
  await new Promise<void>((resolve) => {
    typeof where === 'string' ? server.listen(where, resolve) : server.listen(where, '127.0.0.1', resolve)
  })
  after(() => server.close())
}

async function withEnvironment(values: Record<string, string>, work: () => Promise<void>): Promise<void> {
  const before = { ...process.env }
  Object.assign(process.env, values)
  try {
    await work()
  } finally {
    process.env = before
  }
}

/** The ladder in a process of its own, with this environment and no other. */
async function runLadder(env: Record<string, string>): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), ladderProcess, '{}'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const pipe of [child.stdout, child.stderr]) {
    pipe.on('data', (chunk) => {
      output += chunk
    })
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, output }
}
