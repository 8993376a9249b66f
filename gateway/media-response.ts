/**
 * Uploaded files as answers, by ranges. A file is hostile: its type comes from its first bytes and is audio, video or
 * plain bytes, never something that a browser would run; and it is answered in a sandbox of its own.
 */
import { open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { FastifyReply } from 'fastify'
import { InvalidRecordError, InvalidRequestError } from '../ports/errors.ts'
import type { MediaStore } from '../ports/media.ts'
import type { UploadKind } from '../schemas/types.ts'

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

/** Answers with the file, or the range of it that was asked for (206, 416, If-Range, HEAD). */
export async function sendMedia(
  reply: FastifyReply,
  mediaStore: MediaStore,
  media: { readonly uri: string },
  kind: UploadKind,
): Promise<FastifyReply> {
  const path = await mediaStore.path(media.uri).catch((cause) => {
    if (!(cause instanceof InvalidRecordError)) throw cause
    throw new InvalidRequestError('media-missing', 'The file is not kept here any more', { status: 404, cause })
  })
  reply.headers({
    'content-type': contentTypeOf(await readHead(path), kind),
    'content-security-policy': "default-src 'none'; sandbox",
    'content-disposition': 'inline',
    'cache-control': 'private, max-age=300',
  })
  return reply.sendFile(basename(path), dirname(path), {
    contentType: false,
    cacheControl: false,
    index: false,
    dotfiles: 'allow',
  })
}

async function readHead(path: string): Promise<Uint8Array> {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SNIFFED_BYTES), 0, SNIFFED_BYTES, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
