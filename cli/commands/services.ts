import { join } from 'node:path'
import { Command } from 'commander'
import { portNear } from '../../services/ports.ts'
import { startServices } from '../../services/start-services.ts'
import type { OpenContext } from '../context.ts'
import { say } from '../terminal.ts'
import { untilStopped } from './until-stopped.ts'

export const servicesCommand = (open: OpenContext) =>
  new Command('services')
    .description('start Kafka, a schema registry and Redis on this machine, and keep their data in the data folder')
    .option('--fresh', 'begin with empty data')
    .action(async ({ fresh = false }: { fresh?: boolean }) => {
      const dataFolder = join(open().config.dataFolder, 'services')
      const services = await startServices({
        rungs: ['docker', 'local'],
        dataFolder,
        fresh,
        ports: { kafka: await portNear(9092), registry: await portNear(8081), redis: await portNear(6379) },
        progress: say,
      })
      try {
        const by = services.rung === 'docker' ? 'containers' : 'processes of this machine'
        say(
          `Kafka, the schema registry and Redis run (${services.rung}: ${by}); their data are kept in ${dataFolder}.\n`,
        )
        say(
          `export KAFKA_BROKERS=${services.kafkaBrokers} SCHEMA_REGISTRY_URL=${services.schemaRegistryUrl} REDIS_URL=${services.redisUrl}`,
        )
        say('\nCtrl-C stops them.')
        await untilStopped(services.failed, alive)
        say('Stopping …')
      } finally {
        await services.stop()
      }
    })

/** The servers are processes of their own: nothing else keeps this one from ending. */
function alive(stopping: AbortSignal): Promise<void> {
  const timer = setInterval(() => {}, 60_000)
  return new Promise((resolve) => {
    stopping.addEventListener('abort', () => {
      clearInterval(timer)
      resolve()
    })
  })
}
