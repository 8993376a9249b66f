/** The arguments that every run of ffmpeg and ffprobe on a hostile file begins with. */
import type { DecoderLimits } from './limits.ts'
import type { MediaFile } from './media-file.ts'

/** Before `-i`: what may be opened and how. The demuxer is the one that we saw, so nothing is guessed. */
export function inputArguments(file: MediaFile, decoders: string, limits: DecoderLimits): readonly string[] {
  return [
    ...['-v', 'error', '-hide_banner', '-max_alloc', String(limits.maxAllocationBytes)],
    ...['-protocol_whitelist', 'file', '-format_whitelist', file.demuxer, '-codec_whitelist', decoders],
    ...(file.demuxer === 'mov' ? ['-enable_drefs', '0', '-use_absolute_path', '0'] : []),
    ...['-max_pixels', String(limits.maxPixels), '-max_streams', '100', '-threads', '1'],
    ...['-f', file.demuxer, '-i', `file:${file.path}`],
  ]
}
