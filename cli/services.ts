/** Kafka, the schema registry and Redis of a data folder, for `--services`. */
import { join } from 'node:path'
import type { Config } from '../runtime/config.ts'
import type { Services } from '../services/start-services.ts'
import { dataPaths } from './paths.ts'
import { say } from './terminal.ts'

/** Those that the configuration names, or else started here, with their data in the data folder. */
export async function bringUpServices(config: Config): Promise<Services> {
  const { startServices } = await import('../services/start-services.ts')
  return startServices({ dataFolder: dataPaths(config.dataFolder).services, progress: say })
}

export function withServices(config: Config, { kafkaBrokers, schemaRegistryUrl, redisUrl }: Services): Config {
  return { ...config, kafkaBrokers, schemaRegistryUrl, redisUrl }
}

/** Remembers that the samples were ingested into the pipeline that `config` names. */
export function samplesDoneFile(config: Config, services: Services | undefined): string {
  const paths = dataPaths(config.dataFolder)
  return services === undefined || services.rung === 'given' ? paths.samplesDone : join(paths.services, 'samples-done')
}
