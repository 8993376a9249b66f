/** The real servers that a test talks to: those of the environment (KAFKA_BROKERS, SCHEMA_REGISTRY_URL, REDIS_URL). */
import { SetupError } from '../../ports/errors.ts'

export interface TestServices {
  readonly kafkaBrokers: string[]
  readonly schemaRegistryUrl: string
  readonly redisUrl: string
  /** Where they come from: 'given', 'docker' or 'local'. */
  readonly rung: string
}

export async function testServices(): Promise<TestServices> {
  const { KAFKA_BROKERS, SCHEMA_REGISTRY_URL, REDIS_URL } = process.env
  if (!KAFKA_BROKERS || !SCHEMA_REGISTRY_URL || !REDIS_URL) {
    throw new SetupError('no-services', 'Set KAFKA_BROKERS, SCHEMA_REGISTRY_URL and REDIS_URL')
  }
  return {
    kafkaBrokers: KAFKA_BROKERS.split(','),
    schemaRegistryUrl: SCHEMA_REGISTRY_URL,
    redisUrl: REDIS_URL,
    rung: 'given',
  }
}
