import { Command } from 'commander'
import { SetupError } from '../../ports/errors.ts'
import type { ApiClient, RebuildView } from '../api-client.ts'
import type { OpenContext } from '../context.ts'
import { withService } from '../service.ts'
import { progressBar, say, table } from '../terminal.ts'
import { INTERRUPTED, untilStopped } from './until-stopped.ts'

const POLL_MS = 200

export const rebuildCommand = (open: OpenContext) =>
  new Command('rebuild')
    .description('build the index anew from its topics, beside the one that serves, and switch to it once it is whole')
    .option(
      '--from <where...>',
      'begin at a time (2026-11-22T14:00:00Z) or at topic/partition/offset; at the start of every topic if absent',
    )
    .action(async ({ from = [] }: { from?: string[] }) => {
      const { config, logger } = open({ logLevel: 'warn' })
      await withService(config, logger, async (api) => {
        let last = await api.startRebuild(from)
        try {
          await untilStopped(new Promise(() => {}), async (stopping) => {
            last = await follow(api, last, stopping)
          })
        } finally {
          if (last.state === 'running') last = await api.stopRebuild()
        }
        sayEnd(last)
      })
    })

async function follow(api: ApiClient, begun: RebuildView, stopping: AbortSignal): Promise<RebuildView> {
  const bar = progressBar('Replaying', begun.totalRecords)
  try {
    for (let view = begun; ; view = await api.rebuild()) {
      bar.update(view.doneRecords, view.phase === 'comparing' ? 'counting rows' : '', view.totalRecords)
      if (view.state !== 'running' || stopping.aborted) return view
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  } finally {
    bar.stop()
  }
}

function sayEnd({ state, doneRecords, report, failure }: RebuildView): void {
  if (failure !== null) throw new SetupError(failure.code, failure.message)
  if (report === null || state !== 'done') {
    process.exitCode = INTERRUPTED
    say('Stopped; what served goes on serving.')
    return
  }
  say(`The index was rebuilt from ${doneRecords} records; generation ${report.generation} serves.`)
  say(
    table([
      ['index', 'rows', 'embeddings on the topic'],
      ...report.indexes.map(({ kind, release, rows, liveKeys }) => [`${kind}/${release}`, `${rows}`, `${liveKeys}`]),
    ]),
  )
  if (report.letters > 0) say(`${report.letters} records could not be indexed; see cuestream dead-letters list`)
}
