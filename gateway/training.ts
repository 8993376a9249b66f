/** Bringing the training data of the topics up to date on disk, as a trainer asks for it over HTTP. */
export interface TrainingSyncView {
  readonly state: 'running' | 'done' | 'failed' | 'stopped'
  readonly doneRecords: number
  readonly totalRecords: number
  /** Once it is done. */
  readonly report:
    | {
        readonly triplets: number
        readonly chosenPairs: number
        readonly added: number
        readonly removed: number
        readonly unreadable: number
      }
    | undefined
  /** Of one that failed. */
  readonly failure: { readonly code: string; readonly message: string } | undefined
}

export interface TrainingSyncs {
  /** Begins one. @throws InvalidRequestError 'sync-running' (409) */
  start(): TrainingSyncView
  /** The latest of this process. */
  view(): TrainingSyncView | undefined
  /** Resolves when it has stopped, or is done all the same; the next one goes on from there. */
  stop(): Promise<TrainingSyncView | undefined>
}
