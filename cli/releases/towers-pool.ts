/** The towers of the releases in use, each release in a process of its own for as long as it is. */
import type { Logger } from 'pino'
import { startTowers, type TowersProcess } from '../../adapters/onnx/towers-process.ts'
import type { ModelStore } from '../../ports/model-store.ts'

/** Longer than any request waits, and any process takes to hear of a new plan. */
const UNUSED_MS = 60_000

export interface TowersPool {
  /** Starts the process if it does not run, and waits for no more than that. @throws as ModelStore.fetch */
  open(release: string): Promise<TowersProcess>
  /** Ends the processes of all other releases, once what was asked of them is answered. */
  keep(releases: readonly string[]): void
  /** Of the processes that run, by release. */
  pids(): Readonly<Record<string, number | undefined>>
  close(): Promise<void>
}

export function createTowersPool(deps: { modelStore: ModelStore; logger: Logger; unusedMs?: number }): TowersPool {
  const { modelStore, logger, unusedMs = UNUSED_MS } = deps
  const opened = new Map<string, Promise<TowersProcess>>()
  const running = new Map<string, TowersProcess>()
  const unused = new Map<string, NodeJS.Timeout>()

  function open(release: string): Promise<TowersProcess> {
    clearTimeout(unused.get(release))
    unused.delete(release)
    let towers = opened.get(release)
    if (towers === undefined) {
      towers = start(release)
      opened.set(release, towers)
      towers.catch(() => opened.delete(release)) // its bundle may be there at the next try
    }
    return towers
  }

  async function start(release: string): Promise<TowersProcess> {
    const onEnd = (error: Error) =>
      logger.warn({ release, reason: error.message }, 'The process of a release ended and is started anew')
    const towers = await startTowers(modelStore, release, { onEnd })
    running.set(release, towers)
    return towers
  }

  async function end(release: string): Promise<void> {
    const towers = await opened.get(release)?.catch(() => undefined)
    opened.delete(release)
    running.delete(release)
    unused.delete(release)
    await towers?.close()
  }

  return {
    open,
    keep(releases) {
      for (const release of opened.keys()) {
        if (releases.includes(release) || unused.has(release)) continue
        const timer = setTimeout(() => {
          end(release).then(
            () => logger.info({ release }, 'The process of a release that is no longer in use has ended'),
            (err: unknown) => logger.error({ release, err }, 'The process of a release could not be ended'),
          )
        }, unusedMs)
        unused.set(release, timer.unref())
      }
    },
    pids: () => Object.fromEntries([...running].map(([release, { pid }]) => [release, pid])),
    async close() {
      for (const timer of unused.values()) clearTimeout(timer)
      await Promise.all([...opened.keys()].map(end))
    },
  }
}
