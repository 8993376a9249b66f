/**
 * The embedded Broker: Kafka's contract inside one process, durable under the data folder.
 *
 *     produce ──▶ log (LMDB) ──▶ lane of the owning member ──▶ onBatch ──▶ commit: outputs + offset, one transaction
 *
 * Upholds the invariants of ports/broker.ts: [order] and [atomic] by LMDB's single writer, [group] and [replay] by lanes
 * that start from the committed offset, [durable] by answering only once a transaction is committed. Each topic lies in
 * one of two logs by its `flush` (broker-logs.ts); one call writes to one of them, or is refused. What a power cut may
 * lose: of 'at-once' the transactions of the last moment, never part of one (store.ts); of 'by-os' everything
 * (volatile-store.ts).
 */
import { join } from 'node:path'
import type { Broker, ConsumeOptions, Consumer, OutputRecord, PartitionLag, StoredRecord } from '../../ports/broker.ts'
import { InvalidRequestError, SetupError } from '../../ports/errors.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { ConsumerGroup } from './broker-group.ts'
import { BrokerLogs } from './broker-logs.ts'
import { acquireFolder, type FolderHold } from './folder-lock.ts'
import type { StoreOptions } from './store.ts'

const TAIL_RECORDS = 1000
const TAIL_BYTES = 16 * 1024 * 1024
const CLOSE_GRACE_MS = 5_000

export interface EmbeddedBrokerOptions extends StoreOptions {
  readonly dataFolder: string
  /** Unix epoch, ms. Default Date.now. */
  readonly now?: () => number
  /** How often retention is enforced; 0 leaves it to `enforceRetention`. Default a minute. */
  readonly retentionIntervalMs?: number
  /** What goes wrong where no caller waits: retention on the timer (tried again), a volatile log set aside at open. */
  readonly onError?: (error: unknown) => void
}

export class EmbeddedBroker implements Broker {
  readonly #hold: FolderHold
  readonly #logs: BrokerLogs
  readonly #now: () => number
  readonly #onError: (error: unknown) => void
  readonly #groups = new Map<string, ConsumerGroup>()
  readonly #tails = new Set<() => void>()
  readonly #retentionTimer: NodeJS.Timeout | undefined
  #closed: Promise<void> | undefined

  /** @throws SetupError 'data-folder-in-use' when another process, or another broker of this one, has the folder. */
  static async open(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
    const { now = Date.now, onError = () => {}, retentionIntervalMs = 60_000, ...others } = options
    const hold = await acquireFolder(join(options.dataFolder, 'broker'))
    try {
      const logs = await BrokerLogs.open({ ...others, now, onError })
      return new EmbeddedBroker(hold, logs, { now, onError, retentionIntervalMs })
    } catch (error) {
      await hold.release()
      throw error
    }
  }

  private constructor(
    hold: FolderHold,
    logs: BrokerLogs,
    options: Required<Pick<EmbeddedBrokerOptions, 'now' | 'onError' | 'retentionIntervalMs'>>,
  ) {
    this.#hold = hold
    this.#logs = logs
    this.#now = options.now
    this.#onError = options.onError
    const intervalMs = options.retentionIntervalMs
    if (intervalMs > 0) this.#retentionTimer = setInterval(() => this.#enforceOnTimer(), intervalMs).unref()
  }

