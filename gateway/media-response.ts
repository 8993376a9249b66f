/**
 * Uploaded files as answers, by ranges. A file is hostile: its type comes from its first bytes and is audio, video or
 * plain bytes, never something that a browser would run; and it is answered in a sandbox of its own.
 */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { InvalidRecordError, InvalidRequestError } from '../ports/errors.ts'
import type { MediaStore } from '../ports/media.ts'
import type { UploadKind } from '../schemas/types.ts'
import { sendProblem } from './problem.ts'

const SNIFFED_BYTES = 64

/** @param head the file's first bytes. @param kind a container may hold either; what was uploaded says which to name. */
export function contentTypeOf(head: Uint8Array, kind: UploadKind): string {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  const text = (from: number, to: number) => bytes.toString('latin1', from, to)
  const family = kind === 'video' ? 'video' : 'audio'
  if (text(4, 8) === 'ftyp') return text(8, 12) === 'qt  ' ? 'video/quicktime' : `${family}/mp4`
  if (text(0, 4) === '\x1aE\xdf\xa3') return bytes.includes('webm') ? `${family}/webm` : 'video/x-matroska'
  if (text(0, 4) === 'OggS') return `${family}/ogg`
  if (text(0, 4) === 'RIFF' && text(8, 12) === 'WAVE') return 'audio/wav'
  if (text(0, 4) === 'RIFF' && text(8, 12) === 'AVI ') return 'video/x-msvideo'
  if (text(0, 4) === 'fLaC') return 'audio/flac'
  if (text(0, 3) === 'ID3') return 'audio/mpeg'
  if (text(0, 3) === 'FLV') return 'video/x-flv'
  // MPEG audio frames: 11 sync bits, then the layer; layer 0 is ADTS.
  if (bytes[0] === 0xff && (bytes[1]! & 0xe0) === 0xe0) return (bytes[1]! & 0x06) === 0 ? 'audio/aac' : 'audio/mpeg'
  return 'application/octet-stream'
}

/** Answers with the file, or the one range of it that was asked for (206, 416, If-Range, If-None-Match, HEAD). */
export async function sendMedia(
  request: FastifyRequest,
  reply: FastifyReply,
  mediaStore: MediaStore,
  media: { readonly uri: string; readonly sha256: string },
  kind: UploadKind,
): Promise<FastifyReply> {
  const path = await mediaStore.path(media.uri).catch((cause) => {
    if (!(cause instanceof InvalidRecordError)) throw cause
    throw new InvalidRequestError('media-missing', 'The file is not kept here any more', { status: 404, cause })
  })
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const etag = `"${media.sha256}"`
    const { 'if-none-match': known, 'if-range': expected, range: asked } = request.headers
    reply.headers({ ...MEDIA_HEADERS, etag })
    if (known?.split(/,\s*/).includes(etag)) return await reply.code(304).send()
    const range = expected === undefined || expected === etag ? parseRange(asked, size) : 'whole'
    if (range === 'outside') {
      reply.header('content-range', `bytes */${size}`)
      const detail = `The file has ${size} bytes; ${asked} lies outside`
      return await sendProblem(reply, { status: 416, code: 'range-not-satisfiable', detail })
    }
    const { start, end } = range === 'whole' ? { start: 0, end: size - 1 } : range
    if (range !== 'whole') reply.code(206).header('content-range', `bytes ${start}-${end}/${size}`)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SNIFFED_BYTES), 0, SNIFFED_BYTES, 0)
    reply.header('content-type', contentTypeOf(buffer.subarray(0, bytesRead), kind))
    reply.header('content-length', String(end - start + 1))
    // An empty stream, because Fastify would count the bytes of an empty body and read a whole one to its end.
    return await reply.send(request.method === 'HEAD' ? Readable.from([]) : createReadStream(path, { start, end }))
  } finally {
    await file.close()
  }
}

const MEDIA_HEADERS: Readonly<Record<string, string>> = {
  'accept-ranges': 'bytes',
  'content-security-policy': "default-src 'none'; sandbox",
  'content-disposition': 'inline',
  'cache-control': 'private, max-age=300',
}

/** RFC 9110: what is malformed, in another unit or asks for several ranges is as if nothing had been asked. */
export function parseRange(
  header: string | undefined,
  size: number,
): 'whole' | 'outside' | { readonly start: number; readonly end: number } {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return 'whole'
  if (first === '') return Number(last) === 0 ? 'outside' : { start: Math.max(0, size - Number(last)), end: size - 1 }
  const start = Number(first)
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < start) return 'whole'
  return start < size ? { start, end } : 'outside'
}
