/**
 * Brings the files of a profile to where they are loaded from, and checks them.
 *
 * A file whose hash the manifest does not name is trusted the first time that it is seen: its hash is recorded in
 * lock.json beside it (`recorded` in the result says so), and every later pull and load must match it.
 *
 * Modes: offline makes no request; a mirror serves every file as `<mirror>/<profile>/<file name>`, whatever its URL.
 */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { SetupError } from '../../ports/errors.ts'
import { type DownloadPatience, defaultPatience, downloadFile } from './download.ts'
import type { Profile, ProfileFile } from './profile.ts'
import { hashFile, maxModelBytes, type ProfileLocation, profileFolder, readLock, writeLock } from './profile-files.ts'

export interface PullProgress {
  readonly file: string
  readonly receivedBytes: number
  /** null where the server does not say. */
  readonly totalBytes: number | null
}

export interface PullOptions extends ProfileLocation {
  /** Base URL, http or https, that is asked in place of the files' own URLs. */
  readonly mirror?: string | undefined
  /** Only checks what is there. */
  readonly offline?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  readonly patience?: DownloadPatience
  /** Unix epoch, ms. */
  readonly now?: () => number
  onProgress?(progress: PullProgress): void
}

export interface PullResult {
  readonly name: string
  readonly path: string
  /** 'missing' and 'tampered' stay so because nothing was downloaded: offline, or a file that only the operator has. */
  readonly status: 'present' | 'downloaded' | 'missing' | 'tampered'
  /** True where this pull was the first to see the file, and so its hash is taken as the right one from now on. */
  readonly recorded: boolean
  readonly sha256: string | null
  readonly bytes: number | null
  /** Where the file comes from, in words: what to do about a missing one. */
  readonly source: string
}

/**
 * @returns one result a file, in the manifest's order.
 * @throws SetupError as downloadFile does, naming the first file that failed; what was done stays done.
 */
export async function pullProfile(profile: Profile, options: PullOptions): Promise<readonly PullResult[]> {
  const { patience = defaultPatience, now = Date.now, signal } = options
  const folder = profileFolder(profile, options)
  if (!profile.bundled) await mkdir(folder, { recursive: true })
  const lock = await readLock(folder)
  const results: PullResult[] = []

  for (const file of profile.files) {
    signal?.throwIfAborted()
    const filePath = path.join(folder, file.name)
    const locked = lock.files[file.name]
    const expected = file.sha256 ?? locked?.sha256 ?? null
    let found = await hashFile(filePath)
    let status: PullResult['status'] =
      found === undefined ? 'missing' : expected !== null && expected !== found.sha256 ? 'tampered' : 'present'

    const url = sourceUrl(profile, file, options)
    if (status !== 'present' && url !== null) {
      const downloaded = await downloadFile(
        {
          url,
          path: filePath,
          sha256: expected,
          bytes: file.bytes ?? locked?.bytes ?? null,
          limitBytes: maxModelBytes,
          signal,
          onProgress: (receivedBytes, totalBytes) =>
            options.onProgress?.({ file: file.name, receivedBytes, totalBytes }),
        },
        patience,
      ).catch((error: unknown) => {
        // A mirror need not have what only the operator has.
        if (file.url === null && error instanceof SetupError && error.code === 'pull-refused') return undefined
        throw error
      })
      if (downloaded !== undefined) {
        found = downloaded
        status = 'downloaded'
      }
    }

    const recorded = expected === null && found !== undefined
    if (recorded && found !== undefined) {
      lock.files[file.name] = {
        sha256: found.sha256,
        bytes: found.bytes,
        url: status === 'downloaded' ? url : null,
        recordedAt: new Date(now()).toISOString(),
      }
      await writeLock(folder, lock)
    }
    const { sha256 = null, bytes = null } = found ?? {}
    results.push({ name: file.name, path: filePath, status, recorded, sha256, bytes, source: file.source })
  }
  return results
}

/** @returns null where nothing may or can be asked. */
function sourceUrl(profile: Profile, file: ProfileFile, { offline, mirror }: PullOptions): string | null {
  if (offline === true || profile.bundled) return null
  if (mirror === undefined) return file.url
  if (!URL.canParse(mirror) || !/^https?:$/.test(new URL(mirror).protocol)) {
    throw new SetupError('bad-mirror', `The mirror "${mirror}" is not an http or https URL.`)
  }
  return `${mirror.replace(/\/+$/, '')}/${profile.id}/${file.name}`
}
