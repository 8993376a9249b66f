/**
 * ModelStore in a bucket of any S3-compatible service, with a copy of each fetched bundle in a local folder.
 *
 *     <prefix>/<release>/<sha256>/<file>      the files
 *     <prefix>/<release>/manifest.json        names them; a release is there if its manifest is
 *
 *   [whole]   the manifest is written last and removed first, so a bundle is there whole or not at all
 *   [apart]   files lie under their hash: publishers of two bundles under one id never write over each other's files
 *   [one]     the manifest is written on the condition that there is none, and read again: whoever was first has won.
 *             Where a service knows no conditions, the later of two that publish in the same moment wins
 *   [checked] the service is not trusted: what it gives is bounded, and is used only with the size and hash of the manifest.
 *             The manifest itself is as true as the bucket: who may write there may publish
 *   [copy]    a bundle never changes, so a whole copy serves while the service is away; who has one asks once only
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { InvalidRecordError, OutageError, RetryableError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import { openFileModelStore } from './file.ts'
import {
  assertReleaseId,
  isSameBundle,
  MANIFEST_FILE,
  MAX_MANIFEST_BYTES,
  manifestText,
  readManifest,
  releaseExists,
  releaseId,
  tampered,
  unknownRelease,
} from './manifest-schema.ts'
import { defaultPatience, S3Bucket } from './s3-bucket.ts'
import type { S3Address, S3Patience } from './s3-request.ts'

export interface S3ModelStoreOptions extends S3Address {
  /** Begins every key; empty, or folders without a slash at either end. */
  readonly prefix: string
  /** Of the copies; it may be deleted, and processes may share it. */
  readonly cacheFolder: string
  /** Told when the copy of a release is given out because the service is away. */
  readonly onOutage?: (error: OutageError) => void
  readonly patience?: S3Patience
}

/** Opens no connection. Its methods fail as S3Bucket says, besides what the port says. */
export function openS3ModelStore(options: S3ModelStoreOptions): ModelStore {
  return new S3ModelStore(options)
}

class S3ModelStore implements ModelStore {
  readonly #bucket: S3Bucket
  /** The same, tried once. */
  readonly #bucketOnce: S3Bucket
  readonly #root: string
  readonly #cacheFolder: string
  readonly #copies: ModelStore
  readonly #onOutage: (error: OutageError) => void

  constructor({
    prefix,
    cacheFolder,
    onOutage = () => {},
    patience = defaultPatience,
    ...address
  }: S3ModelStoreOptions) {
    this.#bucket = new S3Bucket(address, patience)
    this.#bucketOnce = new S3Bucket(address, { ...patience, retries: 0 })
    this.#root = prefix === '' ? '' : `${prefix}/`
    this.#cacheFolder = cacheFolder
    this.#copies = openFileModelStore({ folder: cacheFolder })
    this.#onOutage = onOutage
  }

  async publish(given: ReleaseManifest, source: string): Promise<void> {
    await this.#inOwnFolder(async (folder) => {
      // A checked copy that nobody else changes while it travels.
      const staged = openFileModelStore({ folder })
      await staged.publish(given, source)
      const { manifest, directory } = await staged.fetch(given.release)
      const { release, files } = manifest
      if (await this.#isPublished(manifest)) return
      for (const file of files) {
        await this.#bucket.upload(this.#fileKey(release, file), { ...file, path: join(directory, file.name) }) // [apart]
      }
      await this.#bucket.create(this.#manifestKey(release), Buffer.from(manifestText(manifest))) // [whole] [one]
      if (await this.#isPublished(manifest)) return
      const message = `Release ${release} was removed while it was published; publish it again.`
      throw new RetryableError('release-removed', message)
    })
  }

  async fetch(release: string): Promise<{ manifest: ReleaseManifest; directory: string }> {
    assertReleaseId(release)
    const hasCopy = (await this.#copies.list()).includes(release)
    try {
      const manifest = await this.#manifest(release, hasCopy ? this.#bucketOnce : this.#bucket) // [copy]
      if (manifest === undefined) throw unknownRelease(release)
      return (await this.#copyOf(manifest)) ?? (await this.#download(manifest))
    } catch (error) {
      if (!(error instanceof OutageError)) throw error
      const copy = await this.#copies.fetch(release).catch(() => {
        throw error
      })
      this.#onOutage(error)
      return copy // [copy]
    }
  }

  async list(): Promise<readonly string[]> {
    const end = `/${MANIFEST_FILE}`
    return (await this.#bucket.keys(this.#root))
      .filter((key) => key.startsWith(this.#root) && key.endsWith(end))
      .map((key) => key.slice(this.#root.length, -end.length))
      .filter((release) => releaseId.safeParse(release).success)
      .sort()
  }

  async remove(release: string): Promise<void> {
    assertReleaseId(release)
    await this.#bucket.delete(this.#manifestKey(release)) // [whole]
    const start = `${this.#root}${release}/`
    for (const key of await this.#bucket.keys(start)) {
      // Nothing but what was written here, whatever the service lists.
      if (key.startsWith(start) && FILE_KEY.test(key.slice(start.length))) await this.#bucket.delete(key)
    }
    await this.#copies.remove(release)
  }

  /** @throws SetupError 'release-exists' if another bundle has this id. */
  async #isPublished(manifest: ReleaseManifest): Promise<boolean> {
    const existing = await this.#manifest(manifest.release)
    if (existing === undefined) return false
    if (isSameBundle(existing, manifest)) return true
    throw releaseExists(manifest.release)
  }

  async #manifest(release: string, bucket = this.#bucket): Promise<ReleaseManifest | undefined> {
    const content = await bucket.read(this.#manifestKey(release), MAX_MANIFEST_BYTES)
    if (content === undefined) return undefined
    if (content.length > MAX_MANIFEST_BYTES) throw tampered(release, 'its manifest is too large')
    return readManifest(release, content.toString())
  }

  /** The copy, if it is whole and of this very publication; any other is removed. */
  async #copyOf(manifest: ReleaseManifest) {
    try {
      const copy = await this.#copies.fetch(manifest.release)
      if (isDeepStrictEqual(copy.manifest, manifest)) return copy
    } catch (error) {
      if (!(error instanceof InvalidRecordError)) throw error
    }
    await this.#copies.remove(manifest.release)
    return undefined
  }

  #download(manifest: ReleaseManifest) {
    return this.#inOwnFolder(async (folder) => {
      const { release, files } = manifest
      for (const file of files) {
        const target = { ...file, path: join(folder, file.name) }
        const fault = await this.#bucket.download(this.#fileKey(release, file), target) // [checked]
        if (fault !== undefined) throw tampered(release, `${file.name} ${fault}`)
      }
      await this.#copies.publish(manifest, folder)
      return this.#copies.fetch(release)
    })
  }

  /** Beside the copies and named like what their store sweeps after a kill. */
  async #inOwnFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
    await mkdir(this.#cacheFolder, { recursive: true })
    const folder = await mkdtemp(join(this.#cacheFolder, '.publishing-'))
    try {
      return await work(folder)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  #manifestKey(release: string): string {
    return `${this.#root}${release}/${MANIFEST_FILE}`
  }

  #fileKey(release: string, { name, sha256 }: ReleaseManifest['files'][number]): string {
    return `${this.#root}${release}/${sha256}/${name}`
  }
}

const FILE_KEY = /^[0-9a-f]{64}\/[A-Za-z0-9][A-Za-z0-9._-]*$/
