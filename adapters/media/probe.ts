import { z } from 'zod'
import type { MediaInfo } from '../../ports/media.ts'
import { inputArguments } from './arguments.ts'
import { decodersToProbe } from './codecs.ts'
import type { FfmpegBinaries } from './find-ffmpeg.ts'
import type { DecoderLimits } from './limits.ts'
import { type Exit, startLocked } from './locked-process.ts'
import { MediaError } from './media-error.ts'
import type { MediaFile } from './media-file.ts'

/** ffprobe -of json; numbers that may be absent come as strings. */
const probeOutput = z.object({
  streams: z
    .array(
      z.object({
        index: z.number().int().nonnegative(),
        codec_type: z.string().optional(),
        codec_name: z.string().default('unknown'),
        width: z.number().int().default(0),
        height: z.number().int().default(0),
        sample_rate: z.coerce.number().default(0),
        channels: z.number().int().default(0),
        disposition: z.object({ attached_pic: z.number().default(0), default: z.number().default(0) }).optional(),
      }),
    )
    .default([]),
  format: z.object({ duration: z.coerce.number().nonnegative().optional().catch(undefined) }).optional(),
})

type ProbedStream = z.infer<typeof probeOutput>['streams'][number]

const entries =
  'format=duration:stream=index,codec_type,codec_name,width,height,sample_rate,channels:stream_disposition=attached_pic,default'
const maxOutputBytes = 1024 ** 2

/** What a file holds, with the indexes of the streams to decode. */
export interface Probed {
  readonly info: MediaInfo
  readonly videoIndex: number | undefined
  readonly audioIndex: number | undefined
}

/** @throws MediaError */
export async function probeFile(
  file: MediaFile,
  binaries: FfmpegBinaries,
  limits: DecoderLimits,
  signal?: AbortSignal,
): Promise<Probed> {
  signal?.throwIfAborted()
  const process = startLocked({
    binary: binaries.ffprobe.path,
    argv: [...inputArguments(file, decodersToProbe, limits), '-show_entries', entries, '-of', 'json'],
    prlimit: binaries.prlimit,
    maxMemoryBytes: limits.maxMemoryBytes,
    maxCpuSeconds: limits.probeTimeoutMs / 1000,
  })
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    process.stop()
  }, limits.probeTimeoutMs)
  signal?.addEventListener('abort', process.stop)
  const chunks: Buffer[] = []
  let bytes = 0
  process.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maxOutputBytes) process.stop()
    else chunks.push(chunk)
  })
  let exit: Exit
  try {
    exit = await process.ended
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', process.stop)
  }
  signal?.throwIfAborted()
  if (timedOut) throw new MediaError('media-timeout', `the file could not be read in ${limits.probeTimeoutMs} ms`)
  if (exit.code !== 0) throw unsupportedCodec(exit) ?? unreadable(exit)
  const output = probeOutput.safeParse(parseJson(Buffer.concat(chunks).toString('utf8')))
  if (!output.success) throw new MediaError('media-unreadable', 'the file cannot be read', { cause: output.error })
  return describe(output.data, file, limits, exit)
}

function describe(output: z.infer<typeof probeOutput>, file: MediaFile, limits: DecoderLimits, exit: Exit): Probed {
  // A cover in a song is a picture, not a video.
  const video = firstChoice(output.streams.filter((s) => s.codec_type === 'video' && !s.disposition?.attached_pic))
  const audio = firstChoice(output.streams.filter((s) => s.codec_type === 'audio'))
  if (!video && !audio) throw new MediaError('media-format', 'the file holds neither sound nor pictures')
  if (video) checkPixels(video, limits, exit)
  return {
    info: {
      durationSeconds: output.format?.duration,
      container: file.demuxer,
      video: video && { codec: video.codec_name, width: video.width, height: video.height },
      audio: audio && { codec: audio.codec_name, sampleRateHz: audio.sample_rate, channels: audio.channels },
    },
    videoIndex: video?.index,
    audioIndex: audio?.index,
  }
}

const firstChoice = (streams: readonly ProbedStream[]) =>
  streams.find((stream) => stream.disposition?.default === 1) ?? streams[0]

function checkPixels({ width, height }: ProbedStream, limits: DecoderLimits, exit: Exit): void {
  const refused = width === 0 ? refusedPictureSize(exit) : undefined
  const [w, h] = refused ?? [width, height]
  if (refused || w > limits.maxSidePixels || h > limits.maxSidePixels || w * h > limits.maxPixels) {
    throw tooManyPixels(w, h, limits)
  }
}

export function tooManyPixels(width: number, height: number, limits: DecoderLimits): MediaError {
  return new MediaError(
    'media-too-many-pixels',
    `the pictures are ${width} × ${height} pixels; at most ${limits.maxSidePixels} a side and ${limits.maxPixels} in all are allowed`,
  )
}

/** The decoders' own limit leaves no other trace than this line (libavutil/imgutils.c, av_image_check_size2). */
export function refusedPictureSize({ stderr }: Exit): readonly [width: number, height: number] | undefined {
  const match = /Picture size (\d{1,10})x(\d{1,10}) (?:is invalid|exceeds)/.exec(stderr)
  return match ? [Number(match[1]), Number(match[2])] : undefined
}

function unsupportedCodec({ stderr }: Exit): MediaError | undefined {
  const codec = /Codec \((\w+)\) not on whitelist/.exec(stderr)?.[1]
  return codec === undefined ? undefined : new MediaError('media-format', `the codec ${codec} is not supported`)
}

export function unreadable(exit: Exit): MediaError {
  return new MediaError('media-unreadable', 'the file is damaged, or not what it looks like, and cannot be decoded', {
    cause: new Error(`exit ${exit.code ?? exit.signal}: ${exit.stderr.trim()}`),
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
