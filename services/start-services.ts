/**
 * Kafka, a Confluent-compatible schema registry and Redis with the Query Engine, and for tests an S3 service, by the first
 * rung that holds:
 *
 *   given   their addresses stand in the environment: KAFKA_BROKERS, SCHEMA_REGISTRY_URL, REDIS_URL, S3_URL
 *   docker  a Docker engine of this machine answers and has, or can get, the images
 *   local   processes of this machine, from public packages (Maven, Python wheels), pinned by hash, cached
 *
 * What is started listens on 127.0.0.1 alone and ends with this process, even if that is killed. A service whose address
 * is given is never started, stopped or changed here.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { acquireFolder } from '../adapters/embedded/folder-lock.ts'
import { SetupError } from '../ports/errors.ts'
import { type KafkaVersion, kafkaVersions } from './artefacts.ts'
import { dockerServices } from './docker.ts'
import { findEngine } from './engine.ts'
import { localServices, type Plan } from './local.ts'
import { freePort } from './ports.ts'
import { registryUrl } from './registry.ts'
import { s3Url } from './s3.ts'
import type { OwnService, RunningService } from './service.ts'
import { temporaryFolder } from './temporary-folder.ts'

export type ServiceName = 'kafka' | 'registry' | 'redis' | 's3'
export type Rung = 'given' | 'docker' | 'local'

export interface ServicesOptions {
  /** All but S3 if absent. */
  readonly want?: readonly ServiceName[]
  /** Rungs that may be tried, in this order; all if absent. Without 'given', addresses in the environment are passed over. */
  readonly rungs?: readonly Rung[]
  /** KAFKA_VERSION of the environment if absent, else the newest that is pinned. */
  readonly kafkaVersion?: KafkaVersion
  /** Over the broker's settings, by Kafka's names: `{ 'group.min.session.timeout.ms': '1000' }`. */
  readonly kafkaSettings?: Readonly<Record<string, string>>
  /** Data are kept here and found again; absent, they go with the services. One process at a time. */
  readonly dataFolder?: string
  /** They run long: slower to start, faster then. Those with a data folder do, if absent. */
  readonly steady?: boolean
  /** Begin with an empty data folder. */
  readonly fresh?: boolean
  /** 0 or absent: a free one. */
  readonly ports?: Readonly<Partial<Record<ServiceName, number>>>
  /** Redis servers, apart from each other; 1 if absent. */
  readonly redisServers?: number
  /** Told what takes long: downloads, and which rung was passed over and why. */
  readonly progress?: (line: string) => void
}

export interface Services {
  readonly rung: Rung
  readonly kafkaBrokers: string[]
  readonly schemaRegistryUrl: string
  readonly redisUrl: string
  /** One a server. */
  readonly redisUrls: string[]
  /** http://<access key>:<secret key>@host:port */
  readonly s3Url: string
  /** Handles of what was asked for; a given one cannot be killed, stopped or started. */
  readonly kafka: RunningService
  readonly registry: RunningService
  readonly redis: RunningService
  readonly s3: RunningService
  readonly redisServers: RunningService[]
  /** Rejects when a service that was started here ends by itself. */
  readonly failed: Promise<never>
  /** Resolves when all that was started here has ended; temporary data are gone then. */
  stop(): Promise<void>
}

/** @throws SetupError saying why each rung does not hold and what to do. */
export async function startServices(options: ServicesOptions = {}): Promise<Services> {
  const { want = ['kafka', 'registry', 'redis'], rungs = ['given', 'docker', 'local'], progress = () => {} } = options
  const given = rungs.includes('given') ? givenServices(process.env) : {}
  const missing = want.filter((name) => given[name] === undefined)
  if (missing.length === 0) return assemble('given', want, given, [], async () => {})
  const own = await ownServices(missing, rungs, options, progress)
  return assemble(own.rung, want, given, own.services, own.stop)
}

