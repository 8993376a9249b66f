/** `cuestream evaluate …`: how well the product answers and describes, on the labelled samples and on data of an operator. */
import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { TABLE_IDS, type TableId } from '../../trainer/evaluation/methods.ts'
import type { OpenContext } from '../context.ts'
import type { CaptionsOptions } from '../evaluate/captions.ts'
import { type CaptionMethod, METHODS } from '../evaluate/open-writers.ts'
import { evaluatePairs, type PairsOptions } from '../evaluate/pairs.ts'
import { evaluateRelease, type ReleaseOptions } from '../evaluate/release.ts'
import { evaluateSamples } from '../evaluate/samples.ts'
import type { TagsOptions } from '../evaluate/tags.ts'
import type { TextsOptions } from '../evaluate/texts.ts'

/** What reads texts brings a lexicon and what tells languages apart: it is loaded by the commands that need it. */
export const evaluateCommand = (open: OpenContext) =>
  new Command('evaluate')
    .description('measure quality')
    .addCommand(
      new Command('samples')
        .description('the zero-shot release on the labelled samples: retrieval, tempo, key (docs/evaluation.md)')
        .action(() => evaluateSamples(open)),
    )
    .addCommand(
      new Command('pairs')
        .description('train every model of the tables on pairs and measure them beside a linear baseline')
        .requiredOption('--train <folder>', 'training pairs: visual.f16.npy, audio.f16.npy, items.csv')
        .requiredOption('--validation <folder>', 'pairs that training stops by and ensembles are tuned on')
        .option('--test <folder>', 'pairs that are measured; those of --validation if absent')
        .option('--pool <sizes>', 'tracks that each query ranks, such as 500,2000', counts, [500, 2_000])
        .option('--seeds <number>', 'trainings of each model', count, 2)
        .addOption(
          new Option('--only <tables>', `some of the tables: ${TABLE_IDS.join(', ')}`)
            .argParser(tableIds)
            .default(TABLE_IDS, 'all'),
        )
        .option('--recipe <file>', 'training configuration: default, paper, video-level, or a file', 'video-level')
        .option('--jobs <number>', 'trainings at a time, one thread each', count, availableParallelism())
        .option('--out <folder>', 'keeps results and gets the report', 'evaluation')
        .action((options: PairsOptions) => evaluatePairs(open, options)),
    )
    .addCommand(
      new Command('release')
        .description('measure the towers of a release on pairs, as they are served')
        .argument('<release>', 'id in the model store, or the folder of a bundle')
        .requiredOption('--pairs <folder>', 'pairs to measure on: visual.f16.npy, audio.f16.npy, items.csv')
        .option('--pool <sizes>', 'tracks that each query ranks, such as 500,2000', counts, [500, 2_000])
        .action((release: string, options: ReleaseOptions) => evaluateRelease(open, release, options)),
    )
    .addCommand(
      new Command('captions')
        .description('measure descriptions from tags beside captions that people wrote')
        .requiredOption('--captions <csv>', 'columns caption, and aspect_list (as MusicCaps has it) or tags')
        .addOption(
          new Option('--methods <names>', `some of ${METHODS.join(', ')}`).argParser(methods).default(METHODS, 'all'),
        )
        .option('--limit <number>', 'captions, drawn by the seed; all if absent', count)
        .option('--pool <sizes>', 'captions that each text ranks, such as 500,2000', counts, [500, 2_000])
        .option('--seed <number>', 'of the texts and of everything that is drawn', seed, 1)
        .option('--out <folder>', 'gets the report and the texts', 'evaluation/captions')
        .action(async (options: CaptionsOptions) =>
          (await import('../evaluate/captions.ts')).evaluateCaptions(open, options),
        ),
    )
    .addCommand(
      new Command('tags')
        .description('find from which confidence a tag is claimed, on music and on what people name in captions')
        .requiredOption('--music <folder>', 'audio files, at any depth')
        .requiredOption('--captions <csv>', 'columns caption, and aspect_list (as MusicCaps has it) or tags')
        .option('--labels <csv>', 'columns file and tags, separated by ";": tags that are right')
        .option('--held-out <folder>', 'music that is measured at the thresholds found, with no say in them')
        .option('--seconds <number>', 'at most this much of each file', count, 90)
        .option('--jobs <number>', 'files at a time', count, availableParallelism())
        .option('--out <folder>', 'keeps what was heard and gets the report', 'evaluation/tags')
        .action(async (options: TagsOptions) => (await import('../evaluate/tags.ts')).evaluateTags(open, options)),
    )
    .addCommand(
      new Command('texts')
        .description('train the same models on texts by each method, and ask each with every text')
        .requiredOption('--train <folder>', 'training pairs: visual.f16.npy, audio.f16.npy, items.csv with labels')
        .requiredOption('--validation <folder>', 'pairs that training stops by, and that are measured')
        .addOption(
          new Option('--methods <names>', `some of ${METHODS.join(', ')}`).argParser(methods).default(METHODS, 'all'),
        )
        .option('--pool <size>', 'tracks that each query ranks', count, 500)
        .option('--seeds <number>', 'trainings of each model', count, 2)
        .option('--seed <number>', 'of the texts', seed, 1)
        .option('--variants <number>', 'wordings of each text', count, 4)
        .option('--recipe <file>', 'training configuration: default, paper, video-level, or a file', 'video-level')
        .option('--jobs <number>', 'trainings at a time, one thread each', count, availableParallelism())
        .option('--out <folder>', 'keeps results and gets the report', 'evaluation/texts')
        .action(async (options: TextsOptions) => (await import('../evaluate/texts.ts')).evaluateTexts(open, options)),
    )

function count(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('it is a number from 1 on.')
  return Number(text)
}

function counts(text: string): number[] {
  return text.split(',').map(count)
}

function seed(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('it is a whole number from 0 on.')
  return Number(text)
}

/** Each once, in the order of METHODS. */
function methods(text: string): CaptionMethod[] {
  const names = text.split(',')
  const unknown = names.find((name) => !METHODS.some((method) => method === name))
  if (unknown !== undefined) throw new InvalidArgumentError(`there are the methods ${METHODS.join(', ')}.`)
  return METHODS.filter((method) => names.includes(method))
}

function tableIds(text: string): TableId[] {
  return text.split(',').map((name) => {
    const id = TABLE_IDS.find((one) => one === name)
    if (id === undefined) throw new InvalidArgumentError(`there are the tables ${TABLE_IDS.join(', ')}.`)
    return id
  })
}
