import { Command, Option } from 'commander'
import type { OpenContext } from '../context.ts'
import { entriesOf, ingest, sayReport } from '../ingest.ts'
import { withService } from '../service.ts'

interface Flags {
  kind?: 'track' | 'video'
  id?: string
  title?: string
  artist?: string
  licence?: string
}

export const ingestCommand = (open: OpenContext) =>
  new Command('ingest')
    .description('take in a media file, a folder of them, or a manifest (JSONL), and wait until they are ready')
    .argument('<path...>')
    .addOption(new Option('--kind <kind>', 'what a file is, where its name does not say').choices(['track', 'video']))
    .option('--id <id>', 'id of the upload; one file only')
    .option('--title <title>')
    .option('--artist <artist>')
    .option('--licence <licence>')
    .action(async (paths: string[], flags: Flags) => {
      const { config, logger } = open({ logLevel: 'warn' })
      const entries = (await Promise.all(paths.map(entriesOf))).flat().map((entry) => ({ ...flags, ...entry }))
      const report = await withService(config, logger, (api) => ingest(api, entries, 'Analysing'))
      sayReport(report)
      if (report.failed.length > 0) process.exitCode = 1
    })