/** Where running ones are named. */
const VARIABLES: Readonly<Record<ServiceName, string>> = {
  kafka: 'KAFKA_BROKERS',
  registry: 'SCHEMA_REGISTRY_URL',
  redis: 'REDIS_URL',
  s3: 'S3_URL',
}

interface Given {
  readonly addresses: string[]
  readonly services: RunningService[]
}

/** What the environment names. */
function givenServices(env: NodeJS.ProcessEnv): Partial<Record<ServiceName, Given>> {
  const list = (text: string | undefined) =>
    text
      ?.split(',')
      .map((part) => part.trim())
      .filter(Boolean) ?? []
  return Object.fromEntries(
    Object.entries(VARIABLES)
      .map(([name, variable]) => [name, list(env[variable])] as const)
      .filter(([, found]) => found.length > 0)
      .map(([name, found]) => [
        name,
        { addresses: found, services: found.map((address) => givenService(name, address)) },
      ]),
  )
}

function givenService(name: string, address: string): RunningService {
  const url = address.includes('://') ? address : `${name}://${address}`
  if (!URL.canParse(url)) throw new SetupError('bad-address', `The address of ${name} in the environment is none`)
  const { hostname, port } = new URL(url)
  const refuse = async () => {
    throw new SetupError('service-given', `${name} at ${hostname}:${port} was given by its address, not started here`)
  }
  return { name, host: hostname, port: Number(port), pid: undefined, kill: refuse, stop: refuse, start: refuse }
}

interface Own {
  readonly rung: Rung
  readonly services: OwnService[]
  stop(): Promise<void>
}

async function ownServices(
  want: readonly ServiceName[],
  rungs: readonly Rung[],
  options: ServicesOptions,
  progress: (line: string) => void,
): Promise<Own> {
  const data = await openData(options)
  const reasons: Error[] = []
  try {
    const plan = await planOf(want, options, data.path)
    for (const rung of rungs.filter((name) => name !== 'given')) {
      let services: OwnService[] = []
      const stop = async () => {
        await Promise.allSettled(services.map((service) => service.stop()))
        await Promise.allSettled(services.map((service) => service.remove?.()))
      }
      try {
        services = await prepare(rung, plan, progress)
        await allStarted(services)
        if (plan.keep) noteRung(plan.folder, rung, progress)
        const end = async () => {
          await stop()
          await data.close()
        }
        return { rung, services, stop: end }
      } catch (error) {
        await stop()
        const { message } = error as Error
        reasons.push(new Error(`${rung}: ${message}`, { cause: error }))
        if (rung !== rungs.at(-1)) progress(`Not by ${rung}: ${message}`)
      }
    }
  } catch (error) {
    await data.close()
    throw error
  }
  await data.close()
  throw new SetupError(
    'no-services',
    `${listed(want)} cannot be started here.\n` +
      reasons.map(({ message }) => `- ${message}\n`).join('') +
      `Or name running ones in ${listed(want.map((name) => VARIABLES[name]))}.`,
    { cause: new AggregateError(reasons) },
  )
}

const listed = (names: readonly string[]) => new Intl.ListFormat('en-GB').format(names)

async function prepare(rung: Rung, plan: Plan, progress: (line: string) => void): Promise<OwnService[]> {
  if (rung === 'local') return localServices(plan, progress)
  const engine = await findEngine()
  if (typeof engine === 'string') throw new SetupError('no-docker', engine)
  return dockerServices(plan, engine, progress)
}

/** Waits for all of them even if one fails: a server can be stopped when its start is over. */
async function allStarted(services: readonly OwnService[]): Promise<void> {
  const outcomes = await Promise.allSettled(services.map((service) => service.start()))
  const refused = outcomes.find((outcome) => outcome.status === 'rejected')
  if (refused !== undefined) throw refused.reason
}

