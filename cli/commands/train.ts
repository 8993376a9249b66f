/** `cuestream train`: releases from pairs of video and music. The trainer is this process: no gateway and no stage trains. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import { CuestreamError, InvalidRequestError } from '../../ports/errors.ts'
import type { Config } from '../../runtime/config.ts'
import { BACKENDS, type BackendName, chooseBackend } from '../../trainer/backends.ts'
import { createTrainerMetrics, type TrainerMetrics } from '../../trainer/metrics.ts'
import type { TrainConfig } from '../../trainer/train-config.ts'
import type { OpenContext } from '../context.ts'
import { openProfile } from '../evaluate/profile.ts'
import { readTrainConfig } from '../evaluate/read-train-config.ts'
import { dataPaths, repository } from '../paths.ts'
import { progressBar, say } from '../terminal.ts'
import { serveMetrics } from '../train/metrics-server.ts'
import { encoderIdsOf, productTarget } from '../train/release-target.ts'
import { nextTime, parseRhythm, type Rhythm } from '../train/rhythm.ts'
import type { Outcome } from '../train/run-folder.ts'
import { INTERRUPTED, Interrupted, untilInterrupted } from '../train/stopping.ts'
import { trainRelease } from '../train/train-release.ts'
import { type DataSource, folderSource } from '../train/training-data.ts'
import { syncTraining, tripletSource, tripletsSince } from '../train-data.ts'

interface TrainOptions {
  readonly pairs?: string
  readonly validation?: string
  readonly evaluation?: string
  readonly recipe: string
  readonly out?: string
  readonly seed?: number
  readonly threads: number
  readonly backend: BackendName
  readonly release: boolean
  readonly margin: number
  readonly every?: string
  readonly checkpointEvery: number
  readonly logEvery: number
  readonly metricsPort?: number
}

export const trainCommand = (open: OpenContext) =>
  new Command('train')
    .description('train a release on the triplets of the product, or on pairs in files, and let it serve if it is good')
    .option('--pairs <folder>', 'visual.f16.npy, audio.f16.npy, items.csv; the triplets of the product if absent')
    .option('--validation <folder>', 'pairs that stop training and tune a; part of --pairs if absent')
    .option('--evaluation <folder>', 'pairs that releases are judged by; those of --validation, or part of --pairs')
    .option('--recipe <file>', 'training configuration: default, paper, video-level, or a file', 'default')
    .option(
      '--out <folder>',
      'folder of the run; one that was stopped in it goes on (default: a new one in the data folder)',
    )
    .option('--seed <number>', "in place of the recipe's", wholeNumber)
    .option('--threads <number>', 'inside an operation', positive, availableParallelism())
    .addOption(new Option('--backend <name>', 'what carries out the steps').choices(BACKENDS).default('auto'))
    .option('--no-release', 'only make the bundle')
    .option('--margin <share>', "how much lower than the serving release's R@10 may be", share, 0.01)
    .option('--every <rhythm>', 'train again and again: after a time (90m, 12h, 7d), or once so many triplets came')
    .option('--checkpoint-every <steps>', 'besides one after each epoch', positive, 200)
    .option('--log-every <steps>', 'lines of log.jsonl', positive, 10)
    .option('--metrics-port <port>', 'serve metrics at http://127.0.0.1:<port>/metrics', wholeNumber)
    .action(async (options: TrainOptions) => {
      const { config, logger } = open({ logLevel: 'warn' })
      const trainer = await openTrainer(options, config, logger)
      try {
        if (options.every === undefined) endWith(await trainer.run(options.out))
        else await trainAgainAndAgain(trainer, parseRhythm(options.every))
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error
        process.exitCode = INTERRUPTED
      } finally {
        await trainer.close()
      }
    })

interface Trainer {
  readonly config: Config
  readonly logger: Logger
  readonly signal: AbortSignal
  readonly metrics: TrainerMetrics
  run(out?: string): Promise<Outcome>
  close(): Promise<void>
}

async function openTrainer(options: TrainOptions, config: Config, logger: Logger): Promise<Trainer> {
  check(options)
  const recipe = await readRecipe(options)
  const { threads, margin } = options
  const backend = await chooseBackend({ wanted: options.backend, threads })
  say(backend.reason)
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const metrics = createTrainerMetrics(registry)
  const server = options.metricsPort === undefined ? undefined : await serveMetrics(registry, options.metricsPort)
  if (server !== undefined) say(`Metrics: ${server.url}`)
  const profile = await openProfile(config)
  const signal = untilInterrupted()
  return {
    config,
    logger,
    signal,
    metrics,
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
async function trainAgainAndAgain(trainer: Trainer, rhythm: Rhythm): Promise<never> {
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
  { pairs, validation, evaluation }: TrainOptions,
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

/** @throws InvalidRequestError 'bad-options' */
function check({ pairs, validation, evaluation, every, out }: TrainOptions): void {
  const bad = (what: string) => new InvalidRequestError('bad-options', what)
  if (pairs === undefined && (validation ?? evaluation) !== undefined) {
    throw bad('--validation and --evaluation are of pairs in files: say which with --pairs.')
  }
  if (every === undefined) return
  if (out !== undefined) throw bad('--every makes a folder for each run: leave out --out.')
  if ('newTriplets' in parseRhythm(every) && pairs !== undefined) throw bad('No triplets come to --pairs: give a time.')
}

async function readRecipe({ recipe, seed }: TrainOptions): Promise<TrainConfig> {
  const named = /^[a-z-]+$/.test(recipe)
  const config = await readTrainConfig(named ? join(repository, 'trainer', 'configs', `${recipe}.json`) : recipe)
  return { ...config, seed: seed ?? config.seed }
}

function endWith({ state }: Outcome): void {
  if (state === 'refused') process.exitCode = 1
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('it is a whole number.')
  return Number(text)
}

function positive(text: string): number {
  const number = wholeNumber(text)
  if (number < 1) throw new InvalidArgumentError('it is a number from 1 on.')
  return number
}

function share(text: string): number {
  const number = Number(text)
  if (text.trim() === '' || !(number >= 0 && number <= 1)) throw new InvalidArgumentError('it is a number from 0 to 1.')
  return number
}
