/** Trains and measures every model of the paper's tables on an operator's pairs; prints the tables and writes the report. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pairsFromFiles } from '../../trainer/data/pairs-from-files.ts'
import { type Experiment, experiment, type RunProgress } from '../../trainer/evaluation/experiments.ts'
import { type TableId, tablesOf } from '../../trainer/evaluation/methods.ts'
import { markdownOf } from '../../trainer/evaluation/report/markdown.ts'
import { reportPage } from '../../trainer/evaluation/report/page.ts'
import { summaryOf } from '../../trainer/evaluation/report/summary.ts'
import type { RunData } from '../../trainer/evaluation/runs.ts'
import type { OpenContext } from '../context.ts'
import { progressBar, say } from '../terminal.ts'
import { framesOf } from './frames.ts'
import { openProfile } from './profile.ts'
import { readTrainConfig } from './read-train-config.ts'

export interface PairsOptions {
  readonly train: string
  readonly validation: string
  readonly test?: string
  readonly pool: readonly number[]
  readonly seeds: number
  readonly only: readonly TableId[]
  readonly recipe: string
  readonly jobs: number
  readonly out: string
}

export async function evaluatePairs(open: OpenContext, options: PairsOptions): Promise<void> {
  const { config } = open({ logLevel: 'warn' })
  const recipe = await readTrainConfig(options.recipe)
  const startedAt = performance.now()
  const profile = await openProfile(config)
  const read = async (folder: string) => {
    const bar = progressBar(`Words of ${folder}`, 0)
    const { textEncoder } = profile
    const pairs = await pairsFromFiles(folder, {
      textEncoder,
      cacheFolder: join(options.out, 'texts'),
      onProgress: (done, all) => bar.update(done, '', all),
    })
    bar.stop()
    return pairs
  }
  let data: RunData
  const textEncoderId = profile.textEncoder.id
  try {
    const { train, validation, test } = options
    data = {
      training: await read(train),
      validation: await read(validation),
      test: test === undefined ? undefined : await read(test),
    }
  } finally {
    await profile.dispose()
  }
  await mkdir(options.out, { recursive: true })
  const bar = progressBar('Epochs', 0)
  const result = await experiment({
    recipe,
    data,
    tables: tablesOf(options.only, data.training.texts !== undefined),
    seeds: options.seeds,
    poolSizes: options.pool,
    jobs: options.jobs,
    folder: join(options.out, 'runs'),
    onProgress: (progress) => bar.update(progress.done, noteOf(progress), progress.all),
  })
  bar.stop()
  const text = markdownOf(result)
  const about = aboutLines(result, data, {
    ...options,
    words: textEncoderId,
    minutes: (performance.now() - startedAt) / 60_000,
  })
  const page = reportPage({
    experiment: result,
    pairs: data.test ?? data.validation,
    about,
    frameOf: framesOf(options.test ?? options.validation),
  })
  await writeFile(join(options.out, 'report.md'), `${about.join('\n')}\n\n${text}`)
  await writeFile(join(options.out, 'report.json'), `${JSON.stringify(summaryOf(result), null, 2)}\n`)
  await writeFile(join(options.out, 'report.html'), page)
  say(text)
  for (const line of about) say(line)
  say(`The report: ${join(options.out, 'report.html')}`)
}

function noteOf({ running, runsLeft }: RunProgress): string {
  return `${running.join('; ')}${runsLeft > running.length ? `; ${runsLeft - running.length} more` : ''}`
}

function aboutLines(
  { set, leftOut, runs, kept, cpuSeconds }: Experiment,
  { training, validation, test }: RunData,
  { words, minutes }: { words: string; minutes: number },
): string[] {
  const counts = `${training.count} training pairs, ${validation.count} validation pairs`
  const lines = [
    test === undefined
      ? `${counts}, which are measured too: they stopped training and tuned a, which flatters.`
      : `${counts}, ${test.count} test pairs, which are measured and had no say in anything.`,
    training.texts === undefined
      ? 'The pairs have no words.'
      : `Words are those of the pairs, encoded by ${words}. Texts by other methods: cuestream evaluate texts.`,
    `${runs} runs, ${kept} of them kept from before: ${(cpuSeconds / 60).toFixed(1)} minutes of CPU time in all, ${minutes.toFixed(1)} minutes this time.`,
  ]
  if (leftOut.length > 0)
    lines.push(`Pools of ${leftOut.join(' and ')} are larger than the ${set} pairs and were left out.`)
  return lines
}
