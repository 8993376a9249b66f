/**
 * The Broker port on Apache Kafka 2.5 and later, over kafkajs's connections and requests.
 *
 *     produce ──▶ writer ──▶ leaders                     fetcher ──▶ lane of the partition ──▶ onBatch
 *                                                                          │
 *                       outputs + offset, one transaction ◀── commit ◀─────┘
 *
 * [order] one batch on the way to a partition, calls in their order; [group] partitions are given up before others get
 * them, and commits of who lost one are refused by Kafka; [atomic] a transaction for each commit with outputs, under an id
 * of the partition's own; [replay] a lane starts from the committed offset; [durable] acknowledged by all replicas in sync.
 */
import { randomUUID } from 'node:crypto'
import type { Broker, ConsumeOptions, Consumer, OutputRecord, PartitionLag, StoredRecord } from '../../ports/broker.ts'
import { SetupError } from '../../ports/errors.ts'
import type { TopicAdmin } from '../../ports/topic-admin.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { fewerPartitions } from '../fewer-partitions.ts'
import { settlesWithin } from '../settles-within.ts'
import { type KafkaOptions, kafkaClient } from './client.ts'
import { GroupConsumer } from './consumer.ts'
import { patiently, within } from './faults.ts'
import { assertPartition, read, tail } from './follow.ts'
import { Nodes, unknownTopic } from './nodes.ts'
import { Offsets } from './offsets.ts'
import { assertKnownTo } from './requests.ts'
import { Sender } from './sender.ts'
import { openKafkaTopicAdmin } from './topic-admin.ts'
import { TopicDirectory } from './topic-directory.ts'
import { TransactionalProducer } from './transaction.ts'
import { Writer } from './writer.ts'

const DEFAULT_SESSION_MS = 10_000
const DEFAULT_DELIVERY_MS = 15_000
const CLOSE_GRACE_MS = 5_000
const LEADERS_WITHIN_MS = 30_000
/** kafkajs's own client waits for what it has asked. */
const ADMIN_CLOSES_WITHIN_MS = 1_000

export type { KafkaOptions } from './client.ts'

/** @throws OutageError when no broker answers; SetupError for what an operator must mend. */
export async function openKafkaBroker(options: KafkaOptions): Promise<Broker> {
  const broker = new KafkaBroker(options)
  try {
    await broker.connect()
    return broker
  } catch (error) {
    await broker.close()
    throw error
  }
}

class KafkaBroker implements Broker {
  readonly #options: KafkaOptions
  readonly #deliveryTimeoutMs: number
  /** Produce, look-ups and reads. */
  readonly #nodes: Nodes
  /** Commits of all consumers. */
  readonly #commitNodes: Nodes
  readonly #directory: TopicDirectory
  readonly #writer: Writer
  readonly #offsets: Offsets
  readonly #consumers = new Set<GroupConsumer>()
  readonly #tails = new Set<{ stop(): Promise<void> }>()
  /** Calls reach the writer in the order in which they were made, whatever one must look up. [order] */
  #preparing: Promise<void> = Promise.resolve()
  #admin: Promise<TopicAdmin> | undefined
  #closed: Promise<void> | undefined

