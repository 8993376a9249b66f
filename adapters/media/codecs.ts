/**
 * Decoders that may run, by ffmpeg's names (codec_whitelist): what people upload, and nothing that is rarely fuzzed.
 * Names that a build does not know are harmless.
 */
const videoDecoders = [
  ...['h264', 'hevc', 'vp8', 'vp9', 'av1', 'libdav1d', 'libaom-av1', 'libvpx', 'libvpx-vp9'],
  ...[
    'mpeg4',
    'mpeg2video',
    'mpeg1video',
    'h263',
    'flv',
    'mjpeg',
    'png',
    'prores',
    'dnxhd',
    'theora',
    'vp6f',
    'rawvideo',
  ],
]

const audioDecoders = [
  ...['aac', 'mp3float', 'mp3', 'mp2float', 'mp2', 'mp1float', 'mp1', 'opus', 'libopus', 'vorbis', 'flac', 'alac'],
  ...['ac3', 'eac3', 'pcm_u8', 'pcm_s8', 'pcm_s16le', 'pcm_s16be', 'pcm_s24le', 'pcm_s24be', 'pcm_s32le', 'pcm_s32be'],
  ...['pcm_f32le', 'pcm_f32be', 'pcm_f64le', 'pcm_f64be', 'pcm_alaw', 'pcm_mulaw', 'adpcm_ms', 'adpcm_ima_wav'],
]

export const allowedDecoders = [...videoDecoders, ...audioDecoders].join(',')
