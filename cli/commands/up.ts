import { existsSync, writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { type ApiClient, connectApi } from '../api-client.ts'
import type { OpenContext } from '../context.ts'
import { entriesOf, ingest, sayReport } from '../ingest.ts'
import { repositoryPaths } from '../paths.ts'
import { type Service, startService } from '../service.ts'
import { bringUpServices, samplesDoneFile, withServices } from '../services.ts'
import { say } from '../terminal.ts'
import { sayRecommendation } from './recommend.ts'
import { endClosed, untilStopped } from './until-stopped.ts'

/** Asked at the end, so that the first start shows an answer. It waits for the models of words, too. */
const EXAMPLE = {
  video: 'big-buck-bunny-110s',
  text: 'upbeat acoustic guitar, happy and sunny',
  limit: 3,
  deadlineMs: 30_000,
}

const CAUGHT_UP_POLL_MS = 100

export const upCommand = (open: OpenContext) =>
  new Command('up')
    .description('start everything in one process: gateway, page and all processors')
    .option('--no-samples', 'do not ingest the samples')
    .option('--services', 'on Kafka, a schema registry and Redis, started here unless their addresses are given')
    .option('--once', 'stop when every stage has caught up and the example is answered')
    .action(async ({ samples, once, services: wanted }: { samples: boolean; once?: boolean; services?: boolean }) => {
      const { config: asked, logger } = open({ logLevel: 'warn' })
      const services = wanted ? await bringUpServices(asked) : undefined
      const config = services === undefined ? asked : withServices(asked, services)
      let service: Service | undefined
      try {
        service = await startService(config, { logger, stages: 'all' })
        const { url, product } = service
        say(`Cuestream is up: ${url}`)
        await untilStopped(Promise.race([product.failed, ...(services ? [services.failed] : [])]), async (stopping) => {
          const api = connectApi(url, stopping)
          if (samples) {
            await ingestSamples(api, samplesDoneFile(config, services))
            say(`Recommendable ${(performance.now() / 1_000).toFixed(1)} s after the start.`)
            await sayExample(api)
          }
          if (once) return await caughtUp(api)
          say(`\nOpen ${url} to try it on the page. Ctrl-C stops.`)
          await new Promise(() => {})
        })
        if (!once) say('Stopping …')
      } finally {
        await service?.close()
        await services?.stop()
        endClosed()
      }
    })

/** Once a data folder: a sample that somebody took down later does not come back. */
async function ingestSamples(api: ApiClient, doneFile: string): Promise<void> {
  const { counts } = await api.pipeline()
  if (existsSync(doneFile) && counts.uploads > 0) {
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
