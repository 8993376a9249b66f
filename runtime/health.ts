/** Liveness, readiness and the watchdog, for all stages of a process. */
import type { Logger } from 'pino'
import type { Broker } from '../ports/broker.ts'
import { OutageError } from '../ports/errors.ts'
import type { Processor } from './define-processor.ts'
import type { StageMetrics } from './metrics.ts'
import { groupTopics, type Stage } from './run-processor.ts'

export interface StageHealth {
  readonly name: string
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
 * @param checks further readiness checks: each resolves, or rejects with what is wrong.
 */
export function createHealth(options: {
  stages: readonly { stage: Stage; processor: Processor }[]
  broker: Broker
  metrics: StageMetrics
  now: () => number
  stallMs: number
  checks?: Readonly<Record<string, () => Promise<void>>>
}): Health {
  const { broker, metrics, now, stallMs } = options

  const knownLag = new Map<string, number>()
  /** Since when each stage has had lag: an idle stage's last commit says nothing of a record that has just come. */
  const lagSince = new Map<string, number>()

  /** While the broker is away, what was known last: metrics and the page stay readable in an outage. */
  async function lagOf(stage: Stage, processor: Processor): Promise<number> {
    try {
      let lagRecords = 0
      for (const { topic, partition, lagRecords: lag } of await broker.lag(stage.group(), groupTopics(processor))) {
        lagRecords += lag
        metrics.lagRecords.set({ processor: stage.name, topic, partition: String(partition) }, lag)
      }
      knownLag.set(stage.name, lagRecords)
      return lagRecords
    } catch (error) {
      if (!(error instanceof OutageError)) throw error
      return knownLag.get(stage.name) ?? 0
    }
  }

  async function stages(): Promise<StageHealth[]> {
    return Promise.all(
      options.stages.map(async ({ stage, processor }) => {
        const lagRecords = await lagOf(stage, processor)
        if (lagRecords === 0) lagSince.delete(stage.name)
        else if (!lagSince.has(stage.name)) lagSince.set(stage.name, now())
        const idleSince = Math.max(stage.lastProgressAt(), lagSince.get(stage.name) ?? 0)
        const stalled = lagRecords > 0 && stage.inFlight() === 0 && now() - idleSince > stallMs
        metrics.stalled.set({ processor: stage.name }, stalled ? 1 : 0)
        return { name: stage.name, state: stage.state(), lagRecords, stalled, inFlight: stage.inFlight() }
      }),
    )
  }

  metrics.onScrape(stages)
  return {
    stages,
    async ready() {
      const checks: Record<string, string> = {}
      for (const { stage } of options.stages) {
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
  stages: readonly Stage[]
  stallMs: number
  logger: Logger
}): () => void {
  const { health, stages, logger } = options
  let looking = false
  const look = async () => {
    if (looking) return
    looking = true
    try {
      for (const { name, stalled, lagRecords } of await health.stages()) {
        if (!stalled) continue
        logger.error({ processor: name, lagRecords }, 'A stage has lag and makes no progress: it is restarted')
        await stages.find((stage) => stage.name === name)?.restart()
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
