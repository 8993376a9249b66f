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
import type { TopicAdmin, TopicDescription, WantedTopic } from '../../ports/topic-admin.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { patiently, translated, typeOf, within } from './faults.ts'
import { topicConfig } from './topic-config.ts'

const { ConfigResourceTypes, KafkaJSAggregateError, KafkaJSNumberOfRetriesExceeded } = kafkajs

export interface KafkaTopicAdminOptions {
  /** Replicas of a new topic; the cluster's default if absent. */
  readonly replicationFactor?: number
}

const SEEN_WITHIN_MS = 30_000
/** What an admin request itself may take at the broker. */
const TIMEOUT_MS = 30_000
/** In CreateTopics, of Kafka 2.4 and later: default.replication.factor. */
const CLUSTERS_DEFAULT = -1
/** Of describeConfigs: the topic's own, as opposed to the cluster's defaults. */
const OWN_SETTING = 1

export async function openKafkaTopicAdmin(kafka: Kafka, options: KafkaTopicAdminOptions = {}): Promise<TopicAdmin> {
  const admin = kafka.admin()
  await told('connecting', admin.connect())
  return new KafkaTopicAdmin(admin, options.replicationFactor ?? 'default')
}

interface Found extends TopicDescription {
  /** Keys that are set for this topic. */
  readonly own: ReadonlySet<string>
}

class KafkaTopicAdmin implements TopicAdmin {
  readonly #admin: Admin
  readonly #replicationFactor: WantedTopic['replicationFactor']

  constructor(admin: Admin, replicationFactor: WantedTopic['replicationFactor']) {
    this.#admin = admin
    this.#replicationFactor = replicationFactor
  }

  async wanted(topics: readonly TopicSettings[]): Promise<readonly WantedTopic[]> {
    const replicationFactor = this.#replicationFactor
    return topics.map((topic) => ({
      name: topic.name,
      partitions: topic.partitions,
      replicationFactor,
      config: topicConfig(topic, replicationFactor),
    }))
  }

  async names(): Promise<readonly string[]> {
    const names = await told('listing topics', this.#admin.listTopics())
    return names.filter((name) => !name.startsWith('__'))
  }

  async describe(names: readonly string[]): Promise<readonly TopicDescription[]> {
    return (await this.#describe(names)).map(({ own: _, ...topic }) => topic)
  }

  async create(topics: readonly WantedTopic[]): Promise<void> {
    const request = topics.map(({ name, partitions, replicationFactor, config }) => ({
      topic: name,
      numPartitions: partitions,
      replicationFactor: replicationFactor === 'default' ? CLUSTERS_DEFAULT : replicationFactor,
      configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
    }))
    await told('creating', this.#admin.createTopics({ topics: request, timeout: TIMEOUT_MS, waitForLeaders: false })) // false: another one was first
    const names = topics.map(({ name }) => name)
    await this.#seen(names, (found) => found.length === names.length)
  }

  async alter(name: string, config: Readonly<Record<string, string>>): Promise<void> {
    const { config: present, own } = await this.#one(name)
    const kept = Object.entries(present).filter(([key]) => own.has(key))
    const entries = Object.entries({ ...Object.fromEntries(kept), ...config }) // [others]
    const resource = { type: ConfigResourceTypes.TOPIC, name }
    const configEntries = entries.map(([key, value]) => ({ name: key, value }))
    await told(
      `altering ${name}`,
      this.#admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] }),
    )
    const isSet = (topic: Found) => Object.entries(config).every(([key, value]) => topic.config[key] === value)
    await this.#seen([name], ([topic]) => topic !== undefined && isSet(topic))
  }

  async addPartitions(name: string, total: number): Promise<void> {
    if ((await this.#one(name)).partitions >= total) return
    try {
      await this.#admin.createPartitions({ timeout: TIMEOUT_MS, topicPartitions: [{ topic: name, count: total }] })
    } catch (error) {
      if ((await this.#one(name)).partitions < total) throw faultOf(`adding partitions to ${name}`, error) // else another one was first
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
    const { topics } = await told('describing topics', this.#admin.fetchTopicMetadata())
    const present = topics.filter(({ name }) => wanted.has(name))
    if (present.length === 0) return []
    const { resources } = await told(
      'describing topics',
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
    const what = `looking at ${names.join(', ')} after a change`
    const look = async () => {
      if (!isThere(await this.#describe(names))) throw new OutageError('kafka-away', `${what}: it does not show yet`)
    }
    const passes = (error: unknown) => error instanceof OutageError
    await patiently(what, { deadline: within(SEEN_WITHIN_MS), firstDelayMs: 10, worthwhile: passes }, look)
  }
}

async function told<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw faultOf(what, error)
  }
}

/** kafkajs wraps what it gave up on, and the refusals of several topics at once; that one exists is none. */
function faultOf(what: string, error: unknown): Error {
  const refused = error instanceof KafkaJSAggregateError ? error.errors.find(isRefusal) : undefined
  if (refused !== undefined && typeOf(refused) === 'INVALID_REPLICATION_FACTOR') {
    const message = `Kafka: ${what} ${refused.topic}: fewer brokers are up than it is to have replicas`
    const advice = 'wait until all are up, or set kafkaReplication to what the cluster has'
    return new SetupError('too-few-brokers', `${message}; ${advice}`, { cause: refused })
  }
  if (refused !== undefined) return translated(`${what} ${refused.topic}`, refused)
  return translated(what, error instanceof KafkaJSNumberOfRetriesExceeded ? error.cause : error)
}

function isRefusal(error: unknown): error is Error & { topic: string } {
  return error instanceof Error && 'topic' in error && typeOf(error) !== 'TOPIC_ALREADY_EXISTS'
}