  /** @param options.keysMayMove adds partitions also to a topic that holds records, for an operator who allows it. */
  async ensureTopics(
    topics: readonly TopicSettings[],
    { keysMayMove = false }: { readonly keysMayMove?: boolean } = {},
  ): Promise<void> {
    this.#assertOpen()
    const grown = await this.#logs.ensureTopics(topics, keysMayMove)
    if (grown.length > 0) for (const group of this.#groups.values()) group.rebalance()
  }

  async topics(): Promise<readonly { name: string; partitions: number }[]> {
    return this.#logs.topics().map(({ name, partitions }) => ({ name, partitions }))
  }

  /** As they are kept now: ensureTopics takes over what changed. */
  topicSettings(): readonly TopicSettings[] {
    return this.#logs.topicSettings()
  }

  async produce(records: readonly OutputRecord[]): Promise<readonly { partition: number; offset: number }[]> {
    this.#assertOpen()
    const log = this.#logs.sharedBy(records.map(({ topic }) => topic))
    const prepared = log.prepare(records)
    const positions = await log.transact(() => log.append(prepared))
    log.notify(prepared)
    return positions
  }

  async consume(options: ConsumeOptions): Promise<Consumer> {
    this.#assertOpen()
    for (const topic of options.topics) this.#logs.topic(topic)
    if (options.from === 'latest') await this.#startAtEnd(options)
    const group = this.#groups.get(options.group) ?? new ConsumerGroup(options.group, this.#logs)
    this.#groups.set(options.group, group)
    return group.join(options)
  }

  /** Where a group begins is written down, so that a crash before its first commit loses nothing. */
  async #startAtEnd({ group, topics }: ConsumeOptions): Promise<void> {
    const startAt = (name: string) => () => {
      for (const { log, topic, partition } of this.#partitionsOf([name])) {
        if (log.committedOffset(group, topic, partition) !== undefined) continue
        log.setCommittedOffset(group, topic, partition, log.endOffset(topic, partition))
      }
    }
    await Promise.all(topics.map((name) => this.#logs.of(name).transact(startAt(name))))
  }

  async tail(
    topicName: string,
    partition: number,
    onRecord: (record: StoredRecord) => void,
  ): Promise<{ stop(): Promise<void> }> {
    this.#assertOpen()
    const log = this.#logs.of(topicName)
    const topic = log.partitionOf(topicName, partition)
    let position = log.endOffset(topic, partition)
    const deliver = () => {
      while (this.#tails.has(forget)) {
        const records = log.read(topic, partition, position, TAIL_RECORDS, TAIL_BYTES)
        if (records.length === 0) return
        for (const record of records) {
          if (!this.#tails.has(forget)) return
          position = record.offset + 1
          onRecord(record)
        }
      }
    }
    // In a turn of its own: what onRecord throws is the listener's, not the producer's.
    const forget = log.onAppend(topicName, partition, () => setImmediate(deliver))
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
    const log = this.#logs.of(topic)
    return log.read(log.partitionOf(topic, partition), partition, fromOffset, maxRecords)
  }

  async lag(group: string, topics: readonly string[]): Promise<readonly PartitionLag[]> {
    this.#assertOpen()
    return this.#partitionsOf(topics).map(({ log, topic, partition }) => {
      // Where the group goes on: what retention has deleted is no lag.
      const committed = log.committedOffset(group, topic, partition) ?? 0
      const committedOffset = log.firstOffset(topic, partition, committed)
      const endOffset = log.endOffset(topic, partition)
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
    const log = this.#logs.of(topicName)
    const topic = log.partitionOf(topicName, partition)
    await log.transact(() => log.setCommittedOffset(group, topic, partition, offset))
  }

  /** Deletes what its topic's retention no longer keeps at `now`. @returns how many records. */
  async enforceRetention(now: number = this.#now()): Promise<number> {
    this.#assertOpen()
    return this.#logs.enforceRetention(now)
  }

  #enforceOnTimer(): void {
    // Tried again at the next turn.
    this.enforceRetention().catch(this.#onError)
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
    await this.#logs.close().finally(() => this.#hold.release())
  }

  #partitionsOf(topics: readonly string[]) {
    return topics.flatMap((name) => {
      const log = this.#logs.of(name)
      const topic = log.topic(name)
      return Array.from({ length: topic.partitions }, (_, partition) => ({ log, topic, partition }))
    })
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new SetupError('broker-closed', 'the broker was closed')
  }
}
