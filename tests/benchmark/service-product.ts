/**
 * The product on the real services, under names of its own, with encoders that cost nothing: some of its stages in this
 * process, others in processes of their own.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { pino } from 'pino'
import { openProduct, type Product } from '../../cli/open-product.ts'
import { loadConfig } from '../../runtime/config.ts'
import { eraseRedis } from '../support/erase-redis.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { onServices } from '../support/on-services.ts'
import { standInDecoder } from '../support/stand-in-media.ts'
import { standInProfile } from '../support/stand-in-profile.ts'

export interface ServiceProduct {
  readonly product: Product
  readonly fleet: Fleet
  /** Leaves nothing behind, neither here nor on the services. */
  close(): Promise<void>
}

/**
 * @param stages of this process; 'all' or names.
 * @param layout of the others: names, joined by commas, with how many processes there are of each.
 */
export async function openServiceProduct(options: {
  stages: 'all' | readonly string[]
  layout?: Readonly<Record<string, number>>
  env?: Readonly<Record<string, string>>
}): Promise<ServiceProduct> {
  const folder = mkdtempSync(join(tmpdir(), 'cuestream-benchmark-'))
  const logger = pino({ level: 'warn' }, pino.destination(2))
  const env = {
    CUESTREAM_DATA_FOLDER: folder,
    CUESTREAM_LOG_LEVEL: 'warn',
    ...(await onServices({ steady: true })),
    ...options.env,
  }
  const config = loadConfig({ env })
  const stages = options.stages
  const product = await openProduct(config, { logger, stages, profile: standInProfile, decoder: standInDecoder })
  const fleet = startFleet({ layout: options.layout ?? {}, env, logFolder: join(folder, 'logs') })
  await fleet.up()
  return {
    product,
    fleet,
    async close() {
      await fleet.stop()
      await product.close()
      await eraseRedis(config.redisUrl!, config.redisKeyPrefix)
      await dropTopics(config.kafkaBrokers, config.kafkaPrefix)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export async function dropTopics(brokers: readonly string[], prefix: string): Promise<void> {
  const admin = new Kafka({ brokers: [...brokers], clientId: 'benchmark', logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const topics = (await admin.listTopics()).filter((name) => name.startsWith(prefix))
  if (topics.length > 0) await admin.deleteTopics({ topics })
  const { groups } = await admin.listGroups()
  const own = groups.map(({ groupId }) => groupId).filter((group) => group.startsWith(prefix))
  if (own.length > 0) await admin.deleteGroups(own).catch(() => {}) // one that is still leaving stays
  await admin.disconnect()
}
