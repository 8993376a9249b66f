/**
 * Which engines stand behind the ports: Kafka, its registry and Redis where the configuration names them, else the
 * embedded ones of the data folder. Adapters that are not chosen are not even loaded.
 */
import { readFile } from 'node:fs/promises'
import type { Logger } from 'pino'
import type { KafkaOptions } from '../adapters/kafka/broker.ts'
import { openFileModelStore } from '../adapters/model-store/file.ts'
import { prefixedBroker } from '../adapters/prefixed-broker.ts'
import type { Broker } from '../ports/broker.ts'
import type { Catalogue } from '../ports/catalogue.ts'
import { OutageError, SetupError } from '../ports/errors.ts'
import type { JoinState } from '../ports/join-state.ts'
import type { ModelStore } from '../ports/model-store.ts'
import type { SchemaRegistry } from '../ports/schema-registry.ts'
import type { GenerationStore } from '../ports/text-generator.ts'
import type { VectorIndex } from '../ports/vector-index.ts'
import type { Config } from '../runtime/config.ts'
import { dataPaths } from './paths.ts'

/** What a model wrote is not asked for again within this. */
export const TEXTS_KEPT_MS = 30 * 86_400_000

export interface Backends {
  readonly broker: Broker
  readonly schemaRegistry: SchemaRegistry
  readonly index: VectorIndex
  readonly catalogue: Catalogue
  readonly joins: JoinState
  readonly texts: GenerationStore
}

/** Keeps what is opened so that it is closed again, last first, whatever fails on the way; `what` names it in the log. */
export type Opened = <T>(what: string, resource: T, close: (resource: T) => Promise<unknown>) => T

/** Whether several processes may share the pipeline: the embedded engines belong to one process. */
export const isShared = (config: Config): boolean => config.kafkaBrokers.length > 0

export function openBackends(config: Config, logger: Logger, opened: Opened): Promise<Backends> {
  return isShared(config) ? openServices(config, logger, opened) : openEmbedded(config, logger, opened)
}

async function openEmbedded(config: Config, logger: Logger, opened: Opened): Promise<Backends> {
  const { EmbeddedBroker } = await import('../adapters/embedded/broker.ts')
  const { openCatalogue } = await import('../adapters/embedded/catalogue.ts')
  const { openGenerationStore } = await import('../adapters/embedded/generation-store.ts')
  const { openJoinState } = await import('../adapters/embedded/join-state.ts')
  const { EmbeddedSchemaRegistry } = await import('../adapters/embedded/schema-registry.ts')
  const { openVectorIndex } = await import('../adapters/embedded/vector-index.ts')
  const { dataFolder, exactBelowRows: exactBelow } = config
  const paths = dataPaths(dataFolder)
  const onError = (err: unknown) => logger.error({ err }, 'The broker failed where no caller waits')
  return {
    broker: opened('the broker', await EmbeddedBroker.open({ dataFolder, onError }), (broker) => broker.close()),
    schemaRegistry: opened('the schema registry', new EmbeddedSchemaRegistry({ dataFolder }), (registry) =>
      registry.close(),
    ),
    index: opened('the index', await openVectorIndex({ folder: paths.index, exactBelow }), (index) => index.close()),
    catalogue: opened('the catalogue', openCatalogue({ folder: paths.catalogue }), (catalogue) => catalogue.close()),
    joins: opened('the joins', openJoinState(paths.joins), (joins) => joins.close()),
    texts: opened('the texts of the model', openGenerationStore(paths.generations), (store) => store.close()),
  }
}

async function openServices(config: Config, logger: Logger, opened: Opened): Promise<Backends> {
  const { openRedis } = await import('../adapters/redis/connection.ts')
  const { openRedisCatalogue } = await import('../adapters/redis/catalogue.ts')
  const { openRedisGenerationStore } = await import('../adapters/redis/generation-store.ts')
  const { openRedisJoinState } = await import('../adapters/redis/join-state.ts')
  const { openRedisShards } = await import('../adapters/redis/sharded-vector-index.ts')

  const { broker, schemaRegistry } = await openSharedTopics(config, logger, opened)
  const password = await secret(config, 'redisPassword')
  const ca = await certificate(config, 'redisTlsCaFile')
  const redisOptions = {
    keyPrefix: config.redisKeyPrefix,
    onError: told(logger, 'Redis'),
    ...(config.redisUsername === undefined ? {} : { username: config.redisUsername }),
    ...(password === undefined ? {} : { password }),
    ...(ca === undefined ? {} : { tls: { ca } }),
  }
  const url = config.redisUrl!
  const indexUrls = config.redisIndexUrls.length > 0 ? config.redisIndexUrls : [url]
  const index = opened('the index', await openRedisShards(indexUrls, redisOptions), (shards) => shards.close())
  const redis = opened('Redis', await openRedis({ ...redisOptions, url }), async (connection) =>
    connection.disconnect(),
  )
  return {
    broker,
    schemaRegistry,
    index,
    catalogue: opened('the catalogue', await openRedisCatalogue({ ...redisOptions, url }), (catalogue) =>
      catalogue.close(),
    ),
    joins: opened('the joins', openRedisJoinState({ redis, keyPrefix: config.redisKeyPrefix }), (joins) =>
      joins.close(),
    ),
    texts: openRedisGenerationStore({ redis, keyPrefix: config.redisKeyPrefix, keepMs: TEXTS_KEPT_MS }),
  }
}

