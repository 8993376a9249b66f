/**
 * The stages that run once for each release in use, embed-music and embed-video: they come and go with the plan.
 *
 * Each is a group of its own (`embed-music@<release>`) that begins at the start of its topic. So a new release embeds all
 * there is beside the one that serves, and whenever a process hears of it, no record is missed.
 */
import type { Logger } from 'pino'
import type { ReleaseTowers } from '../../ports/encoder.ts'
import type { Stage } from '../../runtime/run-processor.ts'

export interface EmbeddingStages {
  /** Starts what is missing and stops what is not among them. @param towers of each release in use */
  follow(towers: readonly ReleaseTowers[]): void
  stop(): Promise<void>
}

/** @param start runs one; what it started is told to `onStop` when it stops. */
export function createEmbeddingStages<T extends { readonly stage: Stage }>(options: {
  processors: readonly string[]
  start: (processor: string, towers: ReleaseTowers) => T
  onStop: (stopped: T) => void
  logger: Logger
}): EmbeddingStages {
  const { processors, start, onStop, logger } = options
  const running = new Map<string, { readonly release: string; readonly started: T }>()
  const stopping = new Set<Promise<void>>()

  function end(key: string): void {
    const { started, release } = running.get(key)!
    running.delete(key)
    onStop(started)
    const ended = started.stage
      .stop()
      .catch((err: unknown) => logger.error({ release, err }, 'A stage of a release could not be stopped'))
      .finally(() => stopping.delete(ended))
    stopping.add(ended)
  }

  return {
    follow(all) {
      for (const [key, { release }] of running) if (!all.some((towers) => towers.release === release)) end(key)
      for (const towers of all) {
        for (const processor of processors) {
          const key = `${processor}@${towers.release}`
          if (running.has(key)) continue
          running.set(key, { release: towers.release, started: start(processor, towers) })
        }
      }
    },
    async stop() {
      for (const key of [...running.keys()]) end(key)
      await Promise.all(stopping)
    },
  }
}
