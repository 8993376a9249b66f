/**
 * One member of a group at work: the membership says which partitions, the fetcher brings their records, a lane for each
 * hands them out.
 *
 *   [group]    a partition taken away is given up before the group shares it out, as far as its batch ends in the grace
 *   [kept]     a batch of a partition that stays runs on through a rebalance, and its commit holds
 *   [stopped]  once stop() was called nothing more is handed out (kafkajs#1593)
 *   [told]     a consumer ends by stop() or with an error; nothing else ends it
 */
import type { ConsumeOptions, Consumer } from '../../ports/broker.ts'
import { OutageError } from '../../ports/errors.ts'
import { settlesWithin } from '../settles-within.ts'
import type { Assignment } from './assignment.ts'
import type { KafkaOptions } from './client.ts'
import { coalesced } from './coalesced.ts'
import { partitionName } from './delivery.ts'
import { within } from './faults.ts'
import { Fetcher } from './fetcher.ts'
import { Lane, type LaneGroup } from './lane.ts'
import { Membership } from './membership.ts'
import { Nodes } from './nodes.ts'
import type { Offsets } from './offsets.ts'
import type { TopicDirectory } from './topic-directory.ts'
import { TransactionalProducer } from './transaction.ts'
import type { Writer } from './writer.ts'

export interface ConsumerContext {
  readonly options: KafkaOptions
  readonly consume: ConsumeOptions
  readonly directory: TopicDirectory
  readonly writer: Writer
  readonly offsets: Offsets
  /** What commits go by. */
  readonly commitNodes: Nodes
  readonly sessionTimeoutMs: number
  readonly heartbeatMs: number
  readonly deliveryTimeoutMs: number
  onError(error: unknown): void
  onEnd(consumer: GroupConsumer): void
}

const DEFAULT_GRACE_MS = 10_000
/** How long a handler may take to notice that its batch was aborted. */
const SETTLE_MS = 5_000
/** A commit that is on its way when the group is joined anew may be refused, and its batch come again. */
const JOIN_AFTER_MS = 1_000
const FLUSH_EVERY_MS = 1_000
/** Telling the group what is done, and leaving it: what fails is done again by whoever has the partition next. */
const FLUSH_WITHIN_MS = 1_500
const COMMIT_WITHIN_MS = 1_000
/** Longer than a transaction that Kafka undoes by itself holds a partition up. */
const TOLD_AFTER_MS = 20_000
/** A fetch is answered, or given up, long before. */
const STALLED_MS = 60_000

