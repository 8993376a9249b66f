/**
 * VectorIndex: unit vectors with filterable attributes, one index a release and kind.
 *
 * Invariants (tests/conformance/vector-index.ts):
 *   [idempotent]  an upsert of the same (id, release) leaves one row
 *   [releases]    a search sees vectors of the named release only
 *   [visible]     a resolved write is seen by the next search
 *   [durable]     resolved writes outlive the process
 *
 * Every call on an index that is not there throws SetupError 'unknown-index', except create and drop.
 *
 * All that an index store holds is one generation. A store that was wiped comes back under another one, and so does a
 * rebuild; whoever projects topics into the store reads them from the start for each generation. A write of one that has
 * been replaced or wiped throws SetupError 'generation-ended'. A store that is away: OutageError.
 */
export type IndexKind = 'music' | 'video'

/** Tags match as whole strings; numbers by range. */
export type Attributes = Readonly<Record<string, readonly string[] | number>>

export interface IndexRow {
  readonly id: string
  /** (dims,) float32, unit norm. */
  readonly vector: Float32Array
  readonly attributes: Attributes
}

/** All conditions hold. A row without the field fails anyOf and ranges, and passes noneOf. */
export type Filter = readonly FilterCondition[]
export type FilterCondition =
  | { readonly field: string; readonly anyOf: readonly string[] }
  | { readonly field: string; readonly noneOf: readonly string[] }
  | { readonly field: string; readonly min?: number; readonly max?: number }

export interface Hit {
  readonly id: string
  /** Cosine similarity, −1 … 1. */
  readonly score: number
}

export interface IndexName {
  readonly release: string
  readonly kind: IndexKind
}

/** A generation under construction, beside the one that serves. */
export interface Rebuild {
  /** All calls go to the new generation. */
  readonly index: VectorIndex
  /**
   * In one step the new generation serves, and the old one ends; its memory is freed `keepMs` later (0 by default).
   * From then on the index that `rebuild` was called on speaks to the new generation.
   */
  promote(keepMs?: number): Promise<void>
  /** Drops the new generation. */
  discard(): Promise<void>
}

export interface VectorIndex {
  /**
   * Of the content that serves; created if the store is empty. '' is the first of a store that is never wiped.
   * What this handle writes from now on belongs to the generation that it gave last.
   */
  generation(): Promise<string>
  /** Starts an empty generation. @throws SetupError 'rebuild-running' if another is under construction */
  rebuild(): Promise<Rebuild>
  /** Idempotent. @throws SetupError 'dims-mismatch' if it exists with other dims. */
  create(name: IndexName, dims: number): Promise<void>
  /**
   * Of rows with the same id the last counts. Nothing of the call is written when it throws.
   * @throws ShapeError for a vector of other dims, not finite, or whose norm is off by more than 1e-3;
   * InvalidRecordError 'bad-id' (1 to 512 bytes) | 'bad-attributes' (a number that is not finite).
   */
  upsert(name: IndexName, rows: readonly IndexRow[]): Promise<void>
  /** Replaces the attributes of a row; unknown ids are left alone. */
  setAttributes(name: IndexName, id: string, attributes: Attributes): Promise<void>
  remove(name: IndexName, ids: readonly string[]): Promise<void>
  /**
   * Best first; ties by id. k is bounded by the rows that match.
   * @throws ShapeError as upsert; InvalidRequestError 'bad-limit' for k below 1 | 'bad-filter' for a range of NaN.
   */
  search(name: IndexName, vector: Float32Array, k: number, filter?: Filter): Promise<readonly Hit[]>
  /** Copies; ids that are not there are left out. */
  vectors(name: IndexName, ids: readonly string[]): Promise<ReadonlyMap<string, Float32Array>>
  count(name: IndexName, filter?: Filter): Promise<number>
  indexes(): Promise<readonly (IndexName & { readonly dims: number; readonly rows: number })[]>
  /** Idempotent. Frees the memory and the disk. */
  drop(name: IndexName): Promise<void>
  close(): Promise<void>
}
