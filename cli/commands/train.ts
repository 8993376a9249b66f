/** `cuestream train`: a release from pairs of video and music. The training process is this command; no gateway trains. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { BACKENDS, type BackendName, chooseBackend } from '../../trainer/backends.ts'
import { parseTrainConfig } from '../../trainer/train-config.ts'
import type { OpenContext } from '../context.ts'
import { openProfile } from '../evaluate/profile.ts'
import { readTrainConfig } from '../evaluate/read-train-config.ts'
import { say } from '../terminal.ts'
import { trainRelease } from '../train/train-release.ts'
import { folderSource } from '../train/training-data.ts'

interface TrainOptions {
  readonly pairs: string
  readonly validation?: string
  readonly evaluation?: string
  readonly recipe?: string
  readonly out: string
  readonly seed?: number
  readonly threads: number
  readonly backend: BackendName
  readonly checkpointEvery: number
}

/** As a shell says of what Ctrl-C ended. */
const INTERRUPTED = 130

export const trainCommand = (open: OpenContext) =>
  new Command('train')
    .description('train a release on pairs of video and music')
    .requiredOption('--pairs <folder>', 'visual.f16.npy, audio.f16.npy, items.csv')
    .option('--validation <folder>', 'pairs that stop training and tune a; part of --pairs if absent')
    .option('--evaluation <folder>', 'pairs that the release is measured on; those of --validation, or part of --pairs')
    .option('--recipe <file>', 'training configuration (docs/training.md)')
    .option('--out <folder>', 'the run: checkpoints, log, bundle; one that is there is gone on with', 'training')
    .option('--seed <number>', "in place of the recipe's", wholeNumber)
    .option('--threads <number>', 'inside an operation', positive, availableParallelism())
    .addOption(new Option('--backend <name>', 'what carries out the steps').choices(BACKENDS).default('auto'))
    .option('--checkpoint-every <steps>', 'besides one after each epoch', positive, 200)
    .action(async (options: TrainOptions) => {
      const { config: settings } = open({ logLevel: 'warn' })
      const { pairs, validation, evaluation } = options
      const recipe = options.recipe === undefined ? parseTrainConfig({}) : await readTrainConfig(options.recipe)
      const config = { ...recipe, seed: options.seed ?? recipe.seed }
      const backend = await chooseBackend({ wanted: options.backend, threads: options.threads })
      say(backend.reason)
      const profile = await openProfile(settings)
      try {
        const manifest = await trainRelease({
          config,
          source: folderSource({ pairs, validation, evaluation }),
          profile,
          backend,
          threads: options.threads,
          out: options.out,
          everySteps: options.checkpointEvery,
          signal: interrupted(),
          now: Date.now,
          observer: {
            onStep() {},
            onEpoch(model, { epoch, loss, score, seconds }) {
              say(
                `${model} epoch ${epoch}: loss ${loss.toFixed(4)}, validation ${(100 * score).toFixed(2)} %, ${seconds.toFixed(1)} s`,
              )
            },
          },
        })
        say(`${manifest.release} lies in ${join(options.out, 'bundle')}`)
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error
        process.exitCode = INTERRUPTED
        say(`Stopped; the same command goes on from the checkpoints in ${options.out}.`)
      } finally {
        await profile.dispose()
      }
    })

class Interrupted extends Error {}

/** Aborted by SIGINT or SIGTERM; a second one ends the process at once. */
function interrupted(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      controller.abort(new Interrupted())
      process.once(signal, () => process.exit(INTERRUPTED))
    })
  }
  return controller.signal
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
