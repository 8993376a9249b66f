/** What a broker must know of a topic. */
export interface TopicSettings {
  readonly name: string
  readonly partitions: number
  /** 'compacted' keeps the latest record of each key; a number of ms deletes older records. */
  readonly retention: 'compacted' | { readonly ms: number }
  /** Largest record in bytes. */
  readonly maxRecordBytes: number
}
