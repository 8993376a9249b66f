/**
 * The real servers that a test talks to.
 *
 *   TEST_SERVICES                                the test runner started them once for the whole run and names them here,
 *                                                so that KAFKA_BROKERS and the like do not reach the products under test
 *   KAFKA_BROKERS, SCHEMA_REGISTRY_URL, REDIS_URL   given by hand, for a test file that is run by itself
 *   none of these                                started by the ladder of services/, ended with the test's process
 *
 * A test that kills or stops a server starts one of its own: `startServices({ rungs: ['docker', 'local'], … })`.
 */
import { type Rung, startServices } from '../../services/start-services.ts'

export interface TestServices {
  readonly kafkaBrokers: string[]
  readonly schemaRegistryUrl: string
  readonly redisUrl: string
  /** Where they come from. */
  readonly rung: Rung
}

/** The name of the variable in which the runner hands them to the test files' processes. */
export const TEST_SERVICES = 'TEST_SERVICES'

let started: Promise<TestServices> | undefined

/** @throws SetupError saying what the machine lacks. */
export function testServices(options: { readonly steady?: boolean } = {}): Promise<TestServices> {
  started ??= find(options)
  return started
}

async function find(options: { readonly steady?: boolean }): Promise<TestServices> {
  const handed = process.env[TEST_SERVICES]
  if (handed !== undefined) return JSON.parse(handed) as TestServices
  const { kafkaBrokers, schemaRegistryUrl, redisUrl, rung } = await startServices({
    ...options,
    progress: (line) => process.stderr.write(`${line}\n`),
  })
  return { kafkaBrokers, schemaRegistryUrl, redisUrl, rung }
}
