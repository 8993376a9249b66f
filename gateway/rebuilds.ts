/** Rebuilding the index, as operators ask for it over HTTP. */
export interface RebuildView {
  readonly state: 'running' | 'done' | 'failed' | 'stopped'
  readonly phase: 'replaying' | 'comparing'
  readonly doneRecords: number
  readonly totalRecords: number
  /** Once it is done. */
  readonly report:
    | {
        readonly generation: string
        readonly indexes: readonly { kind: string; release: string; rows: number; liveKeys: number }[]
        readonly letters: number
      }
    | undefined
  /** Of one that failed. */
  readonly failure: { readonly code: string; readonly message: string } | undefined
}

export interface Rebuilds {
  /**
   * Begins one. @param from words of a replay's beginning; none for the start of every topic.
   * @throws InvalidRequestError 'rebuild-running' (409) | 'bad-position' (400)
   */
  start(from: readonly string[]): Promise<RebuildView>
  /** The latest of this process. */
  view(): RebuildView | undefined
  /** Resolves when it has stopped, or is done all the same. */
  stop(): Promise<RebuildView | undefined>
}
