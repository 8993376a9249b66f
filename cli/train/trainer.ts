/** The trainer of `cuestream train`: what all of its runs share, and one run after the other. */
import { join } from 'node:path'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import { CuestreamError } from '../../ports/errors.ts'
import type { Config } from '../../runtime/config.ts'
import { collectProcessMetrics } from '../../runtime/metrics.ts'
import { type BackendName, chooseBackend } from '../../trainer/backends.ts'
import { createTrainerMetrics } from '../../trainer/metrics.ts'
import type { TrainConfig } from '../../trainer/train-config.ts'
import { openProfile } from '../evaluate/profile.ts'
import { readTrainConfig } from '../evaluate/read-train-config.ts'
import { dataPaths } from '../paths.ts'
import { encoderIdsOf } from '../profile-releases.ts'
import { progressBar, say } from '../terminal.ts'
import { syncTraining, tripletSource, tripletsSince } from '../train-data.ts'
import { serveMetrics } from './metrics-server.ts'
import { productTarget } from './release-target.ts'
import { nextTime, type Rhythm } from './rhythm.ts'
import type { Outcome } from './run-folder.ts'
import { Interrupted, untilInterrupted } from './stopping.ts'
import { trainRelease } from './train-release.ts'
import { type DataSource, folderSource } from './training-data.ts'

export interface TrainerOptions {
  readonly pairs?: string
  readonly validation?: string
  readonly evaluation?: string
  readonly recipe: string
  readonly seed?: number
  readonly threads: number
  readonly backend: BackendName
  readonly release: boolean
  readonly margin: number
  readonly checkpointEvery: number
  readonly logEvery: number
  readonly metricsPort?: number
}

export interface Trainer {
  readonly config: Config
  readonly logger: Logger
  readonly signal: AbortSignal
  /** @param out folder of the run; a new one in the data folder if absent. */
  run(out?: string): Promise<Outcome>
  close(): Promise<void>
}

export async function openTrainer(options: TrainerOptions, config: Config, logger: Logger): Promise<Trainer> {
  const recipe = await readRecipe(options)
  const { threads, margin } = options
  const backend = await chooseBackend({ wanted: options.backend, threads })
  say(backend.reason)
  const registry = new Registry()
  collectProcessMetrics(registry)
  const metrics = createTrainerMetrics(registry)
  const server = options.metricsPort === undefined ? undefined : await serveMetrics(registry, options.metricsPort)
  if (server !== undefined) say(`Metrics: ${server.url}`)
  const profile = await openProfile(config)
  const signal = untilInterrupted()
  return {
    config,
    logger,
    signal,
    async run(given) {
      const out =
        given ?? join(dataPaths(config.dataFolder).trainingRuns, new Date().toISOString().replaceAll(':', '-'))
      try {
        const outcome = await trainRelease({
          config: recipe,
          source: sourceOf(options, { config, logger, profile, signal }),
          textEncoder: profile.textEncoder,
          backend,
          threads,
          out,
          everySteps: { checkpoint: options.checkpointEvery, log: options.logEvery },
          target: options.release ? await productTarget(config, logger, profile) : undefined,
          margin,
          metrics,
          signal,
          now: Date.now,
        })
        metrics.run(outcome.state)
        return outcome
      } catch (error) {
        if (error instanceof Interrupted) say(`Stopped. To go on: the same command with --out ${out}`)
        else metrics.run('failed')
        throw error
      }
    },
    async close() {
      await profile.dispose()
      await server?.close()
    },
  }
}

/** What goes wrong with one run is told; the next may do better. */
export async function trainAgainAndAgain(trainer: Trainer, rhythm: Rhythm): Promise<never> {
  const { config, logger, signal } = trainer
  for (;;) {
    const startedAt = Date.now()
    try {
      await trainer.run()
    } catch (error) {
      if (!(error instanceof CuestreamError)) throw error
      say(`${error.code}: ${error.message}`)
    }
    await nextTime(rhythm, startedAt, {
      now: Date.now,
      signal,
      async tripletsSince(since) {
        await syncTraining(config, logger, { signal })
        return tripletsSince(config, since)
      },
    })
  }
}

function sourceOf(
  { pairs, validation, evaluation }: TrainerOptions,
  { config, logger, profile, signal }: { config: Config; logger: Logger; profile: LoadedProfile; signal: AbortSignal },
): DataSource {
  if (pairs !== undefined) return folderSource({ pairs, validation, evaluation })
  const { video, music } = encoderIdsOf(profile)
  return async (context) => {
    const bar = progressBar('Records of the topics', 0)
    const onRecords = (done: number, of: number) => bar.update(done, '', of)
    const source = tripletSource(config, logger, { encoders: { video, music }, signal, onRecords })
    try {
      return await source(context)
    } finally {
      bar.stop()
    }
  }
}

async function readRecipe({ recipe, seed }: TrainerOptions): Promise<TrainConfig> {
  const config = await readTrainConfig(recipe)
  return { ...config, seed: seed ?? config.seed }
}
