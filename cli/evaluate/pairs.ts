/** Trains and measures every model of the paper's tables on an operator's pairs; prints the tables and writes the report. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pairsFromFiles } from '../../trainer/data/pairs-from-files.ts'
import { type Experiment, experiment, type RunProgress } from '../../trainer/evaluation/experiments.ts'
import { type TableId, tablesOf } from '../../trainer/evaluation/methods.ts'
import { markdownOf } from '../../trainer/evaluation/report/markdown.ts'
import type { OpenContext } from '../context.ts'
import { repository } from '../paths.ts'
import { progressBar, say } from '../terminal.ts'
import { openProfile } from './profile.ts'
import { readTrainConfig } from './read-train-config.ts'

export interface PairsOptions {
  readonly train: string
  readonly validation: string
  readonly test?: string
  readonly pool: readonly number[]
  readonly seeds: number
  readonly only: readonly TableId[]
  readonly recipe?: string
  readonly jobs: number
  readonly out: string
}

export async function evaluatePairs(open: OpenContext, options: PairsOptions): Promise<void> {
  const { config } = open({ logLevel: 'warn' })
  const recipe = await readTrainConfig(options.recipe ?? join(repository, 'trainer', 'configs', 'video-level.json'))
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
  let data: Parameters<typeof experiment>[0]['data']
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
  await writeFile(join(options.out, 'report.md'), text)
  say(text)
  say(closing(result, (performance.now() - startedAt) / 60_000))
}

function noteOf({ running, runsLeft }: RunProgress): string {
  return `${running.join('; ')}${runsLeft > running.length ? `; ${runsLeft - running.length} more` : ''}`
}

function closing({ leftOut, runs, kept, cpuSeconds }: Experiment, minutes: number): string {
  const lines = [
    `${runs} runs, ${kept} of them kept from before; ${(cpuSeconds / 60).toFixed(1)} minutes of CPU time, ${minutes.toFixed(1)} of wall time now.`,
  ]
  if (leftOut.length > 0) lines.push(`Pools of ${leftOut.join(', ')} are larger than the pairs and were left out.`)
  return lines.join('\n')
}
