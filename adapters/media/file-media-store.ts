/**
 * MediaStore in a folder:  <folder>/<first two hex digits>/<sha256>,  uploads in progress in <folder>/incoming/.
 *
 *   [content]  a file's name is the SHA-256 of its bytes; the same content is kept once, however often it comes at once
 *   [whole]    a file is renamed into place when all of it is on disk: it is there whole or not at all
 *   [bounded]  an upload over the limit is refused as soon as it crosses it, and nothing of it stays
 *   [closed]   only `media:<sha256>` is a uri, so no uri can name another file
 */
import { createHash, randomUUID } from 'node:crypto'
import { lstat, mkdir, open, readdir, rename, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidRecordError, InvalidRequestError } from '../../ports/errors.ts'
import type { MediaStore } from '../../ports/media.ts'

export interface FileMediaStoreOptions {
  /** `<dataFolder>/media`; created if it is not there. */
  readonly folder: string
  /** Of one file. Default 2 GiB. */
  readonly maxBytes?: number
  /** Uploads in progress that nobody has written to for so long are left over from a crash. Default 1 h. */
  readonly staleMs?: number
}

const uriPattern = /^media:([0-9a-f]{2})([0-9a-f]{62})$/

export async function openFileMediaStore(options: FileMediaStoreOptions): Promise<MediaStore> {
  const { folder, maxBytes = 2 * 1024 ** 3, staleMs = 3_600_000 } = options
  const incoming = join(folder, 'incoming')
  await mkdir(incoming, { recursive: true })
  await removeStale(incoming, staleMs)

  /** @throws InvalidRecordError 'media-uri' */
  function locate(uri: string): { directory: string; file: string } {
    const match = uriPattern.exec(uri)
    if (!match) throw new InvalidRecordError('media-uri', `not a stored medium: ${JSON.stringify(uri.slice(0, 100))}`)
    const directory = join(folder, match[1]!)
    return { directory, file: join(directory, `${match[1]}${match[2]}`) }
  }

  async function find(uri: string): Promise<{ file: string; bytes: number }> {
    const { file } = locate(uri)
    const found = await lstatIfThere(file)
    if (!found?.isFile()) throw new InvalidRecordError('media-missing', `${uri} is not in the store; upload it again`)
    return { file, bytes: found.size }
  }

  return {
    /** `signal` is looked at between chunks; whoever aborts also ends the source. */
    async put(content, { signal } = {}) {
      const temporary = join(incoming, temporaryName())
      try {
        const { sha256, bytes } = await write(temporary, content, maxBytes, signal)
        const uri = `media:${sha256}`
        const { directory, file } = locate(uri)
        if ((await lstatIfThere(file)) === undefined) {
          await mkdir(directory, { recursive: true })
          await rename(temporary, file) // [whole]; of several at once the last one stands, with the same bytes [content]
          await syncFolder(directory)
        } else await touch(file)
        return { uri, sha256, bytes }
      } finally {
        await rm(temporary, { force: true }) // [bounded]
      }
    },
    async path(uri) {
      return (await find(uri)).file
    },
    async size(uri) {
      return (await find(uri)).bytes
    },
    async remove(uri) {
      await rm(locate(uri).file, { force: true })
    },
    async sweep(isUsed, unusedMs) {
      let removed = 0
      for (const start of await readdir(folder)) {
        if (!/^[0-9a-f]{2}$/.test(start)) continue
        for (const name of await readdir(join(folder, start))) {
          const file = join(folder, start, name)
          if (isUsed(`media:${name}`)) continue
          const found = await lstatIfThere(file)
          if (found === undefined || Date.now() - found.mtimeMs < unusedMs) continue
          await rm(file, { force: true })
          removed++
        }
      }
      return removed
    },
  }
}

/** Content that is put again is young again: a sweep leaves it alone until its upload is known. */
async function touch(file: string): Promise<void> {
  const now = new Date()
  await utimes(file, now, now)
}

async function write(path: string, content: AsyncIterable<Uint8Array>, maxBytes: number, signal?: AbortSignal) {
  const hash = createHash('sha256')
  let bytes = 0
  const file = await open(path, 'wx', 0o640)
  try {
    for await (const chunk of content) {
      signal?.throwIfAborted()
      bytes += chunk.length
      if (bytes > maxBytes) {
        throw new InvalidRequestError('media-too-large', `the file is larger than ${maxBytes} bytes`, { status: 413 })
      }
      hash.update(chunk)
      await file.writeFile(chunk)
    }
    signal?.throwIfAborted()
    if (bytes === 0) throw new InvalidRequestError('media-empty', 'the file is empty', { status: 422 })
    await file.sync()
  } finally {
    await file.close()
  }
  return { sha256: hash.digest('hex'), bytes }
}

const temporaryName = () => `${process.pid}-${randomUUID()}`

async function removeStale(incoming: string, staleMs: number): Promise<void> {
  for (const name of await readdir(incoming)) {
    const path = join(incoming, name)
    const found = await lstatIfThere(path)
    if (found && Date.now() - found.mtimeMs > staleMs) await rm(path, { force: true })
  }
}

async function lstatIfThere(path: string) {
  try {
    return await lstat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Makes the rename itself outlive a power cut. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
