import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { connectApi, type PipelineView } from '../api-client.ts'
import { isShared } from '../backends.ts'
import type { OpenContext } from '../context.ts'
import { dataFolderOwner } from '../data-folder.ts'
import { openProduct } from '../open-product.ts'
import { dataPaths } from '../paths.ts'
import { say, table } from '../terminal.ts'

export const statusCommand = (open: OpenContext) =>
  new Command('status')
    .description('what is in the catalogue, and how far each stage is')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const { config, logger } = open({ logLevel: 'warn' })
      const owner = await dataFolderOwner(dataPaths(config.dataFolder).owner)
      if (owner?.url !== undefined) {
        const view = await connectApi(owner.url).pipeline()
        if (json) return say(JSON.stringify(view, null, 2))
        say(`Running: process ${owner.pid}, ${owner.url}`)
        return sayPipeline(view)
      }
      if (!isShared(config) && !existsSync(dataPaths(config.dataFolder).catalogue)) {
        const nothing = { release: null, counts: { tracks: 0, videos: 0, uploads: 0, failed: 0 }, stages: [] }
        if (json) return say(JSON.stringify(nothing, null, 2))
        return say(`Not running; there is nothing yet in the data folder ${config.dataFolder}`)
      }
      const product = await openProduct(config, { logger, stages: [] })
      try {
        const counts = await product.catalogue.counts()
        const release = (await product.catalogue.releasePlan())?.serving ?? null
        if (json) return say(JSON.stringify({ release, counts, stages: [] }, null, 2))
        say(`Not running; data folder ${config.dataFolder}`)
        sayPipeline({ release, counts, stages: [] })
      } finally {
        await product.close()
      }
    })

function sayPipeline({ release, counts, stages }: PipelineView): void {
  say(
    `Release ${release ?? '(none)'}: ${counts.tracks} tracks, ${counts.videos} videos; ${counts.uploads} uploads, ${counts.failed} failed`,
  )
  if (stages.length === 0) return
  say(
    table([
      ['stage', 'state', 'waiting', 'now', ''],
      ...stages.map(({ name, state, lagRecords, inFlight, stalled }) => [
        name,
        state,
        String(lagRecords),
        String(inFlight),
        stalled ? 'STALLED' : '',
      ]),
    ]),
  )
}
