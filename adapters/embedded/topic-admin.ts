/**
 * TopicAdmin of the embedded broker: Kafka's names for the settings that it keeps for each topic. There is one replica,
 * and partitions are laid out by ensureTopics, which creates, grows and alters alike.
 */
import { SetupError } from '../../ports/errors.ts'
import type { TopicAdmin, TopicDescription } from '../../ports/topic-admin.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import type { EmbeddedBroker } from './broker.ts'

/** @param broker is closed by whoever opened it. */
export function embeddedTopicAdmin(broker: EmbeddedBroker): TopicAdmin {
  function settingsOf(name: string): TopicSettings {
    const found = broker.topicSettings().find((topic) => topic.name === name)
    if (found === undefined) throw new SetupError('unknown-topic', `There is no topic ${name}; create it first`)
    return found
  }

  return {
    wanted: async (topics) => topics.map(describe),
    names: async () => broker.topicSettings().map(({ name }) => name),
    describe: async (names) =>
      broker
        .topicSettings()
        .filter(({ name }) => names.includes(name))
        .map(describe),
    async create(topics) {
      const known = new Set(broker.topicSettings().map(({ name }) => name))
      const missing = topics.filter(({ name }) => !known.has(name))
      await broker.ensureTopics(
        missing.map(({ name, partitions, config }) => ({ name, partitions, ...settings(name, config) })),
      )
    },
    async alter(name, config) {
      const topic = settingsOf(name)
      await broker.ensureTopics([{ ...topic, ...settings(name, { ...describe(topic).config, ...config }) }])
    },
    async addPartitions(name, total) {
      const topic = settingsOf(name)
      if (total > topic.partitions) await broker.ensureTopics([{ ...topic, partitions: total }], { keysMayMove: true })
    },
    close: async () => {},
  }
}

const FLUSH = 'cuestream.flush'

function describe({ name, partitions, retention, maxRecordBytes, flush }: TopicSettings): TopicDescription {
  return {
    name,
    partitions,
    replicationFactor: 1,
    config: {
      'max.message.bytes': String(maxRecordBytes),
      [FLUSH]: flush ?? 'at-once',
      ...(retention === 'compacted'
        ? { 'cleanup.policy': 'compact' }
        : { 'cleanup.policy': 'delete', 'retention.ms': String(retention.ms) }),
    },
  }
}

function settings(name: string, config: TopicDescription['config']): Omit<TopicSettings, 'name' | 'partitions'> {
  const numberOf = (key: string) => {
    const value = Number(config[key])
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw new SetupError('bad-topic', `Topic ${name}: ${key} cannot be ${config[key]}; give a whole number from 0`)
  }
  const isCompacted = config['cleanup.policy'] === 'compact'
  return {
    maxRecordBytes: numberOf('max.message.bytes'),
    retention: isCompacted ? 'compacted' : { ms: numberOf('retention.ms') },
    flush: config[FLUSH] === 'by-os' ? 'by-os' : 'at-once',
  }
}
