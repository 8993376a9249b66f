import { Command, Option } from 'commander'
import { InvalidRequestError } from '../../ports/errors.ts'
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
    .argument('<path...>', 'media files, folders of them, or manifests that end in .jsonl')
    .addOption(new Option('--kind <kind>', 'what a file is, where its name does not say').choices(['track', 'video']))
    .option('--id <id>', 'id of the upload; one file only')
    .option('--title <title>', 'title of a file, where a manifest gives none')
    .option('--artist <artist>', 'likewise')
    .option('--licence <licence>', 'likewise, as its owner writes it')
    .action(async (paths: string[], flags: Flags) => {
      const { config, logger } = open({ logLevel: 'warn' })
      const entries = (await Promise.all(paths.map(entriesOf))).flat().map((entry) => ({ ...flags, ...entry }))
      if (entries.length === 0) {
        throw new InvalidRequestError('no-media', `There are no audio or video files in ${paths.join(', ')}`)
      }
      if (flags.id !== undefined && entries.length > 1) {
        throw new InvalidRequestError('one-file-only', `--id names one upload; ${entries.length} files are given`)
      }
      const report = await withService(config, logger, (api) => ingest(api, entries, 'Analysing'))
      sayReport(report)
      if (report.failed.length > 0) process.exitCode = 1
    })
