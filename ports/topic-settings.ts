/** What a broker must know of a topic. */
export interface TopicSettings {
  readonly name: string
  readonly partitions: number
  /** 'compacted' keeps the latest record of each key; a number of ms deletes older records. */
  readonly retention: 'compacted' | { readonly ms: number }
  /** Largest record in bytes. */
  readonly maxRecordBytes: number
  /**
   * When records and committed offsets reach the disk. A killed process loses none of either.
   * 'at-once' (default): right after each commit; a power cut may lose those of the last moment.
   * 'by-os': whenever the operating system writes its cache, so nothing waits for a disk; a power cut may lose all of the
   * topic's. For records that are void within seconds, such as requests and replies.
   * Kafka leaves every topic to the operating system and relies on replicas: its adapter ignores this.
   */
  readonly flush?: 'at-once' | 'by-os'
}
