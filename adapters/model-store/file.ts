/**
 * ModelStore in a folder: `<folder>/<release>/` holds manifest.json and the files that it names, nothing else.
 *
 * A bundle is copied beside its place, flushed and renamed into it, so it is there whole or not at all. It is trusted
 * only after every file was read again and its size and sha256 were right. Links are never followed.
 */
import { createHash, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { SetupError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import {
  assertReleaseId,
  isSameBundle,
  MANIFEST_FILE,
  MAX_MANIFEST_BYTES,
  manifestText,
  readManifest,
  releaseExists,
  releaseId,
  releaseManifest,
  tampered,
  unknownRelease,
} from './manifest-schema.ts'

const CHUNK_BYTES = 1024 * 1024
const ABANDONED_AFTER_MS = 3_600_000

export function openFileModelStore(options: { folder: string }): ModelStore {
  return new FileModelStore(options.folder)
}

class FileModelStore implements ModelStore {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async publish(given: ReleaseManifest, directory: string): Promise<void> {
    const parsed = releaseManifest.safeParse(given)
    if (!parsed.success) {
      throw new SetupError(
        'bad-bundle',
        `The manifest of release ${given.release} is not valid: ${z.prettifyError(parsed.error)}`,
      )
    }
    const manifest = parsed.data
    if (await this.#isPublished(manifest)) return
    await this.#sweep()
    const temporary = join(this.#folder, `.publishing-${randomUUID()}`)
    await mkdir(temporary)
    try {
      for (const file of manifest.files) {
        const fault = await copyChecked(file, join(directory, file.name), join(temporary, file.name))
        if (fault !== undefined) {
          throw new SetupError(
            'bad-bundle',
            `Release ${manifest.release} cannot be published: ${fault}. Export it again.`,
          )
        }
      }
      await writeFile(join(temporary, MANIFEST_FILE), manifestText(manifest), { flag: 'wx', flush: true })
      await flushDirectory(temporary)
      await this.#place(temporary, manifest)
    } finally {
      await rm(temporary, { recursive: true, force: true })
    }
  }

  async fetch(release: string): Promise<{ manifest: ReleaseManifest; directory: string }> {
    const directory = this.#directory(release)
    if (!(await this.list()).includes(release)) throw unknownRelease(release)
    const manifest = await this.#readManifest(release, directory)
    const expected = new Set([MANIFEST_FILE, ...manifest.files.map(({ name }) => name)])
    for (const name of await readdir(directory)) {
      if (!expected.has(name)) throw tampered(release, `${name} is not in its manifest`)
    }
    for (const file of manifest.files) {
      const fault = await copyChecked(file, join(directory, file.name))
      if (fault !== undefined) throw tampered(release, fault)
    }
    return { manifest, directory }
  }

  async list(): Promise<readonly string[]> {
    await mkdir(this.#folder, { recursive: true })
    return (await readdir(this.#folder, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory() && releaseId.safeParse(entry.name).success)
      .map(({ name }) => name)
      .sort()
  }

  async remove(release: string): Promise<void> {
    const removed = join(this.#folder, `.removed-${randomUUID()}`)
    const directory = this.#directory(release)
    if (!(await this.list()).includes(release)) return
    await rename(directory, removed)
    await rm(removed, { recursive: true, force: true })
  }

  /** Removes what a publisher or remover that was killed left behind. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (!/^\.(publishing|removed)-/.test(name)) continue
      const path = join(this.#folder, name)
      const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now())
      if (age > ABANDONED_AFTER_MS) await rm(path, { recursive: true, force: true })
    }
  }

  /** @throws SetupError 'release-exists' if another bundle has this id. */
  async #isPublished(manifest: ReleaseManifest): Promise<boolean> {
    const { release } = manifest
    if (!(await this.list()).includes(release)) return false
    const existing = await this.#readManifest(release, this.#directory(release))
    if (isSameBundle(existing, manifest)) return true
    throw releaseExists(release)
  }

  async #place(temporary: string, manifest: ReleaseManifest): Promise<void> {
    try {
      await rename(temporary, this.#directory(manifest.release))
    } catch (error) {
      // Another publisher was first: that is fine if it was the same bundle.
      if (!(await this.#isPublished(manifest))) throw error
    }
    await flushDirectory(this.#folder)
  }

  async #readManifest(release: string, directory: string): Promise<ReleaseManifest> {
    return readManifest(release, await readManifestText(join(directory, MANIFEST_FILE)))
  }

  #directory(release: string): string {
    assertReleaseId(release)
    return join(this.#folder, release)
  }
}

/**
 * Reads a file in chunks and checks size and hash, writing what it reads to `target` if given.
 * @returns what is wrong, or undefined.
 */
async function copyChecked(
  { name, sha256, bytes }: ReleaseManifest['files'][number],
  source: string,
  target?: string,
): Promise<string | undefined> {
  const from = await openPlainFile(source)
  if (typeof from === 'string') return `${name} ${from}`
  const to = target === undefined ? undefined : await open(target, 'wx')
  try {
    const hash = createHash('sha256')
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, bytes + 1))
    let read = 0
    for (;;) {
      const { bytesRead } = await from.read(chunk, 0, chunk.length, null)
      if (bytesRead === 0) break
      read += bytesRead
      if (read > bytes) return `${name} is longer than the ${bytes} bytes of the manifest`
      hash.update(chunk.subarray(0, bytesRead))
      await to?.writeFile(chunk.subarray(0, bytesRead))
    }
    if (read < bytes) return `${name} has ${read} bytes, not ${bytes}`
    if (hash.digest('hex') !== sha256) return `${name} has another sha256 than the manifest`
    await to?.sync()
    return undefined
  } finally {
    await from.close()
    await to?.close()
  }
}

/** @returns what is wrong with it if it is not a plain file. */
async function openPlainFile(path: string) {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    if ((await file.stat()).isFile()) return file
    await file.close()
    return 'is not a plain file'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'is missing'
    if (code === 'ELOOP') return 'is a link'
    throw error
  }
}

async function readManifestText(path: string): Promise<string | undefined> {
  const file = await openPlainFile(path)
  if (typeof file === 'string') return undefined
  try {
    return (await file.stat()).size > MAX_MANIFEST_BYTES ? undefined : await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

async function flushDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  await directory.sync().finally(() => directory.close())
}
