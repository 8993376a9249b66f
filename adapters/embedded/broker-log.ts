/**
 * The log on disk: topics, records by (topic, partition, offset), committed offsets, compaction and retention.
 *
 *   [one-transaction]  everything between `transact` and its promise becomes visible together or not at all
 *   [never-reused]     a partition's end offset only grows, whatever compaction or retention deletes
 *   [checked-first]    a record that cannot be written is refused by `prepare`, before any transaction begins
 */
import type { Database, RootDatabase } from 'lmdb'
import type { OutputRecord, StoredRecord } from '../../ports/broker.ts'
import { InvalidRecordError, SetupError } from '../../ports/errors.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { fewerPartitions } from '../fewer-partitions.ts'
import { partitionForKey } from '../partitioner.ts'
import {
  decodeRecord,
  encodeRecord,
  latestKey,
  logKey,
  offsetOfLogKey,
  partitionKey,
  timestampOf,
  tombstoneKey,
} from './broker-record.ts'

const DAY_MS = 86_400_000
/** As Kafka's delete.retention.ms: readers that are at most this late still see a deletion. */
export const TOMBSTONE_RETENTION_MS = DAY_MS
/** Deleted in one transaction at most, so that retention never holds up producers for long. */
const DELETIONS_A_TRANSACTION = 500
const MOST_PARTITIONS = 65_535

export interface TopicState extends TopicSettings {
  readonly id: number
}

/** A record that passed every check, ready to be written. */
export interface PreparedRecord {
  readonly topic: TopicState
  readonly partition: number
  readonly key: string | null
  readonly bytes: Buffer
  readonly tombstone: boolean
}

export class BrokerLog {
  readonly #root: RootDatabase
  readonly #topics: Database<TopicState, string>
  readonly #records: Database<Buffer, Buffer>
  readonly #ends: Database<number, Buffer>
  readonly #committed: Database<number, [string, string, number]>
  readonly #latest: Database<number, Buffer>
  readonly #tombstones: Database<Buffer, Buffer>
  readonly #now: () => number
  readonly #states = new Map<string, TopicState>()
  readonly #waiting = new Map<string, Set<() => void>>()
  readonly #writes = new Set<Promise<unknown>>()
  readonly #roundRobin = new Map<string, number>()

