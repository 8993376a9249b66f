/** What goes between a process and the one that runs a release's towers for it (towers-process.ts, towers-child.ts). */
import type { FeatureSequence, QueryInput } from '../../ports/encoder.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'

export type ToChild =
  | { readonly kind: 'open'; readonly manifest: ReleaseManifest; readonly directory: string }
  | { readonly kind: 'query'; readonly call: number; readonly input: QueryInput }
  | { readonly kind: 'music'; readonly call: number; readonly input: FeatureSequence }

export type FromChild =
  | { readonly kind: 'opened' }
  | { readonly kind: 'refused'; readonly error: TowersFailure }
  | { readonly kind: 'done'; readonly call: number; readonly result: unknown }
  | { readonly kind: 'failed'; readonly call: number; readonly error: TowersFailure }

/** Of the classes of ports/errors.ts those that towers throw; 'other' for what nobody expects. */
export interface TowersFailure {
  readonly class: 'shape' | 'invalid-record' | 'other'
  readonly code: string
  readonly message: string
}
