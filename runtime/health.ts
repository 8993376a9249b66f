/** Liveness, readiness and the watchdog, for all stages of a process. */
import type { Logger } from 'pino'
import type { Broker, PartitionLag } from '../ports/broker.ts'
import { OutageError } from '../ports/errors.ts'
import type { Processor } from './define-processor.ts'
import type { StageMetrics } from './metrics.ts'
import { groupTopics, type Stage } from './run-processor.ts'

export interface RunningStage {
  readonly stage: Stage
  readonly processor: Processor
}

export interface StageHealth {
  readonly name: string
  /** Of a stage that runs once for each release in use. */
  readonly release: string | undefined
  readonly state: string
  readonly lagRecords: number
  /** Lag for `stallMs` without a commit, and nothing in a handler. */
  readonly stalled: boolean
  readonly inFlight: number
}

export interface Health {
  stages(): Promise<readonly StageHealth[]>
  ready(): Promise<{ ready: boolean; checks: Record<string, string> }>
}

/**
 * @param stages those that run: looked at anew each time, for some come and go with their release.
 * @param countsFor whether a release's stages keep the process from being ready. Default: all do.
 * @param checks further readiness checks: each resolves, or rejects with what is wrong.
 */
export function createHealth(options: {
  stages: Iterable<RunningStage>
  broker: Broker
  metrics: StageMetrics
  now: () => number
  stallMs: number
  countsFor?: (release: string) => boolean
  checks?: Readonly<Record<string, () => Promise<void>>>
}): Health {
  const { broker, metrics, now, stallMs, countsFor = () => true } = options

  const knownLag = new WeakMap<Stage, readonly PartitionLag[]>()
  /** Since when each stage has had lag: an idle stage's last commit says nothing of a record that has just come. */
  const lagSince = new WeakMap<Stage, number>()

  /** While the broker is away, what was known last: metrics and the page stay readable in an outage. */
  async function lagOf({ stage, processor }: RunningStage): Promise<readonly PartitionLag[]> {
    try {
      const lags = await broker.lag(stage.group(), groupTopics(processor))
      knownLag.set(stage, lags)
      return lags
    } catch (error) {
      if (!(error instanceof OutageError)) throw error
      return knownLag.get(stage) ?? []
    }
  }

  async function stages(): Promise<StageHealth[]> {
    const running = [...options.stages]
    const lags = await Promise.all(running.map(lagOf))
    // Stages that are gone have no series any more.
    metrics.lagRecords.reset()
    metrics.stalled.reset()
    return running.map(({ stage }, i) => {
      const labels = { processor: stage.name, release: stage.release ?? '' }
      let lagRecords = 0
      for (const { topic, partition, lagRecords: lag } of lags[i]!) {
        lagRecords += lag
        metrics.lagRecords.set({ ...labels, topic, partition: String(partition) }, lag)
      }
      if (lagRecords === 0) lagSince.delete(stage)
      else if (!lagSince.has(stage)) lagSince.set(stage, now())
      const idleSince = Math.max(stage.lastProgressAt(), lagSince.get(stage) ?? 0)
      const stalled = lagRecords > 0 && stage.inFlight() === 0 && now() - idleSince > stallMs
      metrics.stalled.set(labels, stalled ? 1 : 0)
      const { name, release } = stage
      return { name, release, state: stage.state(), lagRecords, stalled, inFlight: stage.inFlight() }
    })
  }

  metrics.onScrape(stages)
  return {
    stages,
    async ready() {
      const checks: Record<string, string> = {}
      for (const { stage } of options.stages) {
        if (stage.release !== undefined && !countsFor(stage.release)) continue
        checks[stage.name] = stage.state() === 'running' ? 'ok' : stage.state()
      }
      await Promise.all(
        Object.entries(options.checks ?? {}).map(async ([name, check]) => {
          checks[name] = await check().then(
            () => 'ok',
            (error: unknown) => (error instanceof Error ? error.message : String(error)),
          )
        }),
      )
      return { ready: Object.values(checks).every((state) => state === 'ok'), checks }
    },
  }
}

/**
 * Looks at every stage four times a `stallMs`, and restarts one that has stalled: a client that lost its group without
 * noticing comes back so. The gauge of stalled stages is the alarm. @returns how to stop it.
 */
export function startWatchdog(options: {
  health: Health
  stages: Iterable<RunningStage>
  stallMs: number
  logger: Logger
}): () => void {
  const { health, stages, logger } = options
  let looking = false
  const look = async () => {
    if (looking) return
    looking = true
    try {
      for (const { name, release, stalled, lagRecords } of await health.stages()) {
        if (!stalled) continue
        logger.error({ processor: name, release, lagRecords }, 'A stage has lag and makes no progress: it is restarted')
        for (const { stage } of stages) if (stage.name === name && stage.release === release) await stage.restart()
      }
    } catch (error) {
      logger.error({ err: error }, 'The watchdog could not look at the stages')
    } finally {
      looking = false
    }
  }
  const timer = setInterval(() => void look(), options.stallMs / 4).unref()
  return () => clearInterval(timer)
}
