/**
 * The two logs of the embedded broker, and which topic lies in which (TopicSettings.flush).
 *
 *     <dataFolder>/broker            'at-once': a transaction waits until the flush of the one before has ended
 *     <dataFolder>/broker-volatile   'by-os': a transaction waits for no disk, whatever the other log does
 *
 *   [one-log]  LMDB has no transaction over two environments. So a produce or a commit that mixes topics of both is
 *              refused before anything is written, and [atomic] holds for whatever is accepted
 *   [stays]    a topic stays in the log that it was created in
 */
import { join } from 'node:path'
import { SetupError } from '../../ports/errors.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { BrokerLog, type TopicState } from './broker-log.ts'
import { openStore, type StoreOptions } from './store.ts'
import { openVolatileStore } from './volatile-store.ts'

export interface BrokerLogsOptions extends StoreOptions {
  readonly dataFolder: string
  /** Unix epoch, ms. */
  readonly now: () => number
  /** Is given the SetupError 'store-set-aside' of a volatile log that had to begin anew. */
  readonly onError: (error: unknown) => void
}

export class BrokerLogs {
  readonly #durable: BrokerLog
  readonly #volatile: BrokerLog
  readonly #closeStores: () => Promise<void>

  static async open({ dataFolder, now, onError, ...options }: BrokerLogsOptions): Promise<BrokerLogs> {
    const root = openStore(join(dataFolder, 'broker'), options)
    try {
      const durable = new BrokerLog(root, now)
      const folder = join(dataFolder, 'broker-volatile')
      const volatile = await openVolatileStore(folder, (store) => new BrokerLog(store, now), onError)
      return new BrokerLogs(durable, volatile.store, async () => {
        await volatile.close().finally(() => root.close())
      })
    } catch (error) {
      await root.close()
      throw error
    }
  }

  private constructor(durable: BrokerLog, volatile: BrokerLog, closeStores: () => Promise<void>) {
    this.#durable = durable
    this.#volatile = volatile
    this.#closeStores = closeStores
  }

  /** As BrokerLog.ensureTopics. @throws SetupError 'topic-changed' when a topic would move to the other log [stays] */
  async ensureTopics(topics: readonly TopicSettings[], keysMayMove = false): Promise<readonly string[]> {
    const byOs = topics.filter(({ flush }) => flush === 'by-os')
    const atOnce = topics.filter(({ flush }) => flush !== 'by-os')
    refuseMoved(byOs, this.#durable)
    refuseMoved(atOnce, this.#volatile)
    const grown = await Promise.all([
      this.#durable.ensureTopics(atOnce, keysMayMove),
      this.#volatile.ensureTopics(byOs, keysMayMove),
    ])
    return grown.flat()
  }

  topics(): readonly TopicState[] {
    return [...this.#durable.topics(), ...this.#volatile.topics()]
  }

  topicSettings(): readonly TopicSettings[] {
    return [
      ...this.#durable.topics().map(({ id: _, ...topic }) => ({ ...topic, flush: 'at-once' as const })),
      ...this.#volatile.topics().map(({ id: _, ...topic }) => ({ ...topic, flush: 'by-os' as const })),
    ]
  }

  /** @throws SetupError 'unknown-topic' */
  topic(name: string): TopicState {
    return this.of(name).topic(name)
  }

  /** The log that holds the topic. @throws SetupError 'unknown-topic' */
  of(topic: string): BrokerLog {
    if (this.#volatile.has(topic)) return this.#volatile
    this.#durable.topic(topic)
    return this.#durable
  }

  /** The one log that holds them all. @throws SetupError 'mixed-flush' [one-log], 'unknown-topic' */
  sharedBy(topics: readonly string[]): BrokerLog {
    const names = [...new Set(topics)]
    const logs = new Set(names.map((name) => this.of(name)))
    if (logs.size > 1) {
      throw new SetupError(
        'mixed-flush',
        `topics of different flush cannot be written as a unit: ${names.join(', ')}; write them one after the other, ` +
          'or define them with the same flush',
      )
    }
    return [...logs][0] ?? this.#durable
  }

  /** @returns how many records. */
  async enforceRetention(now: number): Promise<number> {
    return (await this.#durable.enforceRetention(now)) + (await this.#volatile.enforceRetention(now))
  }

  /** Waits for the transactions begun so far. */
  async close(): Promise<void> {
    await Promise.all([this.#durable.settled(), this.#volatile.settled()])
    await this.#closeStores()
  }
}

function refuseMoved(topics: readonly TopicSettings[], otherLog: BrokerLog): void {
  const moved = topics.find(({ name }) => otherLog.has(name))
  if (moved === undefined) return
  throw new SetupError(
    'topic-changed',
    `topic ${moved.name} cannot change its flush to ${moved.flush ?? 'at-once'}; define a new version of the topic, ` +
      'or begin with an empty data folder',
  )
}