async function openData({ dataFolder, fresh }: ServicesOptions) {
  if (dataFolder === undefined) {
    const folder = temporaryFolder()
    return { path: folder.path, close: () => folder.remove() }
  }
  const hold = await acquireFolder(dataFolder)
  if (fresh) {
    for (const name of readdirSync(dataFolder)) {
      if (!name.startsWith('owner')) rmSync(join(dataFolder, name), { recursive: true })
    }
  }
  return { path: dataFolder, close: () => hold.release() }
}

/** Containers and processes keep their data in places of their own: a change between them must not look like a loss. */
function noteRung(folder: string, rung: Rung, progress: (line: string) => void): void {
  const file = join(folder, 'rung')
  const earlier = existsSync(file) ? readFileSync(file, 'utf8') : rung
  if (earlier !== rung) progress(`The last start was by ${earlier}; its data stay there, and ${rung} has its own.`)
  writeFileSync(file, rung)
}

async function planOf(want: readonly ServiceName[], options: ServicesOptions, folder: string): Promise<Plan> {
  const { kafkaVersion = kafkaVersionOf(process.env), kafkaSettings = {}, ports = {}, redisServers = 1 } = options
  const port = (name: ServiceName) => freePort(ports[name])
  return {
    folder: resolve(folder),
    keep: options.dataFolder !== undefined,
    steady: options.steady ?? options.dataFolder !== undefined,
    kafka: want.includes('kafka')
      ? { version: kafkaVersion, port: await port('kafka'), settings: { ...kafkaSettings } }
      : undefined,
    registry: want.includes('registry') ? { port: await port('registry') } : undefined,
    redis: want.includes('redis')
      ? await Promise.all(
          Array.from({ length: redisServers }, async (_, index) => ({
            port: index === 0 ? await port('redis') : await freePort(),
          })),
        )
      : [],
    s3: want.includes('s3') ? { port: await port('s3') } : undefined,
  }
}

function kafkaVersionOf({ KAFKA_VERSION: wanted }: NodeJS.ProcessEnv): KafkaVersion {
  if (!wanted) return kafkaVersions[0]!
  const known = kafkaVersions.find((version) => version === wanted)
  if (known !== undefined) return known
  throw new SetupError(
    'bad-kafka-version',
    `KAFKA_VERSION=${wanted} is not pinned; there are ${kafkaVersions.join(', ')}`,
  )
}

function assemble(
  rung: Rung,
  want: readonly ServiceName[],
  given: Partial<Record<ServiceName, Given>>,
  own: readonly OwnService[],
  stop: () => Promise<void>,
): Services {
  const addressOf: Record<ServiceName, (port: number) => string> = {
    kafka: (port) => `127.0.0.1:${port}`,
    registry: registryUrl,
    redis: (port) => `redis://127.0.0.1:${port}`,
    s3: s3Url,
  }
  const found = (name: ServiceName): Given => {
    if (!want.includes(name)) throw new Error(`${name} was not asked for`)
    const started = own.filter((service) => service.name.startsWith(name))
    return given[name] ?? { addresses: started.map(({ port }) => addressOf[name](port)), services: started }
  }
  const failed = Promise.race([new Promise<never>(() => {}), ...own.map((service) => service.failed)])
  failed.catch(() => {})
  return {
    rung,
    get kafkaBrokers() {
      return found('kafka').addresses
    },
    get schemaRegistryUrl() {
      return found('registry').addresses[0]!
    },
    get redisUrl() {
      return found('redis').addresses[0]!
    },
    get redisUrls() {
      return found('redis').addresses
    },
    get s3Url() {
      return found('s3').addresses[0]!
    },
    get kafka() {
      return found('kafka').services[0]!
    },
    get registry() {
      return found('registry').services[0]!
    },
    get redis() {
      return found('redis').services[0]!
    },
    get s3() {
      return found('s3').services[0]!
    },
    get redisServers() {
      return found('redis').services
    },
    failed,
    stop,
  }
}
