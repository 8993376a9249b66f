/** The rung without containers: the servers are processes of this machine, put together from public packages. */
import { join } from 'node:path'
import { SetupError } from '../ports/errors.ts'
import type { KafkaVersion } from './artefacts.ts'
import { type Cache, openCache } from './cache.ts'
import { hasWheelJava, systemJava, wheelJava, wheelJavaFitsPlatform } from './java.ts'
import { kafkaEntry, localKafka } from './kafka.ts'
import { hasMaven } from './maven.ts'
import { hasPip } from './python.ts'
import { localRedis, redisEntry, redisFitsPlatform } from './redis.ts'
import { localRegistry, registryEntry } from './registry.ts'
import { localS3, s3Entry } from './s3.ts'
import type { OwnService } from './service.ts'

/** What a rung is asked for. Ports are decided. */
export interface Plan {
  readonly folder: string
  /** Whether the data outlive the services. */
  readonly keep: boolean
  /** Whether they run long. */
  readonly steady: boolean
  readonly kafka:
    | { readonly version: KafkaVersion; readonly port: number; readonly settings: Record<string, string> }
    | undefined
  readonly registry: { readonly port: number } | undefined
  readonly redis: readonly { readonly port: number }[]
  readonly s3: { readonly port: number } | undefined
}

/** Downloaded where need be, not started. @throws SetupError 'no-local-services' naming all that the machine lacks. */
export async function localServices(plan: Plan, say: (line: string) => void): Promise<OwnService[]> {
  const { kafka, registry, redis, s3 } = plan
  const cache = openCache(say)
  const needsJava = kafka !== undefined || registry !== undefined || s3 !== undefined
  const ownJava = needsJava ? await systemJava() : undefined
  const missing = await missingFor(plan, cache, needsJava && ownJava === undefined)
  if (missing.length > 0) {
    const packages = missing.flatMap(({ debian }) => (debian === undefined ? [] : [debian]))
    const advice = packages.length > 0 ? `. On Debian: apt-get install -y ${packages.join(' ')}` : ''
    throw new SetupError(
      'no-local-services',
      `This machine lacks ${missing.map(({ what }) => what).join('; ')}${advice}`,
    )
  }
  const folder = (name: string) => join(plan.folder, name)
  const services: OwnService[] = []
  if (needsJava) {
    const tools = { cache, say, java: ownJava ?? (await wheelJava(cache, say)) }
    if (kafka !== undefined)
      services.push(await localKafka({ ...kafka, steady: plan.steady, folder: folder('kafka') }, tools))
    if (registry !== undefined) services.push(await localRegistry({ ...registry, folder: folder('registry') }, tools))
    if (s3 !== undefined) services.push(await localS3({ ...s3, folder: folder('s3') }, tools))
  }
  for (const [index, { port }] of redis.entries()) {
    const name = index === 0 ? 'redis' : `redis-${index + 1}`
    services.push(await localRedis({ port, folder: folder(name) }, { cache, say }))
  }
  return services
}

/** What is in the cache needs no tool any more. */
async function missingFor(
  { kafka, registry, redis, s3 }: Plan,
  cache: Cache,
  lacksJava: boolean,
): Promise<{ what: string; debian?: string }[]> {
  const missing: { what: string; debian?: string }[] = []
  const jars = [
    ...(kafka === undefined ? [] : [kafkaEntry(kafka.version)]),
    ...(registry === undefined ? [] : [registryEntry]),
    ...(s3 === undefined ? [] : [s3Entry]),
  ]
  const needsJava = lacksJava && !hasWheelJava(cache)
  const needsRedis = redis.length > 0 && !cache.has(redisEntry)
  const lacksPip = (needsJava || needsRedis) && !(await hasPip())
  if (needsJava && (lacksPip || !wheelJavaFitsPlatform)) {
    missing.push({ what: 'Java 17 or newer (for all but Redis)', debian: 'openjdk-17-jre-headless' })
  }
  if (jars.some((name) => !cache.has(name)) && !(await hasMaven())) {
    missing.push({ what: 'Maven (to download all but Redis)', debian: 'maven' })
  }
  if (needsRedis && !redisFitsPlatform) {
    missing.push({ what: `a Redis 8 with the Query Engine for ${process.platform} ${process.arch} (Docker has one)` })
  } else if (needsRedis && lacksPip) {
    missing.push({ what: 'Python 3.9 or newer with pip (to download Redis)', debian: 'python3-pip' })
  }
  return missing
}
