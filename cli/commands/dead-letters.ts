import { Command } from 'commander'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { OpenContext } from '../context.ts'
import { withService } from '../service.ts'
import { say, table } from '../terminal.ts'

export const deadLettersCommand = (open: OpenContext) => {
  const command = new Command('dead-letters').description(
    'records that could not be processed: what, why, and trying again',
  )
  command
    .command('list')
    .description('every dead letter with its cause')
    .action(async () => {
      const { config, logger } = open({ logLevel: 'warn' })
      const letters = await withService(config, logger, (api) => api.deadLetters())
      if (letters.length === 0) return say('There are no dead letters.')
      const rows = letters.map(({ position, key, stage, code, attempts, at, message }) => {
        return [position, key ?? '', stage, code, String(attempts), new Date(at).toISOString(), message]
      })
      say(table([['position', 'key', 'stage', 'code', 'tries', 'at', 'message'], ...rows]))
    })
  command
    .command('show')
    .description('one dead letter whole: cause, headers and value')
    .argument('<position>', 'topic/partition/offset, as list prints it')
    .action(async (position: string) => {
      const { config, logger } = open({ logLevel: 'warn' })
      say(JSON.stringify(await withService(config, logger, (api) => api.deadLetter(position)), null, 2))
    })
  command
    .command('redrive')
    .description('put dead letters back on their topics, for the stage that failed')
    .argument('[position...]', 'topic/partition/offset, as list prints it')
    .option('--all', 'every dead letter')
    .action(async (positions: string[], { all }: { all?: boolean }) => {
      if (all !== true && positions.length === 0) {
        throw new InvalidRequestError(
          'nothing-asked',
          'Name positions as `cuestream dead-letters list` prints them, or --all',
        )
      }
      const { config, logger } = open({ logLevel: 'warn' })
      const asked = all ? 'all' : positions
      const { redriven, superseded, incomplete } = await withService(config, logger, (api) => api.redrive(asked))
      const newer = superseded > 0 ? `, ${superseded} left alone: a newer record has come since` : ''
      const lacking = incomplete > 0 ? `, ${incomplete} left alone: the letter lacks the record's value` : ''
      say(`${redriven} redriven${newer}${lacking}`)
    })
  return command
}
