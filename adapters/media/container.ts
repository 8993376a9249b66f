/**
 * Which container a file is, from its first bytes alone.
 *
 * The answer is forced on ffmpeg, which then never guesses: playlists (hls, dash), scripts (concat), session
 * descriptions (sdp), pictures (image2, svg) and subtitles are demuxers that open other files, and none is ever chosen.
 */

/** ffmpeg's names of the demuxers that are allowed. */
export const demuxers = ['mov', 'matroska', 'avi', 'mpegts', 'flv', 'mp3', 'aac', 'wav', 'flac', 'ogg', 'aiff'] as const
export type Demuxer = (typeof demuxers)[number]

export type Sniffed = { readonly demuxer: Demuxer } | { readonly not: string }

/** Enough to see past most ID3 tags' frames and three MPEG-TS packets. */
export const sniffBytes = 4096

const text = (head: Uint8Array, at: number, length: number) =>
  Buffer.from(head.subarray(at, at + length)).toString('latin1')

const movBoxes = new Set(['ftyp', 'moov', 'mdat', 'free', 'skip', 'wide', 'pnot'])
const pictureBrands = new Set(['heic', 'heix', 'heim', 'heis', 'mif1', 'msf1', 'avif', 'avis'])

/** @param afterId3 the bytes behind an ID3v2 tag, if the file begins with one (`id3Bytes`). */
export function sniffContainer(head: Uint8Array, afterId3?: Uint8Array): Sniffed {
  const magic = text(head, 0, 4)
  const form = text(head, 8, 4)
  if (movBoxes.has(text(head, 4, 4))) {
    return text(head, 4, 4) === 'ftyp' && pictureBrands.has(form) ? { not: 'a picture' } : { demuxer: 'mov' }
  }
  if (magic === '\x1a\x45\xdf\xa3') return { demuxer: 'matroska' }
  if (magic === 'RIFF' || magic === 'RF64') {
    if (form === 'AVI ') return { demuxer: 'avi' }
    if (form === 'WAVE') return { demuxer: 'wav' }
    if (form === 'WEBP') return { not: 'a picture' }
  }
  if (magic === 'fLaC') return { demuxer: 'flac' }
  if (magic === 'OggS') return { demuxer: 'ogg' }
  if (magic === 'FORM' && (form === 'AIFF' || form === 'AIFC')) return { demuxer: 'aiff' }
  if (magic === 'FLV\x01') return { demuxer: 'flv' }
  if (head[0] === 0x47 && head[188] === 0x47 && head[376] === 0x47) return { demuxer: 'mpegts' }
  if (magic.startsWith('ID3'))
    return afterId3?.length ? taggedAudio(afterId3) : { not: 'a tag with no sound behind it' }
  return frameSync(head) ?? { not: whatElse(head) }
}

/** Length of the ID3v2 tag at the start, 0 if there is none. Its size is 4 × 7 bits. */
export function id3Bytes(head: Uint8Array): number {
  if (text(head, 0, 3) !== 'ID3' || head.length < 10) return 0
  const [a, b, c, d] = head.subarray(6, 10)
  const footer = head[5]! & 0x10 ? 10 : 0
  return 10 + footer + (((a! & 0x7f) << 21) | ((b! & 0x7f) << 14) | ((c! & 0x7f) << 7) | (d! & 0x7f))
}

function taggedAudio(body: Uint8Array): Sniffed {
  if (text(body, 0, 4) === 'fLaC') return { demuxer: 'flac' }
  // Padding between the tag and the first frame is common.
  const start = body.findIndex((byte) => byte !== 0)
  return frameSync(body.subarray(Math.max(start, 0))) ?? { not: `a tag with ${whatElse(body)} behind it` }
}

/** MPEG audio layer 1–3 or ADTS AAC: 11 or 12 set bits, then fields that must not hold reserved values. */
function frameSync(bytes: Uint8Array): Sniffed | undefined {
  const [a = 0, b = 0, c = 0] = bytes
  if (a !== 0xff || (b & 0xe0) !== 0xe0) return undefined
  if ((b & 0xf6) === 0xf0) return { demuxer: 'aac' }
  const reserved = (b & 0x18) === 0x08 || (b & 0x06) === 0 || (c & 0xf0) === 0xf0 || (c & 0x0c) === 0x0c
  return reserved ? undefined : { demuxer: 'mp3' }
}

const others: readonly (readonly [prefix: string, name: string])[] = [
  ['\x89PNG', 'a picture'],
  ['\xff\xd8\xff', 'a picture'],
  ['GIF8', 'a picture'],
  ['%PDF', 'a PDF document'],
  ['PK\x03\x04', 'a ZIP archive'],
  ['#EXTM3U', 'a playlist'],
  ['ffconcat', 'a list of other files'],
  ['MThd', 'a MIDI file'],
]

function whatElse(head: Uint8Array): string {
  const start = text(head, 0, 64)
  const known = others.find(([prefix]) => start.startsWith(prefix))
  if (known) return known[1]
  const printable = head.every((byte) => byte >= 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d)
  if (!printable || head.length === 0) return 'of an unknown kind'
  return start.trimStart().startsWith('<') ? 'an XML or HTML document' : 'a text file'
}
