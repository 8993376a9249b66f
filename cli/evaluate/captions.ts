/** Measures descriptions by each method beside captions of people, and writes the report. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { seededRandom, shuffled } from '../../model/random.ts'
import type { TextEncoder } from '../../ports/encoder.ts'
import { InvalidRequestError } from '../../ports/errors.ts'
import { tagsOfAspects } from '../../processors/describe-music/aspects.ts'
import { encodeTexts } from '../../trainer/data/encode-texts.ts'
import { captionReport } from '../../trainer/evaluation/captions/caption-report.ts'
import type { CaptionSet } from '../../trainer/evaluation/captions/caption-set.ts'
import { captionMarkdown, captionSummary } from '../../trainer/evaluation/captions/caption-tables.ts'
import { type MeasuredCaptions, measureCaptions } from '../../trainer/evaluation/captions/measure-captions.ts'
import type { OpenContext } from '../context.ts'
import { type Progress, progressBar, say } from '../terminal.ts'
import { type CaptionRows, readCaptions } from './caption-rows.ts'
import { setOfPeople, setsOfWriters, type TaggedCaption } from './caption-sets.ts'
import { type CaptionMethod, type OpenWriters, openWriters } from './open-writers.ts'
import { openProfile } from './profile.ts'
import { categories, categoryOf, readTags } from './read-tags.ts'

export interface CaptionsOptions {
  readonly captions: string
  readonly methods: readonly CaptionMethod[]
  readonly limit?: number
  readonly pool: readonly number[]
  readonly seed: number
  readonly out: string
}

export async function evaluateCaptions(open: OpenContext, options: CaptionsOptions): Promise<void> {
  const context = open({ logLevel: 'warn' })
  const { config } = context
  const read = await readCaptions(options.captions)
  const opened = await openWriters(context, options)
  try {
    const profile = await openProfile(config)
    try {
      await evaluateWriters({ ...opened, read, textEncoder: profile.textEncoder }, options)
    } finally {
      await profile.dispose()
    }
  } finally {
    await opened.close()
  }
}

export interface Evaluated extends Pick<OpenWriters, 'writers' | 'notes' | 'examples'> {
  readonly read: CaptionRows
  readonly textEncoder: TextEncoder
}

/** Bad rows that are told one by one. */
const SAID = 20

/** Writes `report.html`, `report.md`, `report.json` and `texts.jsonl`. @throws InvalidRequestError 'no-captions' */
export async function evaluateWriters(
  evaluated: Evaluated,
  options: Omit<CaptionsOptions, 'methods'>,
): Promise<MeasuredCaptions> {
  const { read, writers, textEncoder } = evaluated
  const startedAt = performance.now()
  const { rows, tagged } = taggedRows(read, options)
  await mkdir(options.out, { recursive: true })
  const { sets, generators } = await setsOfWriters(writers, rows, readTags)
  const measured = await measure(rows, sets, textEncoder, options)
  const about = [
    ...aboutRows(rows, tagged, evaluated, options),
    `Tags are those of the vocabulary that people's aspects name, all taken for certain. Texts by ${generators.join(', ') || 'nobody'}, seed ${options.seed}. Embeddings by ${textEncoder.id}.`,
    ...evaluated.notes,
    ...(measured.leftOut.length === 0
      ? []
      : [`Pools of ${measured.leftOut.join(' and ')} are larger than the ${rows.length} captions and were left out.`]),
    `${((performance.now() - startedAt) / 60_000).toFixed(1)} minutes.`,
  ]
  const text = captionMarkdown(measured)
  const summary = JSON.stringify({ about, ...captionSummary(measured) }, null, 2)
  const lines = rows.map((row, track) => JSON.stringify(lineOf(row, track, measured)))
  for (const [name, content] of [
    ['report.md', `${about.join('\n')}\n\n${text}`],
    ['report.json', `${summary}\n`],
    ['texts.jsonl', `${lines.join('\n')}\n`],
    ['report.html', captionReport(measured, about)],
  ] as const) {
    await writeFile(join(options.out, name), content)
  }
  say(text)
  for (const { line, reason } of read.bad.slice(0, SAID)) say(`Not read: line ${line}: ${reason}`)
  if (read.bad.length > SAID) say(`Not read: ${read.bad.length - SAID} more.`)
  for (const line of about) say(line)
  say(`The report: ${join(options.out, 'report.html')}`)
  return measured
}

/** @returns those that are measured, in the order of the file, and how many have tags at all. */
function taggedRows({ rows: read }: CaptionRows, { limit, seed }: Pick<CaptionsOptions, 'limit' | 'seed'>) {
  const usable = read
    .map((row): TaggedCaption => ({ ...row, tags: tagsOfAspects(row.aspects) }))
    .filter(({ tags }) => tags.length > 0)
  if (usable.length === 0) {
    throw new InvalidRequestError('no-captions', `None of the ${read.length} rows has a tag of the vocabulary.`)
  }
  const chosen = new Set(shuffled(usable, seededRandom(`rows/${seed}`)).slice(0, limit))
  return { rows: usable.filter((row) => chosen.has(row)), tagged: usable.length }
}

async function measure(
  rows: readonly TaggedCaption[],
  sets: readonly CaptionSet[],
  encoder: TextEncoder,
  { out, pool, seed }: Pick<CaptionsOptions, 'out' | 'pool' | 'seed'>,
): Promise<MeasuredCaptions> {
  let bar: Progress | undefined
  const measured = await measureCaptions({
    tracks: rows.map(({ id, tags }) => ({ id, tags: tags.map(({ tag }) => tag) })),
    people: setOfPeople(rows),
    sets,
    categories,
    categoryOf,
    async encode(texts) {
      const encoding = progressBar('Texts encoded', texts.length)
      const cacheFolder = join(out, 'texts')
      const vectors = await encodeTexts(texts, encoder, {
        cacheFolder,
        onProgress: (done) => encoding.update(done, ''),
      })
      encoding.stop()
      return vectors
    },
    dims: encoder.dims,
    poolSizes: pool,
    seed,
    onProgress(done, all, note) {
      bar ??= progressBar('Writers measured', all)
      bar.update(done, note)
    },
  })
  bar?.stop()
  return measured
}

function aboutRows(
  rows: readonly TaggedCaption[],
  tagged: number,
  { read, examples }: Evaluated,
  { captions, seed }: Pick<CaptionsOptions, 'captions' | 'seed'>,
): string[] {
  const drawn = rows.length < tagged ? `, drawn from ${tagged} by seed ${seed}` : ''
  const without = `${read.rows.length - tagged} rows without a tag of the vocabulary`
  const isExample = new Set(examples)
  const shown = rows.filter(({ caption }) => isExample.has(caption)).length
  return [
    `${rows.length} captions of people in ${captions}${drawn}; ${without} and ${read.bad.length} that cannot be read were left out.`,
    ...(shown === 0 ? [] : [`${shown} of the captions are among the examples of prompts, which flatters prompt2text.`]),
  ]
}

function lineOf(row: TaggedCaption, track: number, { rows: [people, ...others] }: MeasuredCaptions): object {
  return {
    id: row.id,
    tags: row.tags.map(({ tag }) => tag),
    aspects: row.aspects,
    human: people!.set.texts[track],
    methods: Object.fromEntries(others.map(({ set }) => [set.id, set.texts[track] ?? null])),
  }
}
