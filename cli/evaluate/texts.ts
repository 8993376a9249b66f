/**
 * Trains the same models on the same pairs with texts by each method, asks each with every text, and writes the report.
 * The tags of a pair are those that its music labels name (tagsOfAspects); `labels` are the labels as they are.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pairsFromFiles } from '../../trainer/data/pairs-from-files.ts'
import { textMarkdown, textReport } from '../../trainer/evaluation/report/text-report.ts'
import { textExperiment, type Wording } from '../../trainer/evaluation/text-experiment.ts'
import type { OpenContext } from '../context.ts'
import { type Progress, progressBar, say } from '../terminal.ts'
import { type CaptionMethod, openWriters } from './open-writers.ts'
import { openProfile } from './profile.ts'
import { readTrainConfig } from './read-train-config.ts'
import { Wordings } from './wordings.ts'

export interface TextsOptions {
  readonly train: string
  readonly validation: string
  readonly methods: readonly CaptionMethod[]
  readonly pool: number
  readonly seeds: number
  readonly seed: number
  /** Wordings of each pair's text. */
  readonly variants: number
  readonly recipe: string
  readonly jobs: number
  readonly out: string
}

export async function evaluateTexts(open: OpenContext, options: TextsOptions): Promise<void> {
  const context = open({ logLevel: 'warn' })
  const { config } = context
  const recipe = await readTrainConfig(options.recipe)
  const startedAt = performance.now()
  const opened = await openWriters(context, options)
  const profile = await openProfile(config).catch(async (error) => {
    await opened.close()
    throw error
  })
  const wordings: Wording[] = []
  const words = opened.writers.map((writer) => new Wordings(writer))
  try {
    for (const by of [undefined, ...words]) {
      const id = by?.method ?? 'labels'
      const bar = progressBar(`Words by ${id}`, 0)
      const read = (folder: string) =>
        pairsFromFiles(folder, {
          textEncoder: profile.textEncoder,
          variants: options.variants,
          cacheFolder: join(options.out, 'texts'),
          onProgress: (done, all) => bar.update(done, folder, all),
          ...(by === undefined ? {} : { wording: (labels, _, variant) => by.word(labels, variant) }),
        })
      wordings.push({ id, training: await read(options.train), validation: await read(options.validation) })
      bar.stop()
    }
  } finally {
    await profile.dispose()
    await opened.close()
  }
  await mkdir(options.out, { recursive: true })
  let bar: Progress | undefined
  let shown = ''
  const result = await textExperiment({
    recipe,
    wordings,
    seeds: options.seeds,
    poolSize: options.pool,
    jobs: options.jobs,
    folder: join(options.out, 'runs'),
    onProgress(trainedOn, { done, all, running }) {
      if (trainedOn !== shown) {
        bar?.stop()
        bar = progressBar(`Epochs on ${trainedOn}`, all)
        shown = trainedOn
      }
      bar!.update(done, running.join('; '), all)
    },
  })
  bar?.stop()
  const { training, validation } = wordings[0]!
  const about = [
    `${training.count} training pairs, ${validation.count} validation pairs, which are measured too: they stopped training, which flatters. Pools of ${options.pool}, ${options.seeds} trainings of each model.`,
    'labels are the music labels of a pair as they are; the other texts are made from the tags of the vocabulary that they name.',
    ...words.map((by) => by.about()),
    ...opened.notes,
    `${(result.cpuSeconds / 60).toFixed(1)} minutes of CPU time in training, ${((performance.now() - startedAt) / 60_000).toFixed(1)} minutes in all.`,
  ]
  const text = textMarkdown(result)
  await writeFile(join(options.out, 'report.md'), `${about.join('\n')}\n\n${text}`)
  await writeFile(join(options.out, 'report.html'), textReport(result, about))
  await writeFile(
    join(options.out, 'texts.json'),
    `${JSON.stringify(
      words.map((by) => by.all()),
      null,
      2,
    )}\n`,
  )
  say(text)
  for (const line of about) say(line)
  say(`The report: ${join(options.out, 'report.html')}`)
}
