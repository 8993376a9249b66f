/**
 * Decoders that may run, by ffmpeg's names: what people upload, and nothing that is rarely used and so rarely fuzzed.
 * Names that a build does not know are harmless.
 */
const decoders = [
  ...['h264', 'hevc', 'vp8', 'libvpx', 'vp9', 'libvpx-vp9', 'av1', 'libdav1d', 'libaom-av1', 'mpeg4', 'mpeg2video'],
  ...['mpeg1video', 'h263', 'flv', 'vp6f', 'theora', 'mjpeg', 'png', 'prores', 'dnxhd', 'rawvideo'],
  ...['aac', 'mp3float', 'mp3', 'mp2float', 'mp2', 'mp1float', 'mp1', 'opus', 'libopus', 'vorbis', 'flac', 'alac'],
  ...[
    'ac3',
    'eac3',
    'dca',
    'amrnb',
    'amrwb',
    'adpcm_ms',
    'adpcm_ima_wav',
    'pcm_u8',
    'pcm_s8',
    'pcm_s16le',
    'pcm_s16be',
  ],
  ...['pcm_s24le', 'pcm_s24be', 'pcm_s32le', 'pcm_s32be', 'pcm_f32le', 'pcm_f32be', 'pcm_f64le', 'pcm_f64be'],
  ...['pcm_alaw', 'pcm_mulaw'],
]

/** Subtitles beside the pictures: ffprobe opens every stream's decoder, though it feeds them nothing, or gives up. */
const subtitles = ['mov_text', 'srt', 'subrip', 'text', 'ass', 'ssa', 'webvtt', 'dvdsub', 'dvbsub', 'pgssub', 'cc_dec']

/** For codec_whitelist. */
export const decodersToDecode = decoders.join(',')
export const decodersToProbe = [...decoders, ...subtitles].join(',')
