import { Command, InvalidArgumentError } from 'commander'
import { SetupError } from '../../ports/errors.ts'
import type { ApiClient, ReleasesView } from '../api-client.ts'
import type { OpenContext } from '../context.ts'
import { withService } from '../service.ts'
import { progressBar, say, table } from '../terminal.ts'
import { INTERRUPTED, untilStopped } from './until-stopped.ts'

const POLL_MS = 200

export function releasesCommand(open: OpenContext): Command {
  const withApi = (work: (api: ApiClient) => Promise<void>) => {
    const { config, logger } = open({ logLevel: 'warn' })
    return withService(config, logger, work)
  }
  const releases = new Command('releases').description('the models that answer: list them, put one to use, go back')
  releases
    .command('list')
    .description('what there is, and which are in use')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: boolean }) =>
      withApi(async (api) => {
        const view = await api.releases()
        if (json) say(JSON.stringify(view, null, 2))
        else sayReleases(view)
      }),
    )
  releases
    .command('roll-out')
    .description('embed everything by a release, beside the one that serves, and switch to it once it is whole')
    .argument('<release>')
    .action((release: string) => withApi((api) => rollOut(api, release)))
  releases
    .command('roll-back')
    .description('let the release that served before serve again, at once')
    .action(() => withApi(async (api) => sayReleases(await api.rollBack())))
  releases
    .command('trial')
    .description('let a release answer a share of the requests, once it has embedded everything')
    .argument('<release>')
    .requiredOption('--share <number>', 'of the requests, above 0 and below 1', shareOf)
    .action((release: string, { share }: { share: number }) => withApi((api) => rollOut(api, release, share)))
  releases
    .command('end-trial')
    .description('let the release that serves answer all requests')
    .action(() => withApi(async (api) => sayReleases(await api.endTrial())))
  releases
    .command('remove')
    .description('remove the bundle of a release that is not in use')
    .argument('<release>')
    .action((release: string) => withApi(async (api) => sayReleases(await api.removeRelease(release))))
  return releases
}

function shareOf(text: string): number {
  const share = Number(text)
  if (!(share > 0 && share < 1)) throw new InvalidArgumentError('a share is above 0 and below 1.')
  return share
}

/** Until it is in use; Ctrl-C cancels it. @throws SetupError with the code of what it failed by */
export async function rollOut(api: ApiClient, release: string, trialShare?: number): Promise<void> {
  let last = await api.rollOut(release, trialShare)
  try {
    await untilStopped(new Promise(() => {}), async (stopping) => {
      last = await follow(api, last, stopping)
    })
  } finally {
    if (last.rollOut?.state === 'running') last = await api.cancelRollOut()
  }
  const { state, failure } = last.rollOut ?? {}
  if (failure) throw new SetupError(failure.code, failure.message)
  if (state !== 'done') {
    process.exitCode = INTERRUPTED
    say('Cancelled; what served goes on serving.')
  }
  sayReleases(last)
}

async function follow(api: ApiClient, begun: ReleasesView, stopping: AbortSignal): Promise<ReleasesView> {
  const bar = progressBar('Embedding', begun.rollOut?.totalRecords ?? 0)
  try {
    for (let view = begun; ; view = await api.releases()) {
      const { rollOut: now } = view
      if (now?.state === 'running') bar.update(now.doneRecords, now.phase ?? '', now.totalRecords)
      if (now?.state !== 'running' || stopping.aborted) return view
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  } finally {
    bar.stop()
  }
}

function sayReleases({ releases, trial, rollOut, unreadable }: ReleasesView): void {
  const roles = (names: readonly string[]) =>
    names.map((name) => (name === 'trial' && trial !== null ? `trial (${trial.share})` : name)).join(', ')
  const measured = (metrics: Readonly<Record<string, number>>) =>
    Object.entries(metrics)
      .map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
      .join(', ')
  say(
    table([
      ['release', 'in use as', 'model', 'made', 'measured'],
      ...releases.map(({ release, roles: names, model, createdAt, metrics }) => [
        release,
        roles(names),
        model,
        createdAt.slice(0, 16),
        measured(metrics),
      ]),
    ]),
  )
  if (rollOut?.state === 'running') say(`${rollOut.release} is being rolled out: ${rollOut.phase}`)
  if (rollOut?.failure) say(`The latest roll-out failed: ${rollOut.failure.message}`)
  for (const { release, message } of unreadable) say(`${release} cannot be used: ${message}`)
}
