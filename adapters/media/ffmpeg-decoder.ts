/**
 * MediaDecoder on ffmpeg, for hostile files.
 *
 *     file ──▶ inspect ──▶ ffprobe ──▶ ffmpeg ──▶ frames | samples
 *
 *   [sniffed]   the container is read from the first bytes and forced (container.ts); only allowed decoders run (codecs.ts)
 *   [file-only] the one protocol is `file`, the one file is the one given; there is no network
 *   [bounded]   duration, pixels, memory and time are limited (limits.ts); output is read only as fast as it is consumed
 *   [cleaned]   however a stream ends, its process is gone and reaped before the iterator is done
 *
 * Samples are little endian, as on every platform that Node runs on.
 */
import type { FrameBatch, MediaDecoder } from '../../ports/media.ts'
import { inputArguments } from './arguments.ts'
import { decodersToDecode } from './codecs.ts'
import type { FfmpegBinaries } from './find-ffmpeg.ts'
import { type DecoderLimits, defaultDecoderLimits } from './limits.ts'
import { type Exit, startLocked } from './locked-process.ts'
import { MediaError } from './media-error.ts'
import { inspectMediaFile, type MediaFile } from './media-file.ts'
import { type Probed, probeFile, refusedPictureSize, tooManyPixels, unreadable } from './probe.ts'

/** Width and height of a frame, in pixels. */
const frameSide = 224
const frameBytes = frameSide * frameSide * 3
const sampleBytes = Float32Array.BYTES_PER_ELEMENT
/**
 * Below any real recording. At 1 Hz a packet of 4 KiB resamples to an hour of sound at once: 1.5 GB in the decoder, and
 * an hour of analysis, for a file of a few KiB.
 */
const minSampleRateHz = 1_000
/** Files of floats may hold anything, not a number included. As far as this come those on the scale of integers. */
const maxSample = 2 ** 31

export function ffmpegDecoder(binaries: FfmpegBinaries, overrides: Partial<DecoderLimits> = {}): MediaDecoder {
  const limits = { ...defaultDecoderLimits, ...overrides }

  async function look(path: string, signal: AbortSignal | undefined): Promise<Probed & { file: MediaFile }> {
    const file = await inspectMediaFile(path, limits.maxFileBytes)
    return { file, ...(await probeFile(file, binaries, limits, signal)) }
  }

  return {
    async probe(path, signal) {
      return (await look(path, signal)).info
    },

    async *frames(path, { framesPerSecond, framesPerBatch, signal }): AsyncGenerator<FrameBatch> {
      const { file, videoIndex, info } = await look(path, signal)
      if (videoIndex === undefined) throw new MediaError('media-no-video', 'the file has sound but no pictures')
      // Pass the last frame on: a video shorter than one step still gives a frame. The picture is squashed, not cropped;
      // swscale's bilinear widens its filter when it shrinks, so there is no aliasing.
      const filter = `fps=${framesPerSecond}:eof_action=pass,scale=${frameSide}:${frameSide}:flags=bilinear`
      const argv = [
        ...inputArguments(file, decodersToDecode, limits),
        ...['-map', `0:${videoIndex}`, '-an', '-sn', '-dn', '-map_metadata', '-1', '-vf', filter],
        ...['-pix_fmt', 'rgb24', '-c:v', 'rawvideo', '-f', 'rawvideo', 'pipe:1'],
      ]
      let count = 0
      const output = decode(binaries, limits, argv, {
        chunkBytes: framesPerBatch * frameBytes,
        unitBytes: frameBytes,
        bytesPerSecond: framesPerSecond * frameBytes,
        signal,
        none: () =>
          new MediaError('media-no-video', `the video has no pictures that can be decoded (${info.video?.codec})`),
      })
      for await (const pixels of output) {
        const frames = pixels.length / frameBytes
        yield { pixels, count: frames, startSeconds: count / framesPerSecond }
        count += frames
      }
    },

    async *samples(path, { sampleRateHz, samplesPerChunk, signal }): AsyncGenerator<Float32Array> {
      const { file, audioIndex, info } = await look(path, signal)
      if (audioIndex === undefined) throw new MediaError('media-no-audio', 'the file has pictures but no sound')
      if (info.audio !== undefined && info.audio.sampleRateHz < minSampleRateHz) {
        throw new MediaError('media-no-audio', `${info.audio.sampleRateHz} samples a second are no sound`)
      }
      // The mean of the channels: left to itself, ffmpeg mixes floats at equal power, and a mono sound on both sides gains 3 dB.
      const filter = `aresample=${sampleRateHz}:rematrix_maxval=1,aformat=sample_fmts=flt:channel_layouts=mono`
      const argv = [
        ...inputArguments(file, decodersToDecode, limits),
        ...['-map', `0:${audioIndex}`, '-vn', '-sn', '-dn', '-map_metadata', '-1', '-af', filter],
        ...['-c:a', 'pcm_f32le', '-f', 'f32le', 'pipe:1'],
      ]
      const output = decode(binaries, limits, argv, {
        chunkBytes: samplesPerChunk * sampleBytes,
        unitBytes: sampleBytes,
        bytesPerSecond: sampleRateHz * sampleBytes,
        signal,
        none: () =>
          new MediaError('media-no-audio', `the file has no sound that can be decoded (${info.audio?.codec})`),
      })
      for await (const bytes of output) {
        const samples = new Float32Array(bytes.buffer, 0, bytes.length / sampleBytes)
        if (!samples.every((sample) => Math.abs(sample) <= maxSample)) {
          throw new MediaError('media-unreadable', 'the sound holds values that are no sound')
        }
        yield samples
      }
    },
  }
}

