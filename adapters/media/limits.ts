/** What one file may cost. Counted from what the decoder delivers; a file's own header is never trusted. */
export interface DecoderLimits {
  /** Of the file itself. */
  readonly maxFileBytes: number
  /** Of decoded output. */
  readonly maxDurationSeconds: number
  /** Of one frame. */
  readonly maxPixels: number
  readonly maxSidePixels: number
  /** Wall clock of a probe. */
  readonly probeTimeoutMs: number
  /**
   * Time that we wait for the decoder, in total, may be `decodeFloorMs` + `decodeMsPerSecond` for each second of media
   * that it has delivered. Time in which the consumer is busy does not count.
   */
  readonly decodeFloorMs: number
  readonly decodeMsPerSecond: number
  /** Address space of the decoder process, where `prlimit` is there to set it. */
  readonly maxMemoryBytes: number
  /** Largest single allocation, by ffmpeg itself. */
  readonly maxAllocationBytes: number
}

/** A file that delivers nothing is given up after 10 s + 20 s. */
export const defaultDecoderLimits: DecoderLimits = {
  maxFileBytes: 2 * 1024 ** 3,
  maxDurationSeconds: 3600,
  maxPixels: 50_000_000,
  maxSidePixels: 16_384,
  probeTimeoutMs: 10_000,
  decodeFloorMs: 20_000,
  decodeMsPerSecond: 2_000,
  maxMemoryBytes: 2 * 1024 ** 3,
  maxAllocationBytes: 512 * 1024 ** 2,
}
