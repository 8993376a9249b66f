/** Releases, as operators see and move them over HTTP. */
import type { ReleaseManifest } from '../ports/release-manifest.ts'

export type ReleaseRole = 'serving' | 'previous' | 'trial' | 'preparing'

export interface ReleaseView
  extends Pick<ReleaseManifest, 'release' | 'model' | 'dims' | 'metrics' | 'parent' | 'createdAt'> {
  /** None of a release that is kept and not in use. */
  readonly roles: readonly ReleaseRole[]
}

export interface RollOutView {
  readonly release: string
  readonly state: 'running' | 'done' | 'failed' | 'cancelled'
  /** Of one that runs. */
  readonly phase: 'checking' | 'embedding' | 'comparing' | undefined
  /** The share that it will answer as a trial; undefined where it will serve, or once it has ended. */
  readonly trialShare: number | undefined
  readonly doneRecords: number
  readonly totalRecords: number
  /** Of one that failed. */
  readonly failure: { readonly code: string; readonly message: string } | undefined
}

export interface ReleasesView {
  readonly serving: string
  readonly previous: string | null
  readonly trial: { readonly release: string; readonly share: number } | null
  /** The one that runs, or else the latest. */
  readonly rollOut: RollOutView | undefined
  readonly releases: readonly ReleaseView[]
  /** Bundles that are not what was published, or cannot be read. */
  readonly unreadable: readonly { readonly release: string; readonly code: string; readonly message: string }[]
}

/** Each change is made at once, or throws; what it asks for is carried out by the processes that project embeddings. */
export interface RollOuts {
  view(): Promise<ReleasesView>
  /**
   * @param trialShare of the requests that it will answer on trial, above 0 and below 1; without one it will serve.
   * @throws InvalidRequestError 'unknown-release' (404) | 'roll-out-running' | 'already-serving' (409);
   * InvalidRecordError 'tampered-release'
   */
  rollOut(release: string, trialShare?: number): Promise<ReleasesView>
  /** @throws InvalidRequestError 'no-roll-out' (404) */
  cancel(): Promise<ReleasesView>
  /** @throws InvalidRequestError 'no-previous-release' (409) */
  rollBack(): Promise<ReleasesView>
  /** @throws InvalidRequestError 'no-trial' (404) */
  endTrial(): Promise<ReleasesView>
  /** Removes a bundle. @throws InvalidRequestError 'unknown-release' (404) | 'release-in-use' (409) */
  remove(release: string): Promise<ReleasesView>
}
