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
import type { OwnService } from './service.ts'

/** What a rung is asked for. Ports are decided. */
export interface Plan {
  readonly folder: string
  /** Whether the data outlive the services. */
  readonly keep: boolean
  readonly kafka:
    | { readonly version: KafkaVersion; readonly port: number; readonly settings: Record<string, string> }
    | undefined
  readonly registry: { readonly port: number } | undefined
  readonly redis: readonly { readonly port: number }[]
}

/** Downloaded where need be, not started. @throws SetupError 'no-local-services' naming all that the machine lacks. */
export async function localServices(plan: Plan, say: (line: string) => void): Promise<OwnService[]> {
  const cache = openCache(say)
  const missing = await missingFor(plan, cache)
  if (missing.length > 0) {
    const packages = missing.flatMap(({ debian }) => (debian === undefined ? [] : [debian]))
    const advice = packages.length > 0 ? `. On Debian: apt-get install -y ${packages.join(' ')}` : ''
    throw new SetupError(
      'no-local-services',
      `This machine lacks ${missing.map(({ what }) => what).join('; ')}${advice}`,
    )
  }
  const { kafka, registry, redis } = plan
  const folder = (name: string) => join(plan.folder, name)
  const services: OwnService[] = []
  if (kafka !== undefined || registry !== undefined) {
    const tools = { cache, say, java: (await systemJava()) ?? (await wheelJava(cache, say)) }
    if (kafka !== undefined) services.push(await localKafka({ ...kafka, folder: folder('kafka') }, tools))
    if (registry !== undefined) services.push(await localRegistry({ ...registry, folder: folder('registry') }, tools))
  }
  for (const [index, { port }] of redis.entries()) {
    const name = index === 0 ? 'redis' : `redis-${index + 1}`
    services.push(await localRedis({ port, folder: folder(name) }, { cache, say }))
  }
  return services
}

/** What is in the cache needs no tool any more. */
async function missingFor(
  { kafka, registry, redis }: Plan,
  cache: Cache,
): Promise<{ what: string; debian?: string }[]> {
  const missing: { what: string; debian?: string }[] = []
  const jars = [
    ...(kafka === undefined ? [] : [kafkaEntry(kafka.version)]),
    ...(registry === undefined ? [] : [registryEntry]),
  ]
  const needsWheels = redis.length > 0 && !cache.has(redisEntry)
  const pip = await hasPip()
  if (
    jars.length > 0 &&
    !hasWheelJava(cache) &&
    (await systemJava()) === undefined &&
    !(pip && wheelJavaFitsPlatform)
  ) {
    missing.push({ what: 'Java 17 or newer (for Kafka and the registry)', debian: 'openjdk-17-jre-headless' })
  }
  if (jars.some((name) => !cache.has(name)) && !(await hasMaven())) {
    missing.push({ what: 'Maven (to download Kafka and the registry)', debian: 'maven' })
  }
  if (needsWheels && !redisFitsPlatform) {
    missing.push({ what: `a Redis 8 with the Query Engine for ${process.platform} ${process.arch} (Docker has one)` })
  } else if (needsWheels && !pip) {
    missing.push({ what: 'Python 3.9 or newer with pip (to download Redis)', debian: 'python3-pip' })
  }
  return missing
}
