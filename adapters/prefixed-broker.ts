/**
 * A Broker on a cluster that others use too: every topic and group is called `<prefix><name>` there, and `<name>` here.
 * `topics()` gives those of the prefix alone.
 */
import type { Batch, Broker, ConsumeOptions, OutputRecord, StoredRecord } from '../ports/broker.ts'

export function prefixedBroker(broker: Broker, prefix: string): Broker {
  if (prefix === '') return broker
  const there = <T extends { readonly topic: string }>(item: T): T => ({ ...item, topic: prefix + item.topic })
  const here = <T extends { readonly topic: string }>(item: T): T => ({
    ...item,
    topic: item.topic.slice(prefix.length),
  })
  const batchHere = (batch: Batch): Batch => ({
    topic: batch.topic.slice(prefix.length),
    partition: batch.partition,
    records: batch.records.map(here),
    endOffset: batch.endOffset,
    signal: batch.signal,
    commit: (nextOffset: number, outputs: readonly OutputRecord[]) => batch.commit(nextOffset, outputs.map(there)),
  })
  const topicsThere = (names: readonly string[]) => names.map((name) => prefix + name)
  return {
    ensureTopics: (topics) => broker.ensureTopics(topics.map((topic) => ({ ...topic, name: prefix + topic.name }))),
    async topics() {
      const all = await broker.topics()
      return all
        .filter(({ name }) => name.startsWith(prefix))
        .map((topic) => ({ ...topic, name: topic.name.slice(prefix.length) }))
    },
    produce: (records) => broker.produce(records.map(there)),
    async consume(options: ConsumeOptions) {
      const consumer = await broker.consume({
        ...options,
        group: prefix + options.group,
        topics: topicsThere(options.topics),
        ...(options.outputs && { outputs: topicsThere(options.outputs) }),
        onBatch: (batch) => options.onBatch(batchHere(batch)),
      })
      return {
        ended: consumer.ended,
        assignment: () => consumer.assignment().map(here),
        stop: (graceMs) => consumer.stop(graceMs),
      }
    },
    tail: (topic, partition, onRecord) =>
      broker.tail(prefix + topic, partition, (record: StoredRecord) => onRecord(here(record))),
    async read(topic, partition, fromOffset, maxRecords) {
      return (await broker.read(prefix + topic, partition, fromOffset, maxRecords)).map(here)
    },
    async lag(group, topics) {
      return (await broker.lag(prefix + group, topicsThere(topics))).map(here)
    },
    seek: (group, topic, partition, offset) => broker.seek(prefix + group, prefix + topic, partition, offset),
    close: () => broker.close(),
  }
}
