import { existsSync, writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { type ApiClient, connectApi } from '../api-client.ts'
import type { OpenContext } from '../context.ts'
import { entriesOf, ingest, sayReport } from '../ingest.ts'
import { dataPaths, repositoryPaths } from '../paths.ts'
import { startService } from '../service.ts'
import { say } from '../terminal.ts'
import { sayRecommendation } from './recommend.ts'
import { untilStopped } from './until-stopped.ts'

/** Asked at the end, so that the first start shows an answer. */
const EXAMPLE = { video: 'big-buck-bunny-110s', text: 'upbeat acoustic guitar, happy and sunny', limit: 3 }

const CAUGHT_UP_POLL_MS = 100

export const upCommand = (open: OpenContext) =>
  new Command('up')
    .description('start everything in one process: gateway, page and all processors')
    .option('--no-samples', 'do not ingest the samples')
    .option('--once', 'stop when every stage has caught up and the example is answered')
    .action(async ({ samples, once }: { samples: boolean; once?: boolean }) => {
      const { config, logger } = open({ logLevel: 'warn' })
      const service = await startService(config, { logger, stages: 'all' })
      try {
        say(`Cuestream is up: ${service.url}`)
        await untilStopped(service.product.failed, async (stopping) => {
          const api = connectApi(service.url, stopping)
          if (samples) {
            await ingestSamples(api, dataPaths(config.dataFolder).samplesDone)
            say(`Recommendable ${(performance.now() / 1_000).toFixed(1)} s after the start.`)
            await sayExample(api)
          }
          if (once) return await caughtUp(api)
          say(`\nOpen ${service.url} to try it on the page. Ctrl-C stops.`)
          await new Promise(() => {})
        })
        if (!once) say('Stopping …')
      } finally {
        await service.close()
      }
    })

/** Once a data folder: a sample that somebody took down later does not come back. */
async function ingestSamples(api: ApiClient, doneFile: string): Promise<void> {
  if (existsSync(doneFile)) {
    const { counts } = await api.pipeline()
    return say(`${counts.tracks} tracks and ${counts.videos} videos are there`)
  }
  const report = await ingest(api, await entriesOf(repositoryPaths.samples), 'Analysing the samples')
  sayReport(report)
  if (report.failed.length === 0) writeFileSync(doneFile, '')
}

async function sayExample(api: ApiClient): Promise<void> {
  const known = await api.upload(EXAMPLE.video).then(
    ({ state }) => state === 'ready',
    () => false,
  )
  if (!known) return
  say(`\n$ npx cuestream recommend ${EXAMPLE.video} --text "${EXAMPLE.text}"`)
  sayRecommendation(await api.recommend(EXAMPLE))
}

/** Soundtracks and triplets are still on their way when the last upload is ready. */
async function caughtUp(api: ApiClient): Promise<void> {
  for (;;) {
    const { stages } = await api.pipeline()
    if (stages.every(({ lagRecords, inFlight }) => lagRecords === 0 && inFlight === 0)) return
    await new Promise((resolve) => setTimeout(resolve, CAUGHT_UP_POLL_MS))
  }
}
