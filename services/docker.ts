/**
 * The rung with containers, through testcontainers' client of the engine.
 *
 * Its reaper container (Ryuk) is not used, as it can hang (testcontainers-node#835): `remove-containers.ts` takes the
 * containers away when this process ends, however it ends. Data that are kept lie in named volumes of the engine.
 */
import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ContainerRuntimeClient } from 'testcontainers'
import { SetupError } from '../ports/errors.ts'
import { artefacts } from './artefacts.ts'
import type { Engine } from './engine.ts'
import { endsProcesses } from './held-process.ts'
import { KAFKA_CLUSTER_ID, KAFKA_READY, kafkaSettings, propertiesText } from './kafka.ts'
import type { Plan } from './local.ts'
import { redisReady, redisSettings } from './redis.ts'
import { registryReady, registrySettings } from './registry.ts'
import { s3Keys, s3Ready } from './s3.ts'
import { type OwnService, untilReady } from './service.ts'
import { lastLines } from './tools.ts'

type Dockerode = ContainerRuntimeClient['container']['dockerode']

const SESSION_LABEL = 'cuestream.services'
const FOLDER_LABEL = 'cuestream.data-folder'
const VOLUMES_MARK = 'docker-volumes'

const PULL_TIMEOUT_MS = 15 * 60_000
const CALL_TIMEOUT_MS = 60_000
const STOP_SECONDS = 30
const LOOK_AGAIN_MS = 300
const WATCH_EVERY_MS = 2_000

/** Pulled and created, not started. @throws SetupError or the engine's error. */
export async function dockerServices(plan: Plan, engine: Engine, say: (line: string) => void): Promise<OwnService[]> {
  const { getContainerRuntimeClient, ImageName } = await import('testcontainers')
  const client = await within(CALL_TIMEOUT_MS, 'asking the Docker engine', getContainerRuntimeClient())
  const wanted = containersOf(plan)
  for (const image of new Set(wanted.map(({ image }) => image))) {
    const name = ImageName.fromString(image)
    if (!(await client.image.exists(name))) say(`Pulling ${image} …`)
    await within(PULL_TIMEOUT_MS, `pulling ${image}`, client.image.pull(name))
  }
  const session = randomUUID()
  removeWhenThisEnds(engine, session)
  const docker = client.container.dockerode
  const names = wanted.map(({ name }) => name)
  const volumes = plan.keep ? await keptVolumes(docker, plan.folder, names) : undefined
  return Promise.all(wanted.map((one) => containerService(docker, one, session, volumes?.get(one.name))))
}

interface Wanted {
  readonly name: string
  readonly image: string
  readonly port: number
  readonly containerPort: number
  readonly dataFolder: string
  readonly entrypoint?: string[]
  readonly command?: string[]
  readonly user?: string
  readonly env?: Readonly<Record<string, string>>
  ready(log: string): Promise<boolean>
}

function containersOf({ kafka, registry, redis, s3 }: Plan): Wanted[] {
  const wanted: Wanted[] = []
  if (kafka !== undefined) {
    const dataFolder = '/var/lib/kafka/data'
    const at = { listen: '0.0.0.0', port: 9092, controllerPort: 9093, advertisedPort: kafka.port, dataFolder }
    wanted.push({
      name: 'kafka',
      image: `${artefacts.images.kafka}:${kafka.version}`,
      port: kafka.port,
      containerPort: at.port,
      dataFolder,
      env: { PROPERTIES: propertiesText(kafkaSettings(kafka, at)), KAFKA_HEAP_OPTS: '-Xms64m -Xmx512m' },
      // Kafka's own scripts, so that both rungs and both versions are configured alike.
      entrypoint: ['/bin/sh', '-c'],
      command: [
        'cd /opt/kafka && printf %s "$PROPERTIES" >/tmp/server.properties && ' +
          `bin/kafka-storage.sh format --ignore-formatted -t ${KAFKA_CLUSTER_ID} -c /tmp/server.properties && ` +
          'exec bin/kafka-server-start.sh /tmp/server.properties',
      ],
      ready: async (log) => log.includes(KAFKA_READY),
    })
  }
  if (registry !== undefined) {
    wanted.push({
      name: 'registry',
      image: artefacts.images.registry,
      port: registry.port,
      containerPort: 8080,
      dataFolder: '/data',
      user: '0', // a new volume belongs to root
      env: Object.fromEntries(
        Object.entries(registrySettings('/data/schemas')).map(([name, value]) => [
          name.toUpperCase().replaceAll(/[.-]/g, '_'),
          value,
        ]),
      ),
      ready: () => registryReady(registry.port),
    })
  }
  if (s3 !== undefined) {
    wanted.push({
      name: 's3',
      image: artefacts.images.s3,
      port: s3.port,
      containerPort: 9000,
      dataFolder: '/data',
      command: ['server', '/data'],
      env: { MINIO_ROOT_USER: s3Keys.accessKey, MINIO_ROOT_PASSWORD: s3Keys.secretKey },
      ready: () => s3Ready(s3.port),
    })
  }
  for (const [index, { port }] of redis.entries()) {
    wanted.push({
      name: index === 0 ? 'redis' : `redis-${index + 1}`,
      image: artefacts.images.redis,
      port,
      containerPort: 6379,
      dataFolder: '/data',
      command: ['redis-server', ...redisSettings],
      ready: () => redisReady(port),
    })
  }
  return wanted
}