interface OutputShape {
  readonly chunkBytes: number
  /** A chunk is a whole number of these. */
  readonly unitBytes: number
  readonly bytesPerSecond: number
  readonly signal: AbortSignal | undefined
  /** What to say when nothing came. */
  none(): MediaError
}

/** Each chunk is a buffer of its own, `chunkBytes` long but for the last. */
async function* decode(
  binaries: FfmpegBinaries,
  limits: DecoderLimits,
  argv: readonly string[],
  { chunkBytes, unitBytes, bytesPerSecond, signal, none }: OutputShape,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  signal?.throwIfAborted()
  const maxBytes = limits.maxDurationSeconds * bytesPerSecond + unitBytes
  const process = startLocked({
    binary: binaries.ffmpeg.path,
    argv: ['-nostdin', ...argv],
    prlimit: binaries.prlimit,
    maxMemoryBytes: limits.maxMemoryBytes,
    maxCpuSeconds: (limits.decodeFloorMs + limits.decodeMsPerSecond * limits.maxDurationSeconds) / 1000,
  })
  signal?.addEventListener('abort', process.stop)
  const stopwatch = waitLimit(limits, process.stop)
  try {
    const source = process.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    let chunk = new Uint8Array(chunkBytes)
    let filled = 0
    let total = 0
    for (;;) {
      const piece = await stopwatch.wait(source.next(), total / bytesPerSecond).catch((): undefined => undefined)
      if (piece === undefined || piece.done) break // stopped by us, or at its end: `ended` tells
      total += piece.value.length
      if (total > maxBytes)
        throw new MediaError('media-too-long', `it is longer than ${limits.maxDurationSeconds} seconds`)
      for (let rest = piece.value; rest.length > 0; ) {
        const part = rest.subarray(0, chunkBytes - filled)
        chunk.set(part, filled)
        filled += part.length
        rest = rest.subarray(part.length)
        if (filled === chunkBytes) {
          yield chunk
          chunk = new Uint8Array(chunkBytes)
          filled = 0
        }
      }
    }
    const exit = await process.ended
    signal?.throwIfAborted()
    if (stopwatch.isOver() || exit.signal === 'SIGXCPU') throw timedOut(total / bytesPerSecond)
    if (exit.code !== 0 || total === 0) throw failure(exit, total, limits, none)
    const rest = filled - (filled % unitBytes)
    if (rest > 0) yield chunk.slice(0, rest)
  } finally {
    signal?.removeEventListener('abort', process.stop)
    process.stop()
    await process.ended // [cleaned]
  }
}

function failure(exit: Exit, total: number, limits: DecoderLimits, none: () => MediaError): MediaError {
  const refused = refusedPictureSize(exit)
  if (refused) return tooManyPixels(...refused, limits)
  return total === 0 && exit.code === 0 ? none() : unreadable(exit)
}

function timedOut(seconds: number): MediaError {
  return new MediaError(
    'media-timeout',
    `decoding takes too long: it was stopped after ${Math.floor(seconds)} s of media`,
  )
}

/** Counts the time that we wait for the decoder, and calls `stop` when that is more than the limits allow. [bounded] */
function waitLimit(limits: DecoderLimits, stop: () => void) {
  let waitedMs = 0
  let over = false
  return {
    isOver: () => over,
    async wait<T>(next: Promise<T>, deliveredSeconds: number): Promise<T> {
      const startMs = performance.now()
      const allowedMs = limits.decodeFloorMs + limits.decodeMsPerSecond * deliveredSeconds - waitedMs
      const timer = setTimeout(() => {
        over = true
        stop()
      }, allowedMs)
      try {
        return await next
      } finally {
        clearTimeout(timer)
        waitedMs += performance.now() - startMs
      }
    },
  }
}
