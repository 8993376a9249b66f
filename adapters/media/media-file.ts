/** Looks at a file before ffmpeg may: what it is on disk, its size, its container, whether it is whole. */
import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Demuxer, id3Bytes, sniffBytes, sniffContainer } from './container.ts'
import { MediaError } from './media-error.ts'
import { movDamage } from './mov-boxes.ts'

export interface MediaFile {
  /** Absolute. */
  readonly path: string
  readonly demuxer: Demuxer
}

/**
 * Only a regular file is opened: a link, pipe or device named as media would read something else, or wait for ever.
 * @throws MediaError 'media-unreadable' | 'media-empty' | 'media-too-large' | 'media-format'
 */
export async function inspectMediaFile(path: string, maxFileBytes: number): Promise<MediaFile> {
  const absolute = resolve(path)
  const found = await lstatOrThrow(absolute)
  if (!found.isFile()) throw new MediaError('media-unreadable', 'this is not a regular file')
  if (found.size === 0) throw new MediaError('media-empty', 'the file is empty')
  if (found.size > maxFileBytes) {
    throw new MediaError('media-too-large', `the file has ${found.size} bytes; at most ${maxFileBytes} are allowed`)
  }
  const file = await open(absolute, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const head = await readAt(file, 0)
    const tagBytes = id3Bytes(head)
    const sniffed = sniffContainer(head, tagBytes > 0 ? await readAt(file, tagBytes) : undefined)
    if ('not' in sniffed) {
      throw new MediaError(
        'media-format',
        `the file is ${sniffed.not}, not audio or video in a format that is supported`,
      )
    }
    const damage = sniffed.demuxer === 'mov' ? await movDamage(file, found.size) : undefined
    if (damage !== undefined) throw new MediaError('media-unreadable', damage)
    return { path: absolute, demuxer: sniffed.demuxer }
  } finally {
    await file.close()
  }
}

async function lstatOrThrow(path: string): Promise<Stats> {
  try {
    return await lstat(path)
  } catch (cause) {
    throw new MediaError('media-unreadable', 'the file is not there or cannot be read', { cause })
  }
}

async function readAt(file: FileHandle, at: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(sniffBytes)
  const { bytesRead } = await file.read(buffer, 0, sniffBytes, at)
  return buffer.subarray(0, bytesRead)
}
