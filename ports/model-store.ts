/** ModelStore: bundles of released models. A bundle is immutable; its manifest names every file with its sha256. */
import type { ReleaseManifest } from './release-manifest.ts'

export interface ModelStore {
  /** Copies the files of `directory` that the manifest names. Atomic: a bundle is there whole or not at all. @throws SetupError 'bad-bundle' on a hash that differs. */
  publish(manifest: ReleaseManifest, directory: string): Promise<void>
  /** @returns manifest and a local directory with its files, hashes checked. @throws InvalidRecordError 'unknown-release' | 'tampered-release' */
  fetch(release: string): Promise<{ manifest: ReleaseManifest; directory: string }>
  list(): Promise<readonly string[]>
  remove(release: string): Promise<void>
}
