/**
 * The files of a profile on disk, and which hash each must have: the manifest's, or, where the manifest has none, the
 * one that the first pull recorded in `lock.json` beside the files.
 *
 * Model files are hostile: what is used is what was hashed (a file is read once, and the bytes that were checked are
 * the bytes that are loaded), and only so much of it.
 */
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { open, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { SetupError } from '../../ports/errors.ts'
import type { Profile, ProfileFile } from './profile.ts'

/** A protobuf, and so an ONNX file, ends at 2 GiB. */
export const maxModelBytes = 2 ** 31 - 1

export interface ModelFile {
  readonly name: string
  readonly path: string
  /** Lower-case hex. */
  readonly sha256: string
  readonly bytes: number | null
}

const lockSchema = z.strictObject({
  files: z.record(
    z.string(),
    z.strictObject({
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      bytes: z.int().nonnegative(),
      /** null for a file that the operator put there. */
      url: z.string().nullable(),
      recordedAt: z.string(),
    }),
  ),
})

export type Lock = z.infer<typeof lockSchema>

export interface ProfileLocation {
  /** `models/` of the repository: manifests, and the files of bundled profiles. */
  readonly repositoryModels: string
  /** `<dataFolder>/models`: the files of pulled profiles. */
  readonly folder: string
}

/** Folder with the files of the profile. */
export function profileFolder(profile: Profile, location: ProfileLocation): string {
  return path.join(profile.bundled ? location.repositoryModels : location.folder, profile.id)
}

const lockPath = (folder: string) => path.join(folder, 'lock.json')

/** @throws SetupError 'bad-lock' */
export async function readLock(folder: string): Promise<Lock> {
  let text: string
  try {
    text = await readFile(lockPath(folder), 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { files: {} }
    throw cause
  }
  try {
    return lockSchema.parse(JSON.parse(text))
  } catch (cause) {
    const message = `${lockPath(folder)} is damaged. Restore it, or delete it to trust the files anew at the next pull.`
    throw new SetupError('bad-lock', message, { cause })
  }
}

export async function writeLock(folder: string, lock: Lock): Promise<void> {
  const temporary = `${lockPath(folder)}.${process.pid}.tmp`
  await writeFile(temporary, `${JSON.stringify(lock, null, 2)}\n`)
  await rename(temporary, lockPath(folder))
}

/** @throws SetupError 'model-unpinned' for a file whose right hash is not known yet. */
export function expectedFile(profile: Profile, folder: string, lock: Lock, name: string): ModelFile {
  const file = profile.files.find((candidate) => candidate.name === name) as ProfileFile
  const sha256 = file.sha256 ?? lock.files[name]?.sha256
  if (sha256 === undefined) {
    throw new SetupError(
      'model-unpinned',
      `The file ${path.join(folder, name)} of profile "${profile.id}" has no recorded hash. ` +
        `Run: cuestream models pull ${profile.id} (${file.source})`,
    )
  }
  return { name, path: path.join(folder, name), sha256, bytes: file.bytes ?? lock.files[name]?.bytes ?? null }
}

/**
 * Reads a file whole and checks it.
 * @throws SetupError 'model-missing' | 'model-too-large' | 'model-tampered'
 */
export async function readModelFile(file: ModelFile, limitBytes = maxModelBytes): Promise<Uint8Array> {
  const handle = await open(file.path, 'r').catch((cause: unknown) => {
    throw missing(file, cause)
  })
  try {
    const { size } = await handle.stat()
    if (size > limitBytes) throw tooLarge(file, size, limitBytes)
    const bytes = new Uint8Array(size)
    let offset = 0
    while (offset < size) {
      const { bytesRead } = await handle.read(bytes, offset, size - offset, offset)
      if (bytesRead === 0) break
      offset += bytesRead
    }
    return checked(file, bytes.subarray(0, offset))
  } finally {
    await handle.close()
  }
}

/** For the small JSON files beside the models. @throws SetupError as readModelFile, and 'model-unreadable'. */
export function readModelJson(file: ModelFile): unknown {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file.path)
  } catch (cause) {
    throw missing(file, cause)
  }
  const limitBytes = 64 * 2 ** 20
  if (bytes.byteLength > limitBytes) throw tooLarge(file, bytes.byteLength, limitBytes)
  const text = new TextDecoder().decode(checked(file, bytes))
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new SetupError('model-unreadable', `${file.path} is not JSON.`, { cause })
  }
}

export interface FileCheck {
  readonly name: string
  readonly path: string
  /** 'unpinned': there, but no hash is known to compare with. */
  readonly status: 'ok' | 'missing' | 'tampered' | 'unpinned'
  readonly expectedSha256: string | null
  readonly sha256: string | null
  readonly bytes: number | null
}

/** Hashes every file of the profile against its manifest or lock; one result a file, in the manifest's order. */
export async function verifyProfile(profile: Profile, location: ProfileLocation): Promise<readonly FileCheck[]> {
  const folder = profileFolder(profile, location)
  const lock = await readLock(folder)
  const checks: FileCheck[] = []
  for (const file of profile.files) {
    const filePath = path.join(folder, file.name)
    const expectedSha256 = file.sha256 ?? lock.files[file.name]?.sha256 ?? null
    const hashed = await hashFile(filePath)
    const status =
      hashed === undefined
        ? 'missing'
        : expectedSha256 === null
          ? 'unpinned'
          : hashed.sha256 === expectedSha256
            ? 'ok'
            : 'tampered'
    const { sha256 = null, bytes = null } = hashed ?? {}
    checks.push({ name: file.name, path: filePath, status, expectedSha256, sha256, bytes })
  }
  return checks
}

/** @returns undefined if there is no such file. */
export async function hashFile(filePath: string): Promise<{ sha256: string; bytes: number } | undefined> {
  const hash = createHash('sha256')
  let bytes = 0
  try {
    for await (const chunk of createReadStream(filePath)) {
      hash.update(chunk)
      bytes += chunk.byteLength
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
  return { sha256: hash.digest('hex'), bytes }
}

function checked(file: ModelFile, bytes: Uint8Array): Uint8Array {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (sha256 === file.sha256) return bytes
  throw new SetupError(
    'model-tampered',
    `${file.path} is not the file that was expected: its sha256 is ${sha256}, the right one is ${file.sha256}. ` +
      'Restore it (git checkout for a file of the repository, else delete it and run: cuestream models pull).',
  )
}

function missing(file: ModelFile, cause: unknown): SetupError {
  const message = `The model file ${file.path} cannot be read. Run: cuestream models pull`
  return new SetupError('model-missing', message, { cause })
}

function tooLarge(file: ModelFile, bytes: number, limitBytes: number): SetupError {
  return new SetupError('model-too-large', `${file.path} has ${bytes} bytes; at most ${limitBytes} are read.`)
}
