/** Liveness, readiness and the watchdog, for all stages of a process. */
import type { Broker } from '../ports/broker.ts'
import type { Processor } from './define-processor.ts'
import type { StageMetrics } from './metrics.ts'
import { groupTopics, type Stage } from './run-processor.ts'

export interface StageHealth {
  readonly name: string
  readonly state: string
  readonly lagRecords: number
  /** Lag without a commit for `stallMs`, and nothing in a handler. */
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

  async function stages(): Promise<StageHealth[]> {
    return Promise.all(
      options.stages.map(async ({ stage, processor }) => {
        let lagRecords = 0
        for (const lag of await broker.lag(stage.name, groupTopics(processor))) {
          lagRecords += lag.lagRecords
          metrics.lagRecords.set(
            { processor: stage.name, topic: lag.topic, partition: String(lag.partition) },
            lag.lagRecords,
          )
        }
        const stalled = lagRecords > 0 && stage.inFlight() === 0 && now() - stage.lastProgressAt() > stallMs
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