async function containerService(
  docker: Dockerode,
  wanted: Wanted,
  session: string,
  volume: string | undefined,
): Promise<OwnService> {
  const { name, port } = wanted
  const inside = `${wanted.containerPort}/tcp`
  const container = await within(
    CALL_TIMEOUT_MS,
    `creating the container of ${name}`,
    docker.createContainer({
      Image: wanted.image,
      Labels: { [SESSION_LABEL]: session },
      Env: Object.entries(wanted.env ?? {}).map(([key, value]) => `${key}=${value}`),
      ExposedPorts: { [inside]: {} },
      ...(wanted.entrypoint === undefined ? {} : { Entrypoint: wanted.entrypoint }),
      ...(wanted.command === undefined ? {} : { Cmd: wanted.command }),
      ...(wanted.user === undefined ? {} : { User: wanted.user }),
      HostConfig: {
        PortBindings: { [inside]: [{ HostIp: '127.0.0.1', HostPort: String(port) }] },
        ...(volume === undefined ? {} : { Binds: [`${volume}:${wanted.dataFolder}`] }),
      },
    }),
  )
  let expected = true
  let fail: (error: SetupError) => void = () => {}
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  failed.catch(() => {})
  const isRunning = async () => (await container.inspect()).State.Running
  const log = async () => {
    const since = Date.parse((await container.inspect()).State.StartedAt) / 1_000
    return textOf(await container.logs({ stdout: true, stderr: true, follow: false, since }))
  }
  const complaint = async (what: string) =>
    new SetupError('service-failed', `The container of ${name} ${what}. Its last lines:\n${lastLines(await log())}`)
  const watch = setInterval(async () => {
    if (expected || (await isRunning().catch(() => true)) || expected) return
    expected = true
    fail(await complaint('ended by itself'))
  }, WATCH_EVERY_MS)
  watch.unref()

  return {
    name,
    host: '127.0.0.1',
    port,
    pid: undefined,
    failed,
    async start() {
      if (await isRunning()) return
      await within(CALL_TIMEOUT_MS, `starting the container of ${name}`, container.start())
      let running = true
      const isReady = await untilReady(
        async () => {
          running = await isRunning()
          return running && wanted.ready(await log())
        },
        () => !running,
        LOOK_AGAIN_MS,
      )
      if (!isReady) throw await complaint(running ? 'did not get ready in time' : 'ended before it was ready')
      expected = false
    },
    async kill(signal) {
      expected ||= endsProcesses(signal)
      await container.kill({ signal })
      if (endsProcesses(signal)) await container.wait()
    },
    async stop() {
      expected = true
      if (await isRunning()) await container.stop({ t: STOP_SECONDS })
    },
    async remove() {
      clearInterval(watch)
      await container.remove({ force: true, v: true })
    },
  }
}

/** Logs come in frames: a byte that names the stream, three zeros, the length, the text. */
function textOf(frames: Buffer): string {
  let text = ''
  for (let at = 0; at + 8 <= frames.length; ) {
    const end = at + 8 + frames.readUInt32BE(at + 4)
    text += frames.subarray(at + 8, end).toString()
    at = end
  }
  return text
}

/**
 * The volumes of a folder, by service. They carry its path, and it holds a mark: where the mark is gone its data were
 * deleted, and so are they. Those of other folders are let be: their disk may only be away, or on another machine.
 */
async function keptVolumes(docker: Dockerode, folder: string, names: string[]): Promise<Map<string, string>> {
  const mark = join(folder, VOLUMES_MARK)
  if (!existsSync(mark)) {
    const { Volumes } = await docker.listVolumes({ filters: { label: [`${FOLDER_LABEL}=${folder}`] } })
    for (const { Name } of Volumes ?? []) await docker.getVolume(Name).remove()
  }
  mkdirSync(folder, { recursive: true })
  writeFileSync(mark, '')
  const prefix = `cuestream-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`
  const volumes = new Map(names.map((name) => [name, `${prefix}-${name}`]))
  for (const Name of volumes.values()) await docker.createVolume({ Name, Labels: { [FOLDER_LABEL]: folder } })
  return volumes
}

function removeWhenThisEnds({ address }: Engine, session: string): void {
  const script = fileURLToPath(new URL('remove-containers.ts', import.meta.url))
  const label = `${SESSION_LABEL}=${session}`
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), script, JSON.stringify(address), label],
    {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    },
  )
  child.unref()
  ;(child.stdin as typeof child.stdin & { unref(): void }).unref()
}

async function within<T>(limitMs: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new SetupError('docker-too-slow', `Docker: ${what} took over ${limitMs} ms`)),
      limitMs,
    )
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
