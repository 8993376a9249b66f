/** The topics of whichever broker the configuration chooses. */
import type { Logger } from 'pino'
import { prefixedTopicAdmin } from '../adapters/prefixed-topic-admin.ts'
import type { TopicAdmin } from '../ports/topic-admin.ts'
import type { Config } from '../runtime/config.ts'
import { isShared, kafkaOptions } from './backends.ts'

export async function withTopicAdmin<T>(
  config: Config,
  logger: Logger,
  use: (admin: TopicAdmin) => Promise<T>,
): Promise<T> {
  return isShared(config) ? onKafka(config, logger, use) : onEmbedded(config, use)
}

async function onKafka<T>(config: Config, logger: Logger, use: (admin: TopicAdmin) => Promise<T>): Promise<T> {
  const { kafkaClient } = await import('../adapters/kafka/client.ts')
  const { openKafkaTopicAdmin } = await import('../adapters/kafka/topic-admin.ts')
  const options = await kafkaOptions(config, logger)
  const admin = await openKafkaTopicAdmin(kafkaClient(options), options)
  try {
    return await use(prefixedTopicAdmin(admin, config.kafkaPrefix))
  } finally {
    await admin.close()
  }
}

/** Only where no process runs on the data folder; one that does has brought its topics up to date itself. */
async function onEmbedded<T>({ dataFolder }: Config, use: (admin: TopicAdmin) => Promise<T>): Promise<T> {
  const { EmbeddedBroker } = await import('../adapters/embedded/broker.ts')
  const { embeddedTopicAdmin } = await import('../adapters/embedded/topic-admin.ts')
  const broker = await EmbeddedBroker.open({ dataFolder })
  try {
    return await use(embeddedTopicAdmin(broker))
  } finally {
    await broker.close()
  }
}
