/** Files that try to make a decoder open something else, built byte by byte. */

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u16 = (value: number) => u32(value).subarray(0, 2)
const chunk = (id: string, ...parts: Uint8Array[]) => {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from(id), u32(body.length), body, Buffer.alloc(body.length % 2)])
}
const list = (kind: string, ...parts: Uint8Array[]) => chunk('LIST', Buffer.from(kind), ...parts)

/**
 * AVI with one black 16 × 16 picture and, as a subtitle stream, a whole other file (`GAB2`): libavformat's AVI demuxer
 * opens that with whatever demuxer it looks like. As a playlist it was a way to read local files (CVE-2016-1897, -1898).
 */
export function aviWithInnerFile(inner: Uint8Array): Buffer {
  const rate = [u32(1), u32(1), u32(0), u32(1), u32(0), u32(0xffffffff), u32(0), u32(0), u32(0)] as const
  const header = (type: string, handler: string) =>
    chunk('strh', Buffer.from(type), Buffer.from(handler), u32(0), u32(0), u32(0), ...rate)
  const bitmap = chunk('strf', u32(40), u32(16), u32(16), u16(1), u16(24), u32(0), u32(768), Buffer.alloc(16))
  const main = chunk(
    'avih',
    u32(1_000_000),
    Buffer.alloc(12),
    u32(1),
    u32(0),
    u32(2),
    u32(0),
    u32(16),
    u32(16),
    Buffer.alloc(16),
  )
  const subtitle = [Buffer.from('GAB2\0'), u16(2), u32(2), u16(0), u16(4), u32(inner.length), inner]
  return Buffer.concat([
    chunk(
      'RIFF',
      Buffer.from('AVI '),
      list(
        'hdrl',
        main,
        list('strl', header('vids', 'DIB '), bitmap),
        list('strl', header('txts', '\0\0\0\0'), chunk('strf')),
      ),
      list('movi', chunk('01tx', ...subtitle), chunk('00db', Buffer.alloc(768))),
    ),
  ])
}

/**
 * A QuickTime file whose samples lie in another file: the self-reference of its data reference box becomes an alias to
 * `target` (QuickTime File Format, "Data reference atoms"). `mov` must have its index behind its media.
 */
export function movWithExternalData(mov: Buffer, target: string): Buffer {
  const path = Buffer.from(target.length % 2 ? `${target}\0` : target)
  const pathEntry = Buffer.alloc(4)
  pathEntry.writeUInt16BE(2, 0)
  pathEntry.writeUInt16BE(path.length, 2)
  const body = Buffer.concat([
    Buffer.alloc(10 + 28 + 12 + 64 + 16 + 4 + 16),
    pathEntry,
    path,
    Buffer.from([0xff, 0xff, 0, 0]),
  ])
  const entry = Buffer.concat([Buffer.alloc(4), Buffer.from('alis'), Buffer.alloc(4), body])
  entry.writeUInt32BE(entry.length, 0)
  const at = mov.indexOf('dref') + 4 + 8 // behind version, flags and count
  const oldLength = mov.readUInt32BE(at)
  const grown = Buffer.concat([mov.subarray(0, at), entry, mov.subarray(at + oldLength)])
  const growth = entry.length - oldLength
  for (const name of ['moov', 'trak', 'mdia', 'minf', 'dinf', 'dref']) {
    const box = name === 'dinf' || name === 'dref' ? grown.lastIndexOf(name, at) - 4 : grown.indexOf(name) - 4
    grown.writeUInt32BE(grown.readUInt32BE(box) + growth, box)
  }
  return grown
}

export const hlsPlaylist = (uri: string) => `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n${uri}\n#EXT-X-ENDLIST\n`

/** Makes the header of a QuickTime file claim a picture of `side` × `side`; the picture itself, too, where it is JPEG. */
export function claimPictureSize(mov: Buffer, codec: 'jpeg' | 'avc1', side: number): Buffer {
  const bytes = Buffer.from(mov)
  const entry = bytes.indexOf(codec, bytes.indexOf('stsd'))
  bytes.writeUInt16BE(side, entry + 28)
  bytes.writeUInt16BE(side, entry + 30)
  const frame = bytes.indexOf(Buffer.from([0xff, 0xc0])) // start of frame, baseline JPEG
  if (codec === 'jpeg') {
    bytes.writeUInt16BE(side, frame + 5)
    bytes.writeUInt16BE(side, frame + 7)
  }
  return bytes
}

/** Sets the duration in every header of an MP4 file (version 0 boxes), in units of each header's own time scale. */
export function claimDuration(mp4: Buffer, units: number): Buffer {
  const bytes = Buffer.from(mp4)
  for (const [box, offset] of [
    ['mvhd', 20],
    ['tkhd', 24],
    ['mdhd', 20],
  ] as const) {
    for (let at = bytes.indexOf(box); at >= 0; at = bytes.indexOf(box, at + 4)) bytes.writeUInt32BE(units, at + offset)
  }
  return bytes
}
