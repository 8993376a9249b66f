import { Command } from 'commander'
import { processors } from '../../processors/registry.ts'
import type { OpenContext } from '../context.ts'
import { startService } from '../service.ts'
import { say } from '../terminal.ts'
import { endClosed, untilStopped } from './until-stopped.ts'

export const runCommand = (open: OpenContext) =>
  new Command('run')
    .description('run some processors only, with health and metrics over HTTP')
    .argument('<processor...>', processors.map(({ name }) => name).join(', '))
    .action(async (names: string[]) => {
      const { config, logger } = open()
      const service = await startService(config, { logger, stages: names })
      try {
        say(`Running ${names.join(', ')}; health and metrics at ${service.url}`)
        await untilStopped(service.product.failed)
      } finally {
        await service.close()
        endClosed()
      }
    })
