/**
 * Hears a folder of music through analyse-music's stages, with no broker: decoder, tagger, DSP, tags by segment. What was
 * heard is kept in a file, so that the same command goes on where it was stopped.
 */
import { appendFile, readdir, readFile, stat, truncate } from 'node:fs/promises'
import { extname, join, relative, resolve } from 'node:path'
import type { MusicEncoder } from '../../ports/encoder.ts'
import { InvalidRecordError, InvalidRequestError } from '../../ports/errors.ts'
import type { MediaDecoder } from '../../ports/media.ts'
import type { Stretch } from '../../processors/analyse-music/aggregate.ts'
import { type AnalyseMusicDeps, listen } from '../../processors/analyse-music/analyse-music.ts'
import { musicFeatureEncoder } from '../../processors/analyse-music/feature-encoder.ts'
import { hearMusic } from '../../processors/analyse-music/tagging.ts'

const AUDIO = ['.aac', '.flac', '.m4a', '.mp3', '.oga', '.ogg', '.opus', '.wav']
/** Below this there is too little to hear, such as a jingle. */
const LEAST_SECONDS = 10

export interface HeardFile {
  /** From the folder on, with forward slashes. */
  readonly file: string
  readonly segments: readonly Stretch[]
  /** (segments, tags) row-major. */
  readonly bySegment: Float32Array
  readonly whole: Float32Array
}

export interface HeardFolder {
  readonly heard: readonly HeardFile[]
  readonly leftOut: readonly { readonly file: string; readonly why: string }[]
}

type Tools = Pick<AnalyseMusicDeps, 'decoder' | 'hearing'> & { readonly musicEncoder: MusicEncoder }

export interface HearOptions {
  readonly folder: string
  /** At most this much of each file, from its beginning. */
  readonly seconds: number
  /** Files at a time. */
  readonly jobs: number
  /** Keeps what was heard: one line of JSON a file. */
  readonly cache: string
  readonly onProgress: (done: number, total: number, file: string) => void
}

/** @throws InvalidRequestError 'no-music' without any audio file. */
export async function hearFolder(tools: Tools, options: HearOptions): Promise<HeardFolder> {
  const { folder, seconds, jobs, cache, onProgress } = options
  const files = await audioFiles(folder)
  if (files.length === 0) {
    throw new InvalidRequestError('no-music', `There is no music in ${folder}: files of ${AUDIO.join(', ')}.`)
  }
  const encoder = musicFeatureEncoder(tools.musicEncoder, tools.hearing).sha256
  const kept = await readKept(cache)
  const results = new Map<string, Kept>()
  const waiting = files[Symbol.iterator]()
  const work = async () => {
    for (const file of waiting) {
      const path = join(folder, file)
      const { size, mtimeMs } = await stat(path)
      const key = JSON.stringify([resolve(path), size, mtimeMs, seconds, encoder])
      let result = kept.get(key)
      if (result === undefined) {
        result = { key, ...(await hearFile(path, seconds, tools)) }
        await appendFile(cache, `${JSON.stringify(result)}\n`)
      }
      results.set(file, result)
      onProgress(results.size, files.length, file)
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
  const inOrder = files.map((file) => ({ file, result: results.get(file)! }))
  return {
    heard: inOrder.flatMap(({ file, result }) => {
      if (result.why !== undefined) return []
      const { segments, bySegment, whole } = result
      return [{ file, segments, bySegment: Float32Array.from(bySegment), whole: Float32Array.from(whole) }]
    }),
    leftOut: inOrder.flatMap(({ file, result }) => (result.why === undefined ? [] : [{ file, why: result.why }])),
  }
}

type Kept = { readonly key: string } & (
  | { readonly why: string }
  | {
      readonly why?: undefined
      readonly segments: readonly Stretch[]
      readonly bySegment: readonly number[]
      readonly whole: readonly number[]
    }
)

async function hearFile(path: string, seconds: number, { decoder, musicEncoder, hearing }: Tools) {
  const signal = new AbortController().signal
  try {
    const listened = await listen(path, { decoder: beginningOf(decoder, seconds), musicEncoder }, signal)
    const { descriptors } = listened
    if (descriptors.silent) return { why: 'silent' }
    if (descriptors.seconds < LEAST_SECONDS) return { why: `shorter than ${LEAST_SECONDS} s` }
    const { track, segments, features } = hearMusic({ ...listened, hearing })
    return {
      segments: descriptors.segments
        .slice(0, features.segments)
        .map(({ startSeconds, seconds: length }) => ({ startSeconds, seconds: length })),
      bySegment: [...segments],
      whole: [...track],
    }
  } catch (error) {
    if (error instanceof InvalidRecordError) return { why: error.code }
    throw error
  }
}

function beginningOf(decoder: MediaDecoder, seconds: number): MediaDecoder {
  return {
    ...decoder,
    async *samples(path, options) {
      let left = Math.round(seconds * options.sampleRateHz)
      for await (const chunk of decoder.samples(path, options)) {
        yield chunk.subarray(0, left)
        left -= chunk.length
        if (left <= 0) return
      }
    },
  }
}

async function audioFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((cause) => {
    throw new InvalidRequestError('no-folder', `There is no folder ${folder} (--music).`, { cause })
  })
  return entries
    .filter((entry) => entry.isFile() && AUDIO.includes(extname(entry.name).toLowerCase()))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort()
}

/** A last line that was cut short is heard again. */
async function readKept(cache: string): Promise<ReadonlyMap<string, Kept>> {
  const text = await readFile(cache, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole.length < text.length) await truncate(cache, Buffer.byteLength(whole))
  const kept = new Map<string, Kept>()
  for (const line of whole.split('\n').filter((one) => one !== '')) {
    const one = JSON.parse(line) as Kept
    kept.set(one.key, one)
  }
  return kept
}