  constructor(options: KafkaOptions) {
    this.#options = options
    this.#deliveryTimeoutMs = options.deliveryTimeoutMs ?? DEFAULT_DELIVERY_MS
    this.#nodes = new Nodes(options)
    this.#commitNodes = new Nodes(options)
    this.#directory = new TopicDirectory(this.#nodes)
    this.#offsets = new Offsets(this.#commitNodes)
    const producer = new TransactionalProducer(this.#nodes, `${options.clientId}.${randomUUID()}`)
    this.#writer = new Writer(new Sender(this.#nodes), producer)
  }

  async connect(): Promise<void> {
    await this.#patiently('connecting', async () => assertKnownTo(await this.#nodes.any()))
  }

  async ensureTopics(topics: readonly TopicSettings[]): Promise<void> {
    this.#assertOpen()
    const admin = await this.#openAdmin()
    const wanted = await admin.wanted(topics)
    const present = new Map((await this.topics()).map(({ name, partitions }) => [name, partitions]))
    const missing = wanted.filter(({ name }) => !present.has(name))
    const small = wanted.filter(({ name, partitions }) => (present.get(name) ?? partitions) < partitions)
    for (const { name, partitions } of small) {
      const found = present.get(name)!
      if (!(await this.#isUnused(name, found))) throw fewerPartitions(name, found, partitions)
    }
    if (missing.length > 0) await admin.create(missing)
    for (const { name, partitions } of small) await admin.addPartitions(name, partitions)
    const names = topics.map(({ name }) => name)
    this.#directory.forget(names)
    await patiently('waiting for leaders', { deadline: within(LEADERS_WITHIN_MS) }, async () => {
      const layouts = await this.#nodes.layouts(names)
      const isLed = ({ name, partitions }: { name: string; partitions: number }) => {
        const leaders = layouts.find((layout) => layout.name === name)?.leaders ?? []
        return leaders.length >= partitions && leaders.every((leader) => leader !== -1)
      }
      const waiting = topics.find((topic) => !isLed(topic))
      if (waiting !== undefined) throw Object.assign(new Error(waiting.name), { type: 'LEADER_NOT_AVAILABLE' })
    })
  }

  /** Nothing was ever written to it, not even by a transaction that is open. */
  async #isUnused(topic: string, partitions: number): Promise<boolean> {
    const all = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
    const ends = await new Offsets(this.#nodes).edge(all, 'latest', { deadline: within(this.#deliveryTimeoutMs) })
    return ends.every((end) => end === 0)
  }

  async topics(): Promise<readonly { name: string; partitions: number }[]> {
    const layouts = await this.#patiently('listing topics', () => this.#nodes.allLayouts())
    return layouts
      .filter(({ name }) => !name.startsWith('__'))
      .map(({ name, leaders }) => ({ name, partitions: leaders.length }))
  }

  async produce(records: readonly OutputRecord[]): Promise<readonly { partition: number; offset: number }[]> {
    this.#assertOpen()
    const deadline = within(this.#deliveryTimeoutMs)
    const prepared = this.#preparing.then(() => this.#directory.prepare(records, deadline))
    this.#preparing = prepared.then(ignored, ignored)
    return this.#writer.write(await prepared, deadline)
  }

  async consume(consume: ConsumeOptions): Promise<Consumer> {
    this.#assertOpen()
    const layouts = await this.#patiently('looking up topics', () => this.#nodes.layouts(consume.topics))
    const missing = consume.topics.find((topic) => !layouts.some(({ name }) => name === topic))
    if (missing !== undefined) throw unknownTopic(missing)
    if (consume.from === 'latest') await this.#startAtEnd(consume)
    this.#assertOpen()
    const sessionTimeoutMs = this.#options.sessionTimeoutMs ?? DEFAULT_SESSION_MS
    const consumer = new GroupConsumer({
      options: this.#options,
      consume,
      directory: this.#directory,
      writer: this.#writer,
      offsets: this.#offsets,
      commitNodes: this.#commitNodes,
      sessionTimeoutMs,
      heartbeatMs: this.#options.heartbeatMs ?? sessionTimeoutMs / 20,
      deliveryTimeoutMs: this.#deliveryTimeoutMs,
      onError: (error) => this.#options.onError?.(error),
      onEnd: (ended) => this.#consumers.delete(ended),
    })
    this.#consumers.add(consumer)
    return consumer
  }

  /** What is produced after `consume` resolved is delivered. A group that runs has begun already. */
  async #startAtEnd({ group, topics }: ConsumeOptions): Promise<void> {
    const patience = { deadline: within(this.#deliveryTimeoutMs) }
    const partitions = this.#partitionsOf(topics)
    const committed = await this.#offsets.committed(group, partitions, false, patience)
    const fresh = partitions.filter((_, i) => committed[i] === undefined)
    if (fresh.length === 0) return
    const ends = await new Offsets(this.#nodes).edge(fresh, 'latest', patience)
    const offsets = fresh.map((partition, i) => ({ ...partition, offset: ends[i]! }))
    await this.#offsets.seek(group, offsets, patience).catch((error: Error & { code?: string }) => {
      if (error.code !== 'group-running') throw error
    })
  }

  async tail(
    topic: string,
    partition: number,
    onRecord: (record: StoredRecord) => void,
  ): Promise<{ stop(): Promise<void> }> {
    this.#assertOpen()
    const onError = (error: unknown) => this.#options.onError?.(error)
    const deadline = within(this.#deliveryTimeoutMs)
    const following = await tail(this.#options, { topic, partition }, onRecord, onError, deadline)
    this.#tails.add(following)
    return {
      stop: async () => {
        this.#tails.delete(following)
        await following.stop()
      },
    }
  }

  read(topic: string, partition: number, fromOffset: number, maxRecords: number): Promise<readonly StoredRecord[]> {
    this.#assertOpen()
    return read(this.#nodes, { topic, partition }, fromOffset, maxRecords, within(this.#deliveryTimeoutMs))
  }

  async lag(group: string, topics: readonly string[]): Promise<readonly PartitionLag[]> {
    this.#assertOpen()
    const patience = { deadline: within(this.#deliveryTimeoutMs) }
    const layouts = await this.#patiently('looking up topics', () => this.#nodes.layouts(topics))
    const missing = topics.find((topic) => !layouts.some(({ name }) => name === topic))
    if (missing !== undefined) throw unknownTopic(missing)
    const partitions = this.#partitionsOf(topics)
    const logs = new Offsets(this.#nodes)
    const [committed, starts, ends] = await Promise.all([
      this.#offsets.committed(group, partitions, false, patience),
      logs.edge(partitions, 'earliest', patience),
      logs.edge(partitions, 'latest', patience),
    ])
    return partitions.map(({ topic, partition }, i) => {
      const endOffset = ends[i]!
      // Where the group goes on: what retention has deleted is no lag.
      const committedOffset = Math.max(committed[i] ?? 0, starts[i]!)
      return { topic, partition, committedOffset, endOffset, lagRecords: Math.max(0, endOffset - committedOffset) }
    })
  }

  async seek(group: string, topic: string, partition: number, offset: number): Promise<void> {
    this.#assertOpen()
    const patience = { deadline: within(this.#deliveryTimeoutMs) }
    await assertPartition(this.#nodes, { topic, partition }, patience.deadline)
    await this.#offsets.seek(group, [{ topic, partition, offset }], patience)
  }

  /**
   * Stops consumers and tails, waits for commits and produces under way, ends every connection. What Kafka has not answered
   * within CLOSE_GRACE_MS is given up: it rejects.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    try {
      const consumers = [...this.#consumers].map((consumer) => consumer.stop(CLOSE_GRACE_MS))
      const tails = [...this.#tails].map((following) => following.stop())
      await Promise.all([...consumers, ...tails, settlesWithin(this.#writer.idle(), CLOSE_GRACE_MS)])
      await settlesWithin(this.#closeAdmin(), ADMIN_CLOSES_WITHIN_MS)
    } finally {
      this.#nodes.close()
      this.#commitNodes.close()
    }
  }

  async #closeAdmin(): Promise<void> {
    const admin = await this.#admin?.catch(() => undefined)
    await admin?.close()
  }

  #openAdmin(): Promise<TopicAdmin> {
    const { replicationFactor } = this.#options
    const replication = replicationFactor === undefined ? {} : { replicationFactor }
    this.#admin ??= openKafkaTopicAdmin(kafkaClient(this.#options), replication)
    this.#admin.catch(() => {
      this.#admin = undefined
    })
    return this.#admin
  }

  #partitionsOf(topics: readonly string[]): { topic: string; partition: number }[] {
    return topics.flatMap((topic) => {
      return this.#nodes.layout(topic)!.leaders.map((_, partition) => ({ topic, partition }))
    })
  }

  #patiently<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    return patiently(what, { deadline: within(this.#deliveryTimeoutMs) }, attempt)
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new SetupError('broker-closed', 'the broker was closed')
  }
}

function ignored(): void {}
