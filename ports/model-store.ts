/**
 * ModelStore: bundles of released models. A bundle is immutable; its manifest names every file with its sha256.
 * Where the store is a service, every call may throw OutageError 'model-store-unavailable' | SetupError 'model-store-refused'.
 */
import type { ReleaseManifest } from './release-manifest.ts'

export interface ModelStore {
  /**
   * Copies the files of `directory` that the manifest names. Atomic: a bundle is there whole or not at all. The same
   * bundle again changes nothing; createdAt and metrics may differ. Release ids: [a-z0-9][a-z0-9._-]{0,63}; file names
   * are plain, without folders.
   * @throws SetupError 'bad-bundle' on a bad manifest, or a file that is missing, a link or other than its size and
   * hash | 'release-exists' when another bundle has this release id.
   */
  publish(manifest: ReleaseManifest, directory: string): Promise<void>
  /** Refuses files that the manifest does not name, too. @returns manifest and a local directory with its files, hashes checked. @throws InvalidRecordError 'unknown-release' | 'tampered-release' */
  fetch(release: string): Promise<{ manifest: ReleaseManifest; directory: string }>
  /** Release ids, sorted. */
  list(): Promise<readonly string[]>
  /** Idempotent. */
  remove(release: string): Promise<void>
}
