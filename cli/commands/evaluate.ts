/** `cuestream evaluate …`: how well the product answers, on the labelled samples and on pairs of an operator. */
import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { TABLE_IDS, type TableId } from '../../trainer/evaluation/methods.ts'
import type { OpenContext } from '../context.ts'
import { evaluatePairs, type PairsOptions } from '../evaluate/pairs.ts'
import { evaluateRelease, type ReleaseOptions } from '../evaluate/release.ts'
import { evaluateSamples } from '../evaluate/samples.ts'

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

function count(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('it is a number from 1 on.')
  return Number(text)
}

function counts(text: string): number[] {
  return text.split(',').map(count)
}

function tableIds(text: string): TableId[] {
  return text.split(',').map((name) => {
    const id = TABLE_IDS.find((one) => one === name)
    if (id === undefined) throw new InvalidArgumentError(`there are the tables ${TABLE_IDS.join(', ')}.`)
    return id
  })
}
