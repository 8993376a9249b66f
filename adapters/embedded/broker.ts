/**
 * The embedded Broker: Kafka's contract inside one process, durable under `<dataFolder>/broker`.
 *
 *     produce ──▶ log (LMDB) ──▶ lane of the owning member ──▶ onBatch ──▶ commit: outputs + offset, one transaction
 *
 * Upholds the invariants of ports/broker.ts: [order] and [atomic] by LMDB's single writer, [group] and [replay] by lanes
 * that start from the committed offset, [durable] by answering only once a transaction is committed. A power cut may
 * lose the transactions of the last moment, never part of one (store.ts).
 */
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import type { Broker, ConsumeOptions, Consumer, OutputRecord, PartitionLag, StoredRecord } from '../../ports/broker.ts'
import { InvalidRequestError, SetupError } from '../../ports/errors.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { ConsumerGroup } from './broker-group.ts'
import { BrokerLog } from './broker-log.ts'
import { acquireFolder, type FolderHold } from './folder-lock.ts'
import { openStore, type StoreOptions } from './store.ts'

const TAIL_RECORDS = 1000
const TAIL_BYTES = 16 * 1024 * 1024
const CLOSE_GRACE_MS = 5_000

export interface EmbeddedBrokerOptions extends StoreOptions {
  readonly dataFolder: string
  /** Unix epoch, ms. Default Date.now. */
  readonly now?: () => number
  /** How often retention is enforced; 0 leaves it to `enforceRetention`. Default a minute. */
  readonly retentionIntervalMs?: number
}

export class EmbeddedBroker implements Broker {
  readonly #hold: FolderHold
  readonly #root: RootDatabase
  readonly #log: BrokerLog
  readonly #now: () => number
  readonly #groups = new Map<string, ConsumerGroup>()
  readonly #tails = new Set<() => void>()
  readonly #retentionTimer: NodeJS.Timeout | undefined
  #closed: Promise<void> | undefined

  /** @throws SetupError 'data-folder-in-use' when another process, or another broker of this one, has the folder. */
  static async open(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
    const hold = await acquireFolder(join(options.dataFolder, 'broker'))
    return new EmbeddedBroker(options, hold)
  }

  private constructor(options: EmbeddedBrokerOptions, hold: FolderHold) {
    this.#hold = hold
    this.#now = options.now ?? Date.now
    this.#root = openStore(join(options.dataFolder, 'broker'), options)
    this.#log = new BrokerLog(this.#root, this.#now)
    const intervalMs = options.retentionIntervalMs ?? 60_000
    if (intervalMs > 0) this.#retentionTimer = setInterval(() => this.#enforceOnTimer(), intervalMs).unref()
  }

  async ensureTopics(topics: readonly TopicSettings[]): Promise<void> {
    this.#assertOpen()
    const grown = await this.#log.ensureTopics(topics)
    if (grown.length > 0) for (const group of this.#groups.values()) group.rebalance()
  }

  async topics(): Promise<readonly { name: string; partitions: number }[]> {
    return this.#log.topics().map(({ name, partitions }) => ({ name, partitions }))
  }

  async produce(records: readonly OutputRecord[]): Promise<readonly { partition: number; offset: number }[]> {
    this.#assertOpen()
    const prepared = this.#log.prepare(records)
    const positions = await this.#log.transact(() => this.#log.append(prepared))
    this.#log.notify(prepared)
    return positions
  }

  async consume(options: ConsumeOptions): Promise<Consumer> {
    this.#assertOpen()
    for (const topic of options.topics) this.#log.topic(topic)
    if (options.from === 'latest') await this.#startAtEnd(options)
    const group = this.#groups.get(options.group) ?? new ConsumerGroup(options.group, this.#log)
    this.#groups.set(options.group, group)
    return group.join(options)
  }

  /** Where a group begins is written down, so that a crash before its first commit loses nothing. */
  async #startAtEnd({ group, topics }: ConsumeOptions): Promise<void> {
    await this.#log.transact(() => {
      for (const { topic, partition } of this.#partitionsOf(topics)) {
        if (this.#log.committedOffset(group, topic, partition) !== undefined) continue
        this.#log.setCommittedOffset(group, topic, partition, this.#log.endOffset(topic, partition))
      }
    })
  }

  async tail(
    topicName: string,
    partition: number,
    onRecord: (record: StoredRecord) => void,
  ): Promise<{ stop(): Promise<void> }> {
    this.#assertOpen()
    const topic = this.#log.partitionOf(topicName, partition)
    let position = this.#log.endOffset(topic, partition)
    const deliver = () => {
      while (this.#tails.has(forget)) {
        const records = this.#log.read(topic, partition, position, TAIL_RECORDS, TAIL_BYTES)
        if (records.length === 0) return
        for (const record of records) {
          if (!this.#tails.has(forget)) return
          position = record.offset + 1
          onRecord(record)
        }
      }
    }
    // In a turn of its own: what onRecord throws is the listener's, not the producer's.
    const forget = this.#log.onAppend(topicName, partition, () => setImmediate(deliver))
    const stop = () => {
      forget()
      this.#tails.delete(forget)
    }
    this.#tails.add(forget)
    return { stop: async () => stop() }
  }

  async read(
    topic: string,
    partition: number,
    fromOffset: number,
    maxRecords: number,
  ): Promise<readonly StoredRecord[]> {
    this.#assertOpen()
    return this.#log.read(this.#log.partitionOf(topic, partition), partition, fromOffset, maxRecords)
  }

  async lag(group: string, topics: readonly string[]): Promise<readonly PartitionLag[]> {
    this.#assertOpen()
    return this.#partitionsOf(topics).map(({ topic, partition }) => {
      // Where the group goes on: what retention has deleted is no lag.
      const committed = this.#log.committedOffset(group, topic, partition) ?? 0
      const committedOffset = this.#log.firstOffset(topic, partition, committed)
      const endOffset = this.#log.endOffset(topic, partition)
      return { topic: topic.name, partition, committedOffset, endOffset, lagRecords: endOffset - committedOffset }
    })
  }

  async seek(group: string, topicName: string, partition: number, offset: number): Promise<void> {
    this.#assertOpen()
    if ((this.#groups.get(group)?.members.length ?? 0) > 0) {
      throw new InvalidRequestError('group-running', `stop the members of ${group} before setting its offset`, {
        status: 409,
      })
    }
    const topic = this.#log.partitionOf(topicName, partition)
    await this.#log.transact(() => this.#log.setCommittedOffset(group, topic, partition, offset))
  }

  /** Deletes what its topic's retention no longer keeps at `now`. @returns how many records. */
  enforceRetention(now: number = this.#now()): Promise<number> {
    this.#assertOpen()
    return this.#log.enforceRetention(now)
  }

  #enforceOnTimer(): void {
    // A failed disk shows itself to producers as well; retention is tried again at the next turn.
    this.enforceRetention().catch(() => {})
  }

  /** Stops consumers and tails, waits for commits under way, lets go of the folder. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    clearInterval(this.#retentionTimer)
    for (const forget of this.#tails) forget()
    this.#tails.clear()
    const members = [...this.#groups.values()].flatMap((group) => group.members)
    await Promise.all(members.map((member) => member.stop(CLOSE_GRACE_MS)))
    await this.#log.settled()
    await this.#root.close()
    await this.#hold.release()
  }

  #partitionsOf(topics: readonly string[]) {
    return topics.flatMap((name) => {
      const topic = this.#log.topic(name)
      return Array.from({ length: topic.partitions }, (_, partition) => ({ topic, partition }))
    })
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new SetupError('broker-closed', 'the broker was closed')
  }
}
