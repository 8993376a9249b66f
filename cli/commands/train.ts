/** `cuestream train`: releases from pairs of video and music. The trainer is this process: no gateway and no stage trains. */
import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { InvalidRequestError } from '../../ports/errors.ts'
import { BACKENDS } from '../../trainer/backends.ts'
import type { OpenContext } from '../context.ts'
import { parseRhythm } from '../train/rhythm.ts'
import { Interrupted } from '../train/stopping.ts'
import { openTrainer, type TrainerOptions, trainAgainAndAgain } from '../train/trainer.ts'
import { INTERRUPTED } from './until-stopped.ts'

interface TrainOptions extends TrainerOptions {
  readonly out?: string
  readonly every?: string
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
      check(options)
      const trainer = await openTrainer(options, config, logger)
      try {
        if (options.every !== undefined) await trainAgainAndAgain(trainer, parseRhythm(options.every))
        const { state } = await trainer.run(options.out)
        if (state === 'refused') process.exitCode = 1
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error
        process.exitCode = INTERRUPTED
      } finally {
        await trainer.close()
      }
    })

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
