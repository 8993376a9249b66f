/**
 * Broker: partitioned, ordered, durable topics with consumer groups and atomic produce + commit.
 *
 * Invariants that every adapter upholds (tests/conformance/broker.ts):
 *   [order]     records of one key are consumed in the order they were produced
 *   [group]     each partition is consumed by one member of a group at a time
 *   [atomic]    outputs and the offset of a `commit` become visible together or not at all
 *   [replay]    what was not committed is delivered again, from the committed offset
 *   [durable]   what was acknowledged outlives the process
 *
 * An adapter may keep topics of different `TopicSettings.flush` in logs of their own. It then refuses a produce or commit
 * that mixes them (SetupError 'mixed-flush') rather than weaken [atomic].
 */
import type { TopicSettings } from './topic-settings.ts'

export type Headers = Readonly<Record<string, string>>

export interface OutputRecord {
  readonly topic: string
  /** null only on topics that are not compacted. */
  readonly key: string | null
  /** null is a tombstone: on a compacted topic it removes the key. */
  readonly value: Uint8Array | null
  readonly headers?: Headers
  /** Set only to address one partition (replies); otherwise the hash of `partitionBy`, or of the key, decides. */
  readonly partition?: number
  /** Hashed in place of the key, so that records of several keys share a partition. */
  readonly partitionBy?: string
  /** Unix epoch, ms; the broker's clock if absent. */
  readonly timestamp?: number
}

export interface StoredRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: Uint8Array | null
  readonly headers: Headers
  /** Unix epoch, ms. */
  readonly timestamp: number
}

export interface Batch {
  readonly topic: string
  readonly partition: number
  /** At least one; ascending offsets of one partition, not always contiguous. */
  readonly records: readonly StoredRecord[]
  /** Offset that the next record produced to this partition will get. */
  readonly endOffset: number
  /** Aborted when the partition is taken away or the consumer stops: leave as soon as possible, commit nothing. */
  readonly signal: AbortSignal
  /**
   * Moves the group's offset to `nextOffset` (the first record that is not done) and produces `outputs`.
   * May be called several times in a batch. [atomic]
   * @throws FencedError when this member no longer owns the partition; InvalidRecordError when a topic does not take an
   * output ('record-too-large', 'null-key', 'unknown-partition'), and nothing is written; OutageError when the broker is
   * away, and the batch comes again; SetupError 'mixed-flush' when an output's topic is flushed otherwise than this
   * batch's, and the adapter keeps the two apart.
   */
  commit(nextOffset: number, outputs: readonly OutputRecord[]): Promise<void>
}

/** What the consumer does next with the batch's partition: go on, or wait and deliver again from the committed offset. */
export type BatchOutcome = { readonly next: 'continue' } | { readonly next: 'pause'; readonly forMs: number }

export interface ConsumeOptions {
  readonly group: string
  readonly topics: readonly string[]
  /** Records in a batch at most. */
  readonly maxRecords: number
  /** Where a group with no committed offset begins. */
  readonly from: 'earliest' | 'latest'
  /**
   * false gives up [atomic] for speed: outputs are written first, then the offset, so that a member that dies in between
   * leaves outputs that come again. For sinks, and for replies that are void within seconds. Default true.
   */
  readonly atomic?: boolean
  /** Topics that commits write to: where a broker's crash left a commit by halves, it is made whole in these. */
  readonly outputs?: readonly string[]
  /** Called for one batch a partition at a time; several partitions at once. A rejection stops the consumer (`failed`). */
  onBatch(batch: Batch): Promise<BatchOutcome>
}

export interface PartitionLag {
  readonly topic: string
  readonly partition: number
  readonly committedOffset: number
  readonly endOffset: number
  /** endOffset − committedOffset: an upper bound where compaction left gaps. */
  readonly lagRecords: number
}

export interface Consumer {
  /** Settles when the consumer has ended: resolves after stop(), rejects with the error that ended it. */
  readonly ended: Promise<void>
  assignment(): readonly { topic: string; partition: number; paused: boolean }[]
  /** Stops fetching, waits for running batches (aborting them after `graceMs`), leaves the group. */
  stop(graceMs?: number): Promise<void>
}

export interface Broker {
  /**
   * Creates what is missing; never deletes or shrinks. More partitions are added to topics that nothing was written to.
   * @throws SetupError 'fewer-partitions' for one that holds records: its keys would move.
   */
  ensureTopics(topics: readonly TopicSettings[]): Promise<void>
  topics(): Promise<readonly { name: string; partitions: number }[]>
  /**
   * Resolves when all are acknowledged, all or none. @returns one (partition, offset) a record, in order.
   * @throws OutageError when the broker is away; SetupError 'mixed-flush' when the topics differ in `flush` and the adapter keeps the two apart.
   */
  produce(records: readonly OutputRecord[]): Promise<readonly { partition: number; offset: number }[]>
  consume(options: ConsumeOptions): Promise<Consumer>
  /** Follows one partition from its end, outside any group: how a gateway instance reads its replies. */
  tail(topic: string, partition: number, onRecord: (record: StoredRecord) => void): Promise<{ stop(): Promise<void> }>
  /** Reads without a group: [fromOffset, …), at most maxRecords. */
  read(topic: string, partition: number, fromOffset: number, maxRecords: number): Promise<readonly StoredRecord[]>
  lag(group: string, topics: readonly string[]): Promise<readonly PartitionLag[]>
  /** Sets a group's offset while no member runs (replay). */
  seek(group: string, topic: string, partition: number, offset: number): Promise<void>
  close(): Promise<void>
}
