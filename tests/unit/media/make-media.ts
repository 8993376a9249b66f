/** Media made by ffmpeg itself for tests. */
import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findFfmpeg } from '../../../adapters/media/find-ffmpeg.ts'
import type { FrameBatch, MediaDecoder } from '../../../ports/media.ts'

const run = promisify(execFile)

/** What a user gets; CUESTREAM_FFMPEG and CUESTREAM_FFPROBE run the same tests on another build. */
export const binaries = await findFfmpeg({
  ffmpegPath: process.env.CUESTREAM_FFMPEG,
  ffprobePath: process.env.CUESTREAM_FFPROBE,
  searchPath: process.env.PATH ?? '',
  cacheFolder: join(tmpdir(), 'cuestream-test-cache'),
})

/** Our own arguments on our own files: none of the locks of the decoder. @returns standard output. */
export async function ffmpeg(...argv: string[]): Promise<Buffer> {
  const options = { encoding: 'buffer', maxBuffer: 2 ** 28 } as const
  return (await run(binaries.ffmpeg.path, ['-v', 'error', '-nostdin', '-y', ...argv], options)).stdout
}

/** `seconds` of a moving test picture. */
export const picture = (seconds: number, size = '64x48', rate = 12) =>
  ['-f', 'lavfi', '-i', `testsrc=size=${size}:rate=${rate}:duration=${seconds}`] as const

export const tone = (seconds: number) =>
  ['-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=16000:duration=${seconds}`] as const

export const silence = (seconds: number) =>
  ['-f', 'lavfi', '-i', `anullsrc=sample_rate=16000:channel_layout=mono`, '-t', `${seconds}`] as const

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

export const readFrames = (decoder: MediaDecoder, path: string): Promise<FrameBatch[]> =>
  collect(decoder.frames(path, { framesPerSecond: 6, framesPerBatch: 10 }))

export const readSamples = (decoder: MediaDecoder, path: string): Promise<Float32Array[]> =>
  collect(decoder.samples(path, { sampleRateHz: 16_000, samplesPerChunk: 4_000 }))

export const frameCount = (batches: readonly FrameBatch[]) => batches.reduce((sum, { count }) => sum + count, 0)

export const sampleCount = (chunks: readonly Float32Array[]) => chunks.reduce((sum, { length }) => sum + length, 0)
