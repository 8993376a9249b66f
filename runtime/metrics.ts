/**
 * What every stage exports, with no code in the stage. docs/metrics.md is the spec; labels are bounded: names of
 * processors and topics, error codes, and the releases in use, which tell the gauges of a processor's stages apart.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client'

export interface StageMetrics {
  readonly records: Counter<'processor' | 'topic' | 'outcome'>
  readonly handleSeconds: Histogram<'processor' | 'topic'>
  readonly commitSeconds: Histogram<'processor'>
  readonly deadLetters: Counter<'processor' | 'topic' | 'code'>
  readonly retries: Counter<'processor' | 'topic' | 'code'>
  readonly crashes: Counter<'processor'>
  /** `release` is empty but for stages that run once for each release in use. */
  readonly inFlight: Gauge<'processor' | 'release'>
  readonly up: Gauge<'processor' | 'release'>
  readonly lagRecords: Gauge<'processor' | 'release' | 'topic' | 'partition'>
  readonly stalled: Gauge<'processor' | 'release'>
  /** Called at each scrape, before lag is read. */
  onScrape(refresh: () => Promise<unknown>): void
}

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

export function createStageMetrics(registry: Registry): StageMetrics {
  const registers = [registry]
  let refresh: () => Promise<unknown> = async () => {}
  return {
    onScrape(next) {
      let running: Promise<unknown> | undefined
      refresh = () => {
        running ??= next().finally(() => {
          running = undefined
        })
        return running
      }
    },
    records: new Counter({
      name: 'cuestream_stage_records_total',
      help: 'Records by outcome: done, skipped, expired, dead_letter.',
      labelNames: ['processor', 'topic', 'outcome'],
      registers,
    }),
    handleSeconds: new Histogram({
      name: 'cuestream_stage_handle_seconds',
      help: 'Time in a handler, by record.',
      labelNames: ['processor', 'topic'],
      buckets: SECONDS,
      registers,
    }),
    commitSeconds: new Histogram({
      name: 'cuestream_stage_commit_seconds',
      help: 'Time to produce outputs and commit offsets.',
      labelNames: ['processor'],
      buckets: SECONDS,
      registers,
    }),
    deadLetters: new Counter({
      name: 'cuestream_stage_dead_letters_total',
      help: 'Records sent to a dead-letter topic, by cause.',
      labelNames: ['processor', 'topic', 'code'],
      registers,
    }),
    retries: new Counter({
      name: 'cuestream_stage_retries_total',
      help: 'Tries that failed and will be repeated, by cause.',
      labelNames: ['processor', 'topic', 'code'],
      registers,
    }),
    crashes: new Counter({
      name: 'cuestream_stage_crashes_total',
      help: 'Unexpected errors that restarted a stage.',
      labelNames: ['processor'],
      registers,
    }),
    inFlight: new Gauge({
      name: 'cuestream_stage_records_in_flight',
      help: 'Records in handlers now.',
      labelNames: ['processor', 'release'],
      registers,
    }),
    up: new Gauge({
      name: 'cuestream_stage_up',
      help: '1 while the stage consumes.',
      labelNames: ['processor', 'release'],
      registers,
    }),
    lagRecords: new Gauge({
      name: 'cuestream_consumer_lag_records',
      help: 'Records between the committed offset and the end of the partition.',
      labelNames: ['processor', 'release', 'topic', 'partition'],
      registers,
      async collect() {
        await refresh()
      },
    }),
    stalled: new Gauge({
      name: 'cuestream_stage_stalled',
      help: '1 when there is lag and nothing was committed for the watchdog time.',
      labelNames: ['processor', 'release'],
      registers,
      async collect() {
        await refresh()
      },
    }),
  }
}

/** Of the process itself. The text format has no place for three of them: their names end in _total and they are gauges. */
export function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry })
  for (const name of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${name}_total`)
}
