/**
 * TopicAdmin: how the topics of a broker are kept, for whoever compares that with how they should be (topics/plan.ts).
 *
 * Configuration goes by Kafka's names ('cleanup.policy', 'retention.ms', …) and holds its strings.
 *
 * Invariants (tests/conformance/topic-admin.ts)
 *   [idempotent]  creating what is there and setting what is set change nothing, also when two do it at once
 *   [others]      altering one key leaves the others as they are
 *   [settled]     what a call changed is seen by the next `describe`
 *
 * A broker that is away: OutageError.
 */
import type { TopicSettings } from './topic-settings.ts'

export interface WantedTopic {
  readonly name: string
  readonly partitions: number
  /** 'default': whatever the broker gives a topic for which nothing is said. */
  readonly replicationFactor: number | 'default'
  readonly config: Readonly<Record<string, string>>
}

/** As it is. */
export interface TopicDescription extends WantedTopic {
  readonly replicationFactor: number
}

export interface TopicAdmin {
  /** How this broker keeps a topic of these settings; `config` holds only what differs from topic to topic. */
  wanted(topics: readonly TopicSettings[]): Promise<readonly WantedTopic[]>
  /** Names of all topics but the broker's own. */
  names(): Promise<readonly string[]>
  /** Topics that are not there are left out. `config` holds every key that `wanted` knows, defaults too. */
  describe(names: readonly string[]): Promise<readonly TopicDescription[]>
  /** @throws SetupError that names a topic which the broker refuses; others may have been created. */
  create(topics: readonly WantedTopic[]): Promise<void>
  /** @throws SetupError 'unknown-topic', or one for a value that the broker refuses. */
  alter(name: string, config: Readonly<Record<string, string>>): Promise<void>
  /** Nothing happens where there are as many or more. @throws SetupError 'unknown-topic' */
  addPartitions(name: string, total: number): Promise<void>
  close(): Promise<void>
}