export class GroupConsumer implements Consumer {
  readonly ended: Promise<void>
  readonly #context: ConsumerContext
  readonly #membership: Membership
  readonly #fetcher: Fetcher
  readonly #lanes = new Map<string, Lane>()
  /** By partition: settles when the last lane has let go. */
  readonly #handovers = new Map<string, Promise<void>>()
  readonly #timer: NodeJS.Timeout
  readonly #flush = coalesced(() => {
    this.#flushing = this.#tell()
    return this.#flushing
  })
  #flushing: Promise<void> = Promise.resolve()
  #stopped: Promise<void> | undefined
  #resolveEnded!: () => void
  #rejectEnded!: (error: unknown) => void

  constructor(context: ConsumerContext) {
    this.#context = context
    const { options, consume, sessionTimeoutMs, heartbeatMs, onError } = context
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve
      this.#rejectEnded = reject
    })
    // Who looks at `ended` late, or never, must not bring the process down.
    this.ended.catch(() => {})
    const nodes = new Nodes(options)
    this.#fetcher = new Fetcher({
      nodes,
      lanes: () => this.#lanes.values(),
      onFailure: (error) => this.#fail(error),
      onError,
    })
    this.#membership = new Membership({
      group: consume.group,
      topics: consume.topics,
      sessionTimeoutMs,
      heartbeatMs,
      nodes,
      leaveBy: context.commitNodes,
      onAssigned: (assignment) => this.#onAssigned(assignment),
      onRebalance: () => this.#onRebalance(),
      beforeJoin: () => this.#committed(JOIN_AFTER_MS),
      onLost: () => this.#takeAll(),
      onError,
    })
    this.#timer = setInterval(() => this.#look(), FLUSH_EVERY_MS).unref()
    this.#membership.run().catch((error) => this.#fail(error))
  }

  assignment(): { topic: string; partition: number; paused: boolean }[] {
    return [...this.#lanes.values()].map(({ topic, partition, paused }) => ({ topic, partition, paused }))
  }

  stop(graceMs: number = DEFAULT_GRACE_MS): Promise<void> {
    this.#stopped ??= this.#stop(graceMs)
    return this.#stopped
  }

  async #stop(graceMs: number): Promise<void> {
    const lanes = [...this.#lanes.values()]
    for (const lane of lanes) lane.stopFetching() // [stopped]
    const idle = Promise.all(lanes.map((lane) => lane.ended))
    await settlesWithin(idle, graceMs)
    await this.#part(lanes)
    await settlesWithin(idle, SETTLE_MS)
    this.#lanes.clear()
    this.#resolveEnded()
    this.#context.onEnd(this)
  }

  #fail(error: unknown): void {
    if (this.#stopped === undefined) this.#stopped = this.#failWith(error)
    else this.#rejectEnded(error)
  }

  /** Settles when no commit is on its way, or after `withinMs`. */
  async #committed(withinMs: number, lanes: Iterable<Lane> = this.#lanes.values()): Promise<void> {
    await settlesWithin(Promise.all([...lanes].map((lane) => lane.committed())), withinMs)
  }

  async #failWith(error: unknown): Promise<void> {
    await this.#part([...this.#lanes.values()])
    this.#takeAll()
    this.#rejectEnded(error)
    this.#context.onEnd(this)
  }

  /** The others take over at once. */
  async #part(lanes: readonly Lane[]): Promise<void> {
    for (const lane of lanes) lane.revoke()
    await this.#committed(COMMIT_WITHIN_MS, lanes)
    for (const lane of lanes) lane.abandon()
    await this.#flush()
    clearInterval(this.#timer)
    this.#fetcher.close()
    await this.#membership.leave()
  }

  #onAssigned(assignment: Assignment): void {
    if (this.#stopped !== undefined) return
    const named = [...assignment].flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    )
    const names = new Set(named.map(partitionName))
    for (const [name, lane] of this.#lanes) if (!names.has(name)) this.#take(name, lane)
    for (const place of named) {
      const name = partitionName(place)
      const kept = this.#lanes.get(name)
      if (kept === undefined) this.#lanes.set(name, this.#open(name, place.topic, place.partition))
      else kept.release() // [kept]
    }
    this.#fetcher.wake()
  }

  #open(name: string, topic: string, partition: number): Lane {
    const { consume, directory, writer, offsets, commitNodes, deliveryTimeoutMs, onError } = this.#context
    const membership = this.#membership
    const group: LaneGroup = {
      get identity() {
        return membership.identity
      },
      ready: () => membership.ready(),
      confirm: () => membership.confirm(),
      flushed: () => this.#flushing,
    }
    return new Lane({
      topic,
      partition,
      consume,
      deliveryTimeoutMs,
      directory,
      writer,
      offsets,
      producer: new TransactionalProducer(commitNodes, `${consume.group}.${topic}.${partition}`),
      group,
      after: this.#handovers.get(name) ?? Promise.resolve(),
      onFailure: (error) => this.#fail(error),
      onError,
      onHungry: () => this.#fetcher.wake(),
    })
  }

  async #onRebalance(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lane) => lane.hold()))
    await this.#flush()
  }

  #takeAll(): void {
    for (const [name, lane] of this.#lanes) this.#take(name, lane)
  }

  #take(name: string, lane: Lane): void {
    lane.revoke()
    this.#lanes.delete(name)
    const earlier = this.#handovers.get(name) ?? Promise.resolve()
    const handover = Promise.all([earlier, settlesWithin(lane.ended, SETTLE_MS)]).then(() => {
      if (this.#handovers.get(name) === handover) this.#handovers.delete(name)
    })
    this.#handovers.set(name, handover)
  }

  #look(): void {
    void this.#flush()
    for (const lane of this.#lanes.values()) lane.tellStandstill(TOLD_AFTER_MS)
    if (this.#fetcher.waitingMs < STALLED_MS) return
    this.#fail(
      new OutageError('kafka-stalled', `Group ${this.#context.consume.group}: no fetch was answered for a minute`),
    )
  }

  /** Tells the group what is done and was not told yet. Never rejects. */
  async #tell(): Promise<void> {
    const told = [...this.#lanes.values()].flatMap((lane) => {
      const offset = lane.takeUntold()
      return offset === undefined ? [] : [{ lane, topic: lane.topic, partition: lane.partition, offset }]
    })
    if (told.length === 0) return
    try {
      await this.#context.offsets.commit(this.#membership.identity, told, { deadline: within(FLUSH_WITHIN_MS) })
    } catch {
      // Told with the next ones; if the partition is no longer ours, its new owner starts where the group was told.
      for (const { lane, offset } of told) lane.restoreUntold(offset)
    }
  }
}
