/**
 * How Kafka keeps a topic of ours: the one place where TopicSettings become Kafka's configuration. Both what creates
 * topics (Broker.ensureTopics) and what compares them (TopicAdmin) ask here.
 *
 *   [durable]     acknowledged by two replicas where there are three, so that one may fail without loss or standstill
 *   [takedown]    a record that a tombstone or a newer one replaced is gone from the disk a day later at most, however
 *                 little is written to its partition
 *   [late]        a reader that starts over and takes up to a day still sees every tombstone
 *   [retention]   what is kept for a time is gone after twice that time at most: Kafka deletes whole segments
 *
 * Compression is the producers' choice.
 */
import type { TopicSettings } from '../../ports/topic-settings.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** A batch of one record: 61 bytes of the batch, and less than 64 of the record's own lengths and times. */
const BATCH_OVERHEAD_BYTES = 128
const MOST_REPLICAS = 3

/** Replicas of a topic on a cluster of so many brokers, unless configured. */
export function defaultReplication(brokers: number): number {
  return Math.min(MOST_REPLICAS, brokers)
}

/** The configuration of its own that a topic gets; whatever is not named here is the cluster's default. */
export function topicConfig(topic: TopicSettings, replicationFactor: number): Record<string, string> {
  return {
    'max.message.bytes': String(topic.maxRecordBytes + BATCH_OVERHEAD_BYTES),
    'min.insync.replicas': String(replicationFactor >= MOST_REPLICAS ? 2 : 1), // [durable]
    ...(topic.retention === 'compacted' ? compacted : timed(topic.retention.ms)),
  }
}

const compacted = {
  'cleanup.policy': 'compact',
  'min.cleanable.dirty.ratio': '0.2',
  'segment.ms': String(DAY_MS / 4),
  'max.compaction.lag.ms': String(DAY_MS), // [takedown]
  'delete.retention.ms': String(DAY_MS), // [late]
}

function timed(ms: number) {
  const segmentMs = Math.min(7 * DAY_MS, Math.max(10 * MINUTE_MS, ms))
  return { 'cleanup.policy': 'delete', 'retention.ms': String(ms), 'segment.ms': String(segmentMs) } // [retention]
}
