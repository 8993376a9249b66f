/**
 * How Kafka keeps a topic of ours: the one place where TopicSettings become Kafka's configuration. Both what creates
 * topics (Broker.ensureTopics) and what compares them (TopicAdmin) ask here.
 *
 *   [durable]     acknowledged by two replicas where three are configured, so that one may fail without loss or
 *                 standstill. Without a configured number both are the cluster's defaults: how many brokers answer now
 *                 says nothing of how many there are
 *   [takedown]    a record that a tombstone or a newer one replaced is gone from the disk a day later at most, however
 *                 little is written to its partition
 *   [late]        a reader that starts over and takes up to a day still sees every tombstone
 *   [retention]   what is kept for a time is gone after twice that time at most: Kafka deletes whole segments
 *
 * Compression is the producers' choice.
 */
import type { WantedTopic } from '../../ports/topic-admin.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** A batch of one record: 61 bytes of the batch, and less than 64 of the record's own lengths and times. */
const BATCH_OVERHEAD_BYTES = 128
const REPLICAS_OF_WHICH_ONE_MAY_FAIL = 3

/** The configuration of its own that a topic gets; whatever is not named here is the cluster's default. */
export function topicConfig(topic: TopicSettings, replicas: WantedTopic['replicationFactor']): Record<string, string> {
  return {
    'max.message.bytes': String(topic.maxRecordBytes + BATCH_OVERHEAD_BYTES),
    ...(replicas === 'default' ? {} : { 'min.insync.replicas': acknowledging(replicas) }),
    ...(topic.retention === 'compacted' ? compacted : timed(topic.retention.ms)),
  }
}

/** [durable] */
function acknowledging(replicas: number): string {
  return replicas >= REPLICAS_OF_WHICH_ONE_MAY_FAIL ? '2' : '1'
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
