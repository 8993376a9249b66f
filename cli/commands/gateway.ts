import { Command } from 'commander'
import type { OpenContext } from '../context.ts'
import { startService } from '../service.ts'
import { say } from '../terminal.ts'
import { endClosed, untilStopped } from './until-stopped.ts'

export const gatewayCommand = (open: OpenContext) =>
  new Command('gateway')
    .description('run the HTTP gateway alone, beside processors that run elsewhere on the same Kafka and Redis')
    .action(async () => {
      const { config, logger } = open()
      const service = await startService(config, { logger, stages: [], keepsHouse: true })
      try {
        say(`The gateway is up: ${service.url}`)
        await untilStopped(service.product.failed)
      } finally {
        await service.close()
        endClosed()
      }
    })
