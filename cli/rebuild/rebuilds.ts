/** The rebuild that runs in this process, one at a time, and how it stands. */
import type { Rebuilds, RebuildView } from '../../gateway/rebuilds.ts'
import { CuestreamError, InvalidRequestError, SetupError } from '../../ports/errors.ts'
import { beginRebuild, type RebuildDeps } from './rebuild-index.ts'
import { parseReplayFrom } from './replay-from.ts'

/** @param onServing is called once a rebuilt index serves, so that the stage of this process turns to it at once. */
export function createRebuilds(deps: RebuildDeps, onServing: () => Promise<void>): Rebuilds {
  let running: { readonly stopping: AbortController; readonly ended: Promise<void> } | 'beginning' | undefined
  let view: RebuildView | undefined

  async function begin(words: readonly string[]) {
    try {
      return await beginRebuild(deps, parseReplayFrom(words))
    } catch (error) {
      running = undefined
      throw error instanceof SetupError && error.code === 'rebuild-running' ? alreadyRunning() : error
    }
  }

  /** Stages of other processes turn to it with their next write, and so would this one. */
  function turn(): void {
    onServing().catch((error: unknown) =>
      deps.logger.warn({ err: error }, 'The stage turns to the rebuilt index later'),
    )
  }

  async function run(finish: Awaited<ReturnType<typeof begin>>['finish'], signal: AbortSignal): Promise<void> {
    try {
      const report = await finish(signal, (progress) => {
        view = { ...view!, ...progress }
      })
      view = { ...view!, state: 'done', report }
      turn()
    } catch (error) {
      if (signal.aborted) view = { ...view!, state: 'stopped' }
      else {
        deps.logger.warn({ err: error }, 'The index could not be rebuilt; what served goes on serving')
        const code = error instanceof CuestreamError ? error.code : 'internal'
        view = { ...view!, state: 'failed', failure: { code, message: (error as Error).message } }
      }
    } finally {
      running = undefined
    }
  }

  return {
    async start(words) {
      if (running !== undefined) throw alreadyRunning()
      running = 'beginning'
      const { finish } = await begin(words)
      const stopping = new AbortController()
      const nothingYet = { doneRecords: 0, totalRecords: 0, report: undefined, failure: undefined }
      view = { state: 'running', phase: 'replaying', ...nothingYet }
      running = { stopping, ended: run(finish, stopping.signal) }
      return view
    },
    view: () => view,
    async stop() {
      if (typeof running === 'object') {
        running.stopping.abort()
        await running.ended
      }
      return view
    },
  }
}

function alreadyRunning(): InvalidRequestError {
  const message = 'The index is being rebuilt already; wait for that, or stop it'
  return new InvalidRequestError('rebuild-running', message, { status: 409 })
}
