/** Finds from which confidence a tag is claimed, category by category, and writes the report. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ffmpegDecoder } from '../../adapters/media/ffmpeg-decoder.ts'
import { findFfmpeg } from '../../adapters/media/find-ffmpeg.ts'
import { InvalidRequestError } from '../../ports/errors.ts'
import { aggregate } from '../../processors/analyse-music/aggregate.ts'
import { type Hearing, hearingOf } from '../../processors/analyse-music/hearing.ts'
import { tagsOfAspects } from '../../processors/describe-music/aspects.ts'
import { markdownTable } from '../../trainer/evaluation/report/markdown.ts'
import { type HeardTrack, measureTags } from '../../trainer/evaluation/tags/measure-tags.ts'
import { labelCells, tagMarkdown, tagReport, thresholdCells } from '../../trainer/evaluation/tags/tag-report.ts'
import type { OpenContext } from '../context.ts'
import { progressBar, say } from '../terminal.ts'
import { readCaptions } from './caption-rows.ts'
import { type HeardFile, type HeardFolder, type HearOptions, hearFolder } from './heard-music.ts'
import { openProfile } from './profile.ts'
import { type LabelsOf, readTagLabels } from './tag-labels.ts'

export interface TagsOptions {
  readonly music: string
  readonly captions: string
  readonly labels?: string
  /** A folder of music that is measured at the thresholds found, and has no say in them. */
  readonly heldOut?: string
  readonly seconds: number
  readonly jobs: number
  readonly out: string
}

/** Lengths of clips from the middle of what was heard. */
const CLIPS = [10, 30]

export async function evaluateTags(open: OpenContext, options: TagsOptions): Promise<void> {
  const { config } = open({ logLevel: 'warn' })
  const { rows, bad } = await readCaptions(options.captions)
  const labelsOf = await labelsIn(options.labels)
  await mkdir(options.out, { recursive: true })
  const binaries = await findFfmpeg({
    ffmpegPath: config.ffmpeg,
    ffprobePath: config.ffprobe,
    searchPath: process.env.PATH ?? '',
    cacheFolder: join(options.out, 'ffmpeg'),
  })
  const profile = await openProfile(config)
  try {
    const { musicEncoder } = profile
    const hearing = hearingOf(musicEncoder)
    const tools = { decoder: ffmpegDecoder(binaries), musicEncoder, hearing }
    const hear = async (folder: string) => {
      const bar = progressBar(`Heard of ${folder}`, 0)
      const heard = await hearFolder(tools, {
        ...options,
        folder,
        cache: join(options.out, 'heard.jsonl'),
        onProgress: (done, total, file) => bar.update(done, file, total),
      } satisfies HearOptions)
      bar.stop()
      return heard
    }
    const music = await hear(options.music)
    const heldOut = options.heldOut === undefined ? undefined : await hear(options.heldOut)
    if (music.heard.length === 0) {
      throw new InvalidRequestError('no-music', `Nothing in ${options.music} can be heard: ${countedReasons(music)}.`)
    }
    const named = rows.map(({ aspects }) => tagsOfAspects(aspects))
    const measured = measureTags({
      columns: hearing.tags,
      tracks: music.heard.map((file) => trackOf(file, hearing, labelsOf)),
      heldOut: heldOut?.heard.map((file) => trackOf(file, hearing, labelsOf)) ?? [],
      named,
      before: hearing.thresholds,
    })
    const about = [
      `Tagger ${musicEncoder.id}, ${hearing.tags.length} tags that it can hear. ${rows.length} descriptions${bad.length > 0 ? `, ${bad.length} rows could not be read` : ''}.`,
      `${music.heard.length} pieces, at most ${options.seconds} s of each: ${groupsOf(music.heard)}. ${leftOutOf(music)}`,
      ...(heldOut === undefined ? [] : [`Held out: ${heldOut.heard.length} pieces. ${leftOutOf(heldOut)}`]),
    ].map((line) => line.trim())
    await writeFile(join(options.out, 'report.md'), tagMarkdown(measured, about))
    await writeFile(join(options.out, 'report.html'), tagReport(measured, about))
    await writeFile(join(options.out, 'report.json'), `${JSON.stringify({ about, categories: measured }, null, 1)}\n`)
    for (const line of about) say(line)
    say(`\n${markdownTable(thresholdCells(measured))}`)
    const labelled = labelCells(measured)
    if (labelled.length > 1) say(`\n${markdownTable(labelled)}`)
    say('\nFor "thresholds" of the mapping:')
    say(JSON.stringify(Object.fromEntries(measured.map(({ category, threshold }) => [category, threshold]))))
    say(`\n${join(options.out, 'report.html')}`)
  } finally {
    await profile.dispose()
  }
}

async function labelsIn(path: string | undefined): Promise<LabelsOf> {
  if (path === undefined) return () => undefined
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new InvalidRequestError('no-file', `The labels ${path} cannot be read: ${cause.message}.`, { cause })
  })
  return readTagLabels(text, path)
}

function trackOf({ file, segments, bySegment, whole }: HeardFile, { tags }: Hearing, labelsOf: LabelsOf): HeardTrack {
  const last = segments.at(-1)
  const length = last === undefined ? 0 : last.startSeconds + last.seconds
  const labels = labelsOf(file)
  const clips = CLIPS.map((seconds) => {
    const stretch = { startSeconds: Math.max(0, (length - seconds) / 2), seconds }
    const confidences = segments.length === 0 ? new Float32Array(tags.length) : aggregate(bySegment, segments, stretch)
    return [`${seconds} s`, confidences] as const
  })
  return {
    name: file,
    group: groupOf(file),
    whole,
    clips: Object.fromEntries(clips),
    ...(labels === undefined ? {} : { labels }),
  }
}

const groupOf = (file: string) => (file.includes('/') ? file.slice(0, file.indexOf('/')) : '')

function groupsOf(heard: readonly HeardFile[]): string {
  const counts = new Map<string, number>()
  for (const { file } of heard) counts.set(groupOf(file), (counts.get(groupOf(file)) ?? 0) + 1)
  return [...counts].map(([group, count]) => `${group || 'the folder itself'} ${count}`).join(', ')
}

function leftOutOf(folder: HeardFolder): string {
  return folder.leftOut.length === 0 ? '' : `Left out: ${countedReasons(folder)}.`
}

function countedReasons({ leftOut }: HeardFolder): string {
  const counts = new Map<string, number>()
  for (const { why } of leftOut) counts.set(why, (counts.get(why) ?? 0) + 1)
  return [...counts].map(([why, count]) => `${count} ${why}`).join(', ')
}