/** Kafka and its registry alone, for who needs no Redis. */
export async function openSharedTopics(
  config: Config,
  logger: Logger,
  opened: Opened,
): Promise<Pick<Backends, 'broker' | 'schemaRegistry'>> {
  const { openKafkaBroker } = await import('../adapters/kafka/broker.ts')
  const { openConfluentRegistry } = await import('../adapters/confluent/schema-registry.ts')
  const kafka = opened('Kafka', await openKafkaBroker(await kafkaOptions(config, logger)), (broker) => broker.close())
  const registryPassword = await secret(config, 'schemaRegistryPassword')
  const registryCa = await certificate(config, 'schemaRegistryTlsCaFile')
  const schemaRegistry = opened(
    'the schema registry',
    openConfluentRegistry({
      url: config.schemaRegistryUrl!,
      ...(config.schemaRegistryUsername === undefined ? {} : { username: config.schemaRegistryUsername }),
      ...(registryPassword === undefined ? {} : { password: registryPassword }),
      ...(registryCa === undefined ? {} : { tls: { ca: registryCa } }),
    }),
    (registry) => registry.close(),
  )
  return { broker: prefixedBroker(kafka, config.kafkaPrefix), schemaRegistry }
}

export async function kafkaOptions(config: Config, logger: Logger): Promise<KafkaOptions> {
  const { kafkaTls, kafkaSaslMechanism: mechanism, kafkaSaslUsername: username } = config
  const ca = await certificate(config, 'kafkaTlsCaFile')
  const cert = await certificate(config, 'kafkaTlsCertFile')
  const key = await certificate(config, 'kafkaTlsKeyFile')
  const files = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) }
  const tls = Object.keys(files).length > 0 ? files : kafkaTls
  const password = await secret(config, 'kafkaSaslPassword')
  return {
    brokers: config.kafkaBrokers,
    clientId: 'cuestream',
    sessionTimeoutMs: config.kafkaSessionMs,
    onError: told(logger, 'Kafka'),
    logger,
    ...(tls === false ? {} : { tls }),
    ...(mechanism && username && password ? { sasl: { mechanism, username, password } } : {}),
    ...(config.kafkaReplication === undefined ? {} : { replicationFactor: config.kafkaReplication }),
  }
}

/** Releases: in the bucket that the configuration names, else in the data folder. Nothing to close. */
export async function openModelStore(config: Config, logger: Logger): Promise<ModelStore> {
  const paths = dataPaths(config.dataFolder)
  if (config.modelStoreUrl === undefined) return openFileModelStore({ folder: paths.releases })
  const { openS3ModelStore } = await import('../adapters/model-store/s3.ts')
  const { hostname: bucket, pathname } = new URL(config.modelStoreUrl)
  const region = config.modelStoreRegion
  const ca = await certificate(config, 'modelStoreTlsCaFile')
  return openS3ModelStore({
    endpoint: config.modelStoreEndpoint ?? `https://s3.${region}.amazonaws.com`,
    region,
    bucket,
    prefix: pathname.replace(/^\/|\/$/g, ''),
    pathStyle: config.modelStorePathStyle,
    accessKey: (await secret(config, 'modelStoreAccessKey'))!,
    secretKey: (await secret(config, 'modelStoreSecretKey'))!,
    ...(ca === undefined ? {} : { ca }),
    cacheFolder: paths.releaseCopies,
    onOutage: told(logger, 'The model store'),
  })
}

/** @throws SetupError 'bad-config' when the file cannot be read; the message holds its name, never what is in it. */
export async function secret(
  config: Config,
  key:
    | 'kafkaSaslPassword'
    | 'schemaRegistryPassword'
    | 'redisPassword'
    | 'modelStoreAccessKey'
    | 'modelStoreSecretKey'
    | 'llmApiKey',
): Promise<string | undefined> {
  const file = config[`${key}File`]
  return file === undefined ? config[key] : (await contents(file, `${key}File`)).trimEnd()
}

async function certificate(
  config: Config,
  key:
    | 'kafkaTlsCaFile'
    | 'kafkaTlsCertFile'
    | 'kafkaTlsKeyFile'
    | 'schemaRegistryTlsCaFile'
    | 'redisTlsCaFile'
    | 'modelStoreTlsCaFile',
): Promise<string | undefined> {
  const file = config[key]
  return file === undefined ? undefined : contents(file, key)
}

async function contents(file: string, key: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new SetupError('bad-config', `${key}: ${file} cannot be read: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
    })
  }
}

/** An outage is weather and told in a line; anything else with its stack. */
function told(logger: Logger, what: string): (error: unknown) => void {
  return (error) => {
    if (error instanceof OutageError)
      logger.warn({ code: error.code, reason: error.message }, `${what} is away for now`)
    else logger.warn({ err: error }, `${what} failed where no caller waits`)
  }
}