  constructor(root: RootDatabase, now: () => number) {
    this.#root = root
    this.#now = now
    this.#topics = root.openDB({ name: 'topics', encoding: 'json' })
    this.#records = root.openDB({ name: 'records', encoding: 'binary', keyEncoding: 'binary' })
    this.#ends = root.openDB({ name: 'ends', encoding: 'json', keyEncoding: 'binary' })
    this.#committed = root.openDB({ name: 'committed', encoding: 'json' })
    this.#latest = root.openDB({ name: 'latest', encoding: 'json', keyEncoding: 'binary' })
    this.#tombstones = root.openDB({ name: 'tombstones', encoding: 'binary', keyEncoding: 'binary' })
    for (const { value } of this.#topics.getRange()) this.#states.set(value.name, value)
  }

  /**
   * Creates topics, adds partitions, takes over changed limits; a topic that turns from timed to compacted is compacted
   * at once. @returns names of topics that got more partitions.
   * @param keysMayMove when a topic that holds records gets more partitions; else that is refused.
   * @throws SetupError 'topic-changed' when a topic would turn from compacted to timed retention, or has records that
   * cannot be compacted; 'fewer-partitions'
   */
  async ensureTopics(topics: readonly TopicSettings[], keysMayMove = false): Promise<readonly string[]> {
    const states = await this.transact(() => {
      const known = new Map([...this.#topics.getRange()].map(({ key, value }) => [key, value]))
      let lastId = Math.max(0, ...[...known.values()].map(({ id }) => id))
      return topics.map((topic) => {
        const earlier = known.get(topic.name)
        const state = nextState(topic, earlier, () => ++lastId)
        if (earlier !== undefined && earlier.partitions < state.partitions && !keysMayMove && this.#isUsed(earlier)) {
          throw fewerPartitions(topic.name, earlier.partitions, state.partitions)
        }
        if (earlier !== undefined && earlier.retention !== 'compacted' && state.retention === 'compacted') {
          this.#compactWhole(earlier)
        }
        this.#topics.put(state.name, state)
        return state
      })
    })
    const grown = states.filter(
      ({ name, partitions }) => (this.#states.get(name)?.partitions ?? partitions) < partitions,
    )
    for (const state of states) this.#states.set(state.name, state)
    return grown.map(({ name }) => name)
  }

  #isUsed(topic: TopicState): boolean {
    const partitions = Array.from({ length: topic.partitions }, (_, partition) => partition)
    return partitions.some((partition) => this.endOffset(topic, partition) > 0)
  }

  topics(): readonly TopicState[] {
    return [...this.#states.values()]
  }

  has(name: string): boolean {
    return this.#states.has(name)
  }

  /** @throws SetupError 'unknown-topic' */
  topic(name: string): TopicState {
    const state = this.#states.get(name)
    if (state === undefined) throw new SetupError('unknown-topic', `there is no topic ${name}; create it first`)
    return state
  }

  /** @throws SetupError 'unknown-topic', 'unknown-partition' */
  partitionOf(name: string, partition: number): TopicState {
    const topic = this.topic(name)
    if (!isPartitionOf(topic, partition)) {
      throw new SetupError(
        'unknown-partition',
        `topic ${name} has ${topic.partitions} partitions, not one ${partition}`,
      )
    }
    return topic
  }

  /** @throws SetupError 'unknown-topic', InvalidRecordError 'null-key', 'record-too-large', 'unknown-partition' */
  prepare(records: readonly OutputRecord[]): PreparedRecord[] {
    return records.map((record) => this.#prepareOne(record)) // [checked-first]
  }

  #prepareOne(record: OutputRecord): PreparedRecord {
    const topic = this.topic(record.topic)
    if (topic.retention === 'compacted' && record.key === null) {
      throw new InvalidRecordError('null-key', `a record for the compacted topic ${topic.name} has no key`)
    }
    const bytes = encodeRecord({
      key: record.key,
      value: record.value,
      headers: record.headers ?? {},
      timestamp: record.timestamp ?? this.#now(),
    })
    if (bytes.length > topic.maxRecordBytes) {
      throw new InvalidRecordError(
        'record-too-large',
        `record ${record.key} has ${bytes.length} bytes and topic ${topic.name} takes ${topic.maxRecordBytes}`,
      )
    }
    const partition = record.partition ?? this.#choosePartition(topic, record.partitionBy ?? record.key)
    if (!isPartitionOf(topic, partition)) {
      throw new InvalidRecordError(
        'unknown-partition',
        `record ${record.key} names partition ${partition} and topic ${topic.name} has ${topic.partitions}`,
      )
    }
    return { topic, partition, key: record.key, bytes, tombstone: record.value === null }
  }

  #choosePartition(topic: TopicState, key: string | null): number {
    if (key !== null) return partitionForKey(key, topic.partitions)
    const turn = this.#roundRobin.get(topic.name) ?? 0
    this.#roundRobin.set(topic.name, turn + 1)
    return turn % topic.partitions
  }

  /**
   * Runs `write` in one transaction, a child of its own, so that a throw undoes only this one. Resolves when what it
   * wrote is visible and outlives the process. [one-transaction]
   */
  async transact<T>(write: () => T): Promise<T> {
    const done = this.#root.childTransaction(write)
    this.#writes.add(done)
    try {
      return await done
    } finally {
      this.#writes.delete(done)
    }
  }

  /** Inside a transaction only. @returns one offset a record. */
  append(records: readonly PreparedRecord[]): { partition: number; offset: number }[] {
    const ends = new Map<string, { key: Buffer; offset: number }>()
    const positions = records.map((record) => {
      const { topic, partition } = record
      const name = partitionName(topic.name, partition)
      let end = ends.get(name)
      if (end === undefined) {
        const key = partitionKey(topic.id, partition)
        end = { key, offset: this.#ends.get(key) ?? 0 }
        ends.set(name, end)
      }
      const offset = end.offset++
      const key = logKey(topic.id, partition, offset)
      this.#records.put(key, record.bytes)
      if (topic.retention === 'compacted') this.#compact(record, offset, key)
      return { partition, offset }
    })
    for (const end of ends.values()) this.#ends.put(end.key, end.offset) // [never-reused]
    return positions
  }

  #compact({ topic, partition, key, tombstone }: Omit<PreparedRecord, 'bytes'>, offset: number, atKey: Buffer): void {
    const latest = latestKey(topic.id, partition, key!)
    const earlier = this.#latest.get(latest)
    if (earlier !== undefined) this.#records.remove(logKey(topic.id, partition, earlier))
    this.#latest.put(latest, offset)
    if (tombstone) this.#tombstones.put(tombstoneKey(this.#now(), atKey), latest)
  }

  /** Inside a transaction only. */
  #compactWhole(topic: TopicState): void {
    for (let partition = 0; partition < topic.partitions; partition++) {
      const records = [...this.#records.getRange(this.#rangeOf(topic, partition, 0))].map(({ key, value }) => {
        const record = decodeRecord(topic.name, partition, offsetOfLogKey(key), value)
        return { key: record.key, offset: record.offset, tombstone: record.value === null, at: Buffer.from(key) }
      })
      for (const { key, offset, tombstone, at } of records) {
        if (key === null) {
          throw new SetupError(
            'topic-changed',
            `topic ${topic.name} cannot be compacted: its record ${partition}/${offset} has no key; define a new version of the topic`,
          )
        }
        this.#compact({ topic, partition, key, tombstone }, offset, at)
      }
    }
  }

  /** Wakes whoever waits for these partitions. To be called once their transaction is visible. */
  notify(records: readonly PreparedRecord[]): void {
    for (const name of new Set(records.map((record) => partitionName(record.topic.name, record.partition)))) {
      for (const wake of this.#waiting.get(name) ?? []) wake()
    }
  }

  /**
   * Calls `wake` on each append to the partition. A reader that found nothing calls this in the same turn of the event
   * loop, so that no append falls in between. @returns how to stop.
   */
  onAppend(topic: string, partition: number, wake: () => void): () => void {
    const name = partitionName(topic, partition)
    const waiting = this.#waiting.get(name) ?? new Set()
    this.#waiting.set(name, waiting)
    waiting.add(wake)
    return () => waiting.delete(wake)
  }

  /** Ascending offsets from `fromOffset`; at most maxRecords, and no more once maxBytes is passed. */
  read(
    topic: TopicState,
    partition: number,
    fromOffset: number,
    maxRecords: number,
    maxBytes = Infinity,
  ): StoredRecord[] {
    this.#root.resetReadTxn()
    const records: StoredRecord[] = []
    let bytes = 0
    const range = { ...this.#rangeOf(topic, partition, fromOffset), limit: maxRecords }
    for (const { key, value } of this.#records.getRange(range)) {
      records.push(decodeRecord(topic.name, partition, offsetOfLogKey(key), value))
      bytes += value.length
      if (bytes >= maxBytes) break
    }
    return records
  }

  #rangeOf(topic: TopicState, partition: number, fromOffset: number): { start: Buffer; end: Buffer } {
    return { start: logKey(topic.id, partition, fromOffset), end: logKey(topic.id, partition, 2 ** 48 - 1) }
  }

  /** Offset that the next record of the partition will get. */
  endOffset(topic: TopicState, partition: number): number {
    this.#root.resetReadTxn()
    return this.#ends.get(partitionKey(topic.id, partition)) ?? 0
  }

  /** Offset of the first record at or after `fromOffset`, or the end where there is none. */
  firstOffset(topic: TopicState, partition: number, fromOffset: number): number {
    const end = this.endOffset(topic, partition)
    for (const key of this.#records.getKeys({ ...this.#rangeOf(topic, partition, fromOffset), limit: 1 })) {
      return offsetOfLogKey(key)
    }
    return end
  }

  committedOffset(group: string, topic: TopicState, partition: number): number | undefined {
    this.#root.resetReadTxn()
    return this.#committed.get([group, topic.name, partition])
  }

  /** Inside a transaction only. */
  setCommittedOffset(group: string, topic: TopicState, partition: number, offset: number): void {
    this.#committed.put([group, topic.name, partition], offset)
  }

  /** Deletes what its topic's retention no longer keeps. @returns how many records. */
  async enforceRetention(now: number): Promise<number> {
    let deleted = await this.#expireTombstones(now - TOMBSTONE_RETENTION_MS)
    for (const topic of this.topics()) {
      if (topic.retention === 'compacted') continue
      const before = now - topic.retention.ms
      for (let partition = 0; partition < topic.partitions; partition++) {
        deleted += await this.#deleteOlder(topic, partition, before)
      }
    }
    return deleted
  }

  /** From the partition's start to its first record that is young enough. */
  async #deleteOlder(topic: TopicState, partition: number, beforeMs: number): Promise<number> {
    for (let deleted = 0; ; ) {
      const old: Buffer[] = []
      const range = { ...this.#rangeOf(topic, partition, 0), limit: DELETIONS_A_TRANSACTION }
      for (const { key, value } of this.#records.getRange(range)) {
        if (timestampOf(value) >= beforeMs) break
        old.push(Buffer.from(key))
      }
      if (old.length === 0) return deleted
      await this.transact(() => {
        for (const key of old) this.#records.remove(key)
      })
      deleted += old.length
    }
  }

  async #expireTombstones(beforeMs: number): Promise<number> {
    for (let deleted = 0; ; ) {
      const range = { end: tombstoneKey(Math.max(0, beforeMs), Buffer.alloc(0)), limit: DELETIONS_A_TRANSACTION }
      const old = [...this.#tombstones.getRange(range)].map(({ key, value }) => ({
        key: Buffer.from(key),
        log: Buffer.from(key).subarray(6),
        latest: value,
      }))
      if (old.length === 0) return deleted
      deleted += await this.transact(() => {
        let removed = 0
        for (const { key, log, latest } of old) {
          this.#tombstones.remove(key)
          // A newer record of the key has already deleted the tombstone itself.
          if (this.#latest.get(latest) !== offsetOfLogKey(log)) continue
          this.#latest.remove(latest)
          this.#records.remove(log)
          removed++
        }
        return removed
      })
    }
  }

  /** Resolves when every transaction begun so far has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#writes)
  }
}

function partitionName(topic: string, partition: number): string {
  return `${partition} ${topic}`
}

function isPartitionOf(topic: TopicState, partition: number): boolean {
  return Number.isInteger(partition) && partition >= 0 && partition < topic.partitions
}

function nextState(topic: TopicSettings, earlier: TopicState | undefined, newId: () => number): TopicState {
  const { name, retention, maxRecordBytes } = topic
  if (!Number.isInteger(topic.partitions) || topic.partitions < 1 || topic.partitions > MOST_PARTITIONS) {
    throw new SetupError('bad-topic', `topic ${name} asks for ${topic.partitions} partitions`)
  }
  if (earlier !== undefined && earlier.retention === 'compacted' && retention !== 'compacted') {
    throw new SetupError(
      'topic-changed',
      `topic ${name} is compacted and cannot change to timed retention; define a new version of the topic`,
    )
  }
  const partitions = Math.max(topic.partitions, earlier?.partitions ?? 0)
  return { id: earlier?.id ?? newId(), name, partitions, retention, maxRecordBytes }
}
