/**
 * What must be known of a topic before a record goes there: its partitions, whether it is compacted, its largest batch.
 * A record that its topic would refuse is refused here, before anything of its call is sent.
 */
import type { OutputRecord } from '../../ports/broker.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import { partitionForKey } from '../partitioner.ts'
import { type Patience, patiently, settledBy, translated, within } from './faults.ts'
import { type Nodes, type TopicLayout, unknownPartition, unknownTopic } from './nodes.ts'
import { BATCH_HEADER_BYTES, type LogRecord, recordBytes } from './record-batch.ts'

export interface PreparedRecord {
  readonly topic: string
  readonly partition: number
  readonly record: LogRecord
  /** At most, inside a batch. */
  readonly bytes: number
  /** What a batch of this topic may take. */
  readonly maxBatchBytes: number
}

interface Known {
  readonly partitions: number
  readonly compacted: boolean
  readonly maxBatchBytes: number
  readonly asOfMs: number
}

interface DescribedConfigs {
  readonly resources: readonly {
    resourceName: string
    configEntries: readonly { configName: string; configValue: string | null }[]
  }[]
}

/** Older knowledge is used once more while it is renewed. */
const FRESH_MS = 60_000
/** Who asked may have given up before: what is found serves the next. */
const PATIENCE_MS = 15_000
const TOPIC_RESOURCE = 2
const KAFKAS_DEFAULT_BATCH_BYTES = 1_048_588

export class TopicDirectory {
  readonly #nodes: Nodes
  readonly #known = new Map<string, Known>()
  readonly #asking = new Map<string, Promise<void>>()
  readonly #turns = new Map<string, number>()

  constructor(nodes: Nodes) {
    this.#nodes = nodes
  }

  /** @throws InvalidRecordError; SetupError 'unknown-topic'; OutageError. See ports/broker.ts */
  async prepare(records: readonly OutputRecord[], deadline: number): Promise<PreparedRecord[]> {
    const topics = new Set(records.map(({ topic }) => topic))
    const missing = [...topics].filter((topic) => !this.#isKnown(topic))
    if (missing.length > 0) await this.#learnBy(deadline, missing)
    for (const { topic, partition } of records) {
      const known = this.#known.get(topic)
      if (known === undefined) throw unknownTopic(topic)
      if (partition === undefined || partition < known.partitions) continue
      await this.#learnBy(deadline, [topic]) // it may have grown
    }
    return records.map((record) => this.#prepareOne(record, this.#known.get(record.topic)!))
  }

  /** Of those that exist. @throws OutageError */
  layouts(topics: readonly string[], patience: Patience): Promise<TopicLayout[]> {
    return patiently(`looking up ${topics.join(', ')}`, patience, () => this.#nodes.layouts(topics))
  }

  /** Topics were created or changed by this process. */
  forget(topics: readonly string[]): void {
    for (const topic of topics) this.#known.delete(topic)
  }

  #isKnown(topic: string): boolean {
    const known = this.#known.get(topic)
    if (known === undefined) return false
    // What fails here is met again, by whoever needs it, when the connection is used.
    if (performance.now() - known.asOfMs > FRESH_MS) this.#learn([topic]).catch(() => {})
    return true
  }

  async #learnBy(deadline: number, topics: readonly string[]): Promise<void> {
    await settledBy(this.#learn(topics), { deadline }).catch((error) => {
      throw translated(`looking up ${topics.join(', ')}`, error)
    })
  }

  async #learn(topics: readonly string[]): Promise<void> {
    const news = topics.filter((topic) => !this.#asking.has(topic))
    if (news.length > 0) {
      const asked = this.#ask(news).finally(() => {
        for (const topic of news) this.#asking.delete(topic)
      })
      for (const topic of news) this.#asking.set(topic, asked)
    }
    await Promise.all(topics.map((topic) => this.#asking.get(topic)))
  }

  async #ask(topics: readonly string[]): Promise<void> {
    await patiently(`looking up ${topics.join(', ')}`, { deadline: within(PATIENCE_MS) }, async () => {
      const layouts = await this.#nodes.layouts(topics)
      const configs = layouts.length === 0 ? new Map() : await this.#configs(layouts.map(({ name }) => name))
      for (const topic of topics) this.#known.delete(topic)
      for (const { name, leaders } of layouts) {
        const config = configs.get(name) ?? {}
        this.#known.set(name, {
          partitions: leaders.length,
          compacted: (config['cleanup.policy'] ?? '').includes('compact'),
          maxBatchBytes: Number(config['max.message.bytes'] ?? KAFKAS_DEFAULT_BATCH_BYTES),
          asOfMs: performance.now(),
        })
      }
    })
  }

  async #configs(topics: readonly string[]): Promise<Map<string, Record<string, string | null>>> {
    const node = await this.#nodes.any()
    const configNames = ['cleanup.policy', 'max.message.bytes']
    const resources = topics.map((name) => ({ type: TOPIC_RESOURCE, name, configNames }))
    const described = await node.call<DescribedConfigs>('DescribeConfigs', { resources, includeSynonyms: false })
    const entries = described.resources.map(({ resourceName, configEntries }) => {
      const values = configEntries.map(({ configName, configValue }) => [configName, configValue] as const)
      return [resourceName, Object.fromEntries(values)] as const
    })
    return new Map(entries)
  }

  #prepareOne(output: OutputRecord, known: Known): PreparedRecord {
    const { topic, key } = output
    if (known.compacted && key === null) {
      throw new InvalidRecordError('null-key', `A record for the compacted topic ${topic} has no key`)
    }
    const partition = output.partition ?? this.#choosePartition(topic, output.partitionBy ?? key, known.partitions)
    if (!Number.isInteger(partition) || partition < 0 || partition >= known.partitions) {
      throw unknownPartition(topic, partition, known.partitions)
    }
    const record: LogRecord = {
      key: key === null ? null : Buffer.from(key),
      value: output.value,
      headers: output.headers ?? {},
      timestamp: output.timestamp ?? Date.now(),
    }
    const bytes = recordBytes(record)
    if (BATCH_HEADER_BYTES + bytes > known.maxBatchBytes) {
      const message = `Record ${key} takes ${bytes} bytes and topic ${topic} takes batches of ${known.maxBatchBytes} bytes`
      throw new InvalidRecordError('record-too-large', message)
    }
    return { topic, partition, record, bytes, maxBatchBytes: known.maxBatchBytes }
  }

  #choosePartition(topic: string, key: string | null, partitions: number): number {
    if (key !== null) return partitionForKey(key, partitions)
    const turn = this.#turns.get(topic) ?? 0
    this.#turns.set(topic, turn + 1)
    return turn % partitions
  }
}
