/** Settings for a product on the real services of the test run, under names of its own. */
import { randomUUID } from 'node:crypto'
import { testServices } from './services.ts'

export async function onServices(options: { readonly steady?: boolean } = {}): Promise<Record<string, string>> {
  const { kafkaBrokers, schemaRegistryUrl, redisUrl } = await testServices(options)
  const own = randomUUID().slice(0, 8)
  return {
    KAFKA_BROKERS: kafkaBrokers.join(','),
    SCHEMA_REGISTRY_URL: schemaRegistryUrl,
    REDIS_URL: redisUrl,
    CUESTREAM_KAFKA_PREFIX: `test-${own}.`,
    CUESTREAM_REDIS_KEY_PREFIX: `test-${own}:`,
  }
}
