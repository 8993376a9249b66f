/**
 * TopicAdmin of Apache Kafka.
 *
 * kafkajs knows only the older AlterConfigs request, which takes away every setting that it does not name. So each change
 * is sent together with all that the topic has of its own [others]; two that change different keys of one topic at the
 * very same moment may undo one another, which a second `topics apply` shows and mends.
 * A broker learns of a change a moment after it was accepted: a call returns once the change is seen [settled].
 */
import kafkajs, { type Admin, type Kafka } from 'kafkajs'
import { OutageError, SetupError } from '../../ports/errors.ts'
import type { TopicAdmin, TopicDescription } from '../../ports/topic-admin.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { defaultReplication, topicConfig } from './topic-config.ts'

const { ConfigResourceTypes, KafkaJSAggregateError, KafkaJSError, KafkaJSNumberOfRetriesExceeded } = kafkajs

export interface KafkaTopicAdminOptions {
  /** Replicas of a topic; as many as there are brokers, and 3 at most, if absent. */
  readonly replicationFactor?: number
}

const SEEN_WITHIN_MS = 30_000
const LOOK_EVERY_MS = 50
/** What an admin request itself may take at the broker. */
const TIMEOUT_MS = 30_000
/** Of describeConfigs: the topic's own, as opposed to the cluster's defaults. */
const OWN_SETTING = 1

export async function openKafkaTopicAdmin(kafka: Kafka, options: KafkaTopicAdminOptions = {}): Promise<TopicAdmin> {
  const admin = kafka.admin()
  await told(admin.connect())
  return new KafkaTopicAdmin(admin, options.replicationFactor)
}

interface Found extends TopicDescription {
  /** Keys that are set for this topic. */
  readonly own: ReadonlySet<string>
}

class KafkaTopicAdmin implements TopicAdmin {
  readonly #admin: Admin
  readonly #replicationFactor: number | undefined

  constructor(admin: Admin, replicationFactor: number | undefined) {
    this.#admin = admin
    this.#replicationFactor = replicationFactor
  }

  async wanted(topics: readonly TopicSettings[]): Promise<readonly TopicDescription[]> {
    const { brokers } = await told(this.#admin.describeCluster())
    const replicationFactor = this.#replicationFactor ?? defaultReplication(brokers.length)
    return topics.map((topic) => ({
      name: topic.name,
      partitions: topic.partitions,
      replicationFactor,
      config: topicConfig(topic, replicationFactor),
    }))
  }

  async names(): Promise<readonly string[]> {
    const names = await told(this.#admin.listTopics())
    return names.filter((name) => !name.startsWith('__'))
  }

  async describe(names: readonly string[]): Promise<readonly TopicDescription[]> {
    return (await this.#describe(names)).map(({ own: _, ...topic }) => topic)
  }

  async create(topics: readonly TopicDescription[]): Promise<void> {
    const request = topics.map(({ name, partitions, replicationFactor, config }) => ({
      topic: name,
      numPartitions: partitions,
      replicationFactor,
      configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
    }))
    await told(this.#admin.createTopics({ topics: request, timeout: TIMEOUT_MS })) // false: another one was first
    const names = topics.map(({ name }) => name)
    await this.#seen(names, (found) => found.length === names.length)
  }

  async alter(name: string, config: Readonly<Record<string, string>>): Promise<void> {
    const { config: present, own } = await this.#one(name)
    const kept = Object.entries(present).filter(([key]) => own.has(key))
    const entries = Object.entries({ ...Object.fromEntries(kept), ...config }) // [others]
    const resource = { type: ConfigResourceTypes.TOPIC, name }
    const configEntries = entries.map(([key, value]) => ({ name: key, value }))
    await told(this.#admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] }))
    const isSet = (topic: Found) => Object.entries(config).every(([key, value]) => topic.config[key] === value)
    await this.#seen([name], ([topic]) => topic !== undefined && isSet(topic))
  }

  async addPartitions(name: string, total: number): Promise<void> {
    if ((await this.#one(name)).partitions >= total) return
    try {
      await this.#admin.createPartitions({ timeout: TIMEOUT_MS, topicPartitions: [{ topic: name, count: total }] })
    } catch (error) {
      if ((await this.#one(name)).partitions < total) throw translated(error) // else another one was first
    }
    await this.#seen([name], ([topic]) => topic !== undefined && topic.partitions >= total)
  }

  async close(): Promise<void> {
    await this.#admin.disconnect()
  }

  async #one(name: string): Promise<Found> {
    const [topic] = await this.#describe([name])
    if (topic !== undefined) return topic
    throw new SetupError('unknown-topic', `There is no topic ${name}; create it first`)
  }

  /** All topics are asked for, because a broker may create a topic that it is asked for by name. */
  async #describe(names: readonly string[]): Promise<Found[]> {
    const wanted = new Set(names)
    const { topics } = await told(this.#admin.fetchTopicMetadata())
    const present = topics.filter(({ name }) => wanted.has(name))
    if (present.length === 0) return []
    const { resources } = await told(
      this.#admin.describeConfigs({
        includeSynonyms: false,
        resources: present.map(({ name }) => ({ type: ConfigResourceTypes.TOPIC, name })),
      }),
    )
    const configs = new Map(resources.map(({ resourceName, configEntries }) => [resourceName, configEntries]))
    return present.map(({ name, partitions }) => {
      const entries = configs.get(name) ?? []
      return {
        name,
        partitions: partitions.length,
        replicationFactor: Math.min(...partitions.map(({ replicas }) => replicas.length)),
        config: Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue])),
        own: new Set(
          entries.filter(({ configSource }) => configSource === OWN_SETTING).map(({ configName }) => configName),
        ),
      }
    })
  }

  async #seen(names: readonly string[], isThere: (found: Found[]) => boolean): Promise<void> {
    const deadline = performance.now() + SEEN_WITHIN_MS
    while (!isThere(await this.#describe(names))) {
      if (performance.now() > deadline) {
        throw new OutageError('kafka-metadata', `Kafka accepted a change of ${names.join(', ')} and does not show it`)
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }
}

async function told<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw translated(error)
  }
}

/** What Kafka will refuse however often it is asked is for the operator; anything else means that it is away. */
function translated(error: unknown): Error {
  const causes: unknown[] = error instanceof KafkaJSAggregateError ? error.errors : [error]
  const refused = causes.find(
    (cause): cause is kafkajs.KafkaJSError & { topic?: string } =>
      cause instanceof KafkaJSError && !cause.retriable && !(cause instanceof KafkaJSNumberOfRetriesExceeded),
  )
  if (refused === undefined) {
    return new OutageError('kafka-away', `Kafka does not answer: ${(error as Error).message}`, { cause: error })
  }
  const topic = refused.topic === undefined ? '' : ` topic ${refused.topic}`
  return new SetupError('bad-topic', `Kafka refuses${topic}: ${refused.message}`, { cause: error })
}
