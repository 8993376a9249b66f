/**
 * A consumer group inside the process: who owns which partition.
 *
 * Partition p goes to the same member in every topic that the members share, so joins of co-partitioned topics hold.
 * A member that joins or leaves moves partitions at once; the old owner's batch is aborted and its commits are fenced.
 */
import type { ConsumeOptions, Consumer } from '../../ports/broker.ts'
import { settlesWithin } from '../settles-within.ts'
import { Lane } from './broker-lane.ts'
import type { BrokerLogs } from './broker-logs.ts'

/** How long a member waits for running batches when `stop` names no grace. */
const DEFAULT_GRACE_MS = 10_000
/** How long a handler may take to notice that its batch was aborted. */
const SETTLE_MS = 5_000

export class ConsumerGroup {
  readonly #name: string
  readonly #logs: BrokerLogs
  readonly #members: Member[] = []
  /** By topic and partition: settles when the last owner has let go. */
  readonly #handovers = new Map<string, Promise<void>>()

  constructor(name: string, logs: BrokerLogs) {
    this.#name = name
    this.#logs = logs
  }

  get members(): readonly Member[] {
    return this.#members
  }

  join(options: ConsumeOptions): Member {
    const member = new Member(this, options)
    this.#members.push(member)
    this.rebalance()
    return member
  }

  leave(member: Member): void {
    const at = this.#members.indexOf(member)
    if (at === -1) return
    this.#members.splice(at, 1)
    for (const lane of member.lanes.values()) this.#take(member, lane)
    this.rebalance()
  }

  /** Also when a topic got more partitions. */
  rebalance(): void {
    const owners = this.#owners()
    for (const member of this.#members) {
      for (const [name, lane] of member.lanes) if (owners.get(name)?.member !== member) this.#take(member, lane)
    }
    for (const [name, { member, topic, partition }] of owners) {
      if (member.lanes.has(name)) continue
      const lane = new Lane({
        logs: this.#logs,
        group: this.#name,
        topic: this.#logs.topic(topic),
        partition,
        maxRecords: member.options.maxRecords,
        onBatch: member.options.onBatch,
        onFailure: (error) => member.fail(error),
        after: this.#handovers.get(name) ?? Promise.resolve(),
      })
      member.lanes.set(name, lane)
    }
  }

  #owners(): Map<string, { member: Member; topic: string; partition: number }> {
    const owners = new Map<string, { member: Member; topic: string; partition: number }>()
    const takers = this.#members.filter((member) => !member.stopping)
    for (const topic of new Set(takers.flatMap((member) => member.options.topics))) {
      const readers = takers.filter((member) => member.options.topics.includes(topic))
      for (let partition = 0; partition < this.#logs.topic(topic).partitions; partition++) {
        owners.set(laneName(topic, partition), { member: readers[partition % readers.length]!, topic, partition })
      }
    }
    return owners
  }

  #take(member: Member, lane: Lane): void {
    const name = laneName(lane.topic, lane.partition)
    lane.revoke()
    member.lanes.delete(name)
    const earlier = this.#handovers.get(name) ?? Promise.resolve()
    const handover = Promise.all([earlier, lane.released(SETTLE_MS)]).then(() => {
      if (this.#handovers.get(name) === handover) this.#handovers.delete(name)
    })
    this.#handovers.set(name, handover)
  }
}

/** One consumer of a group. */
export class Member implements Consumer {
  readonly options: ConsumeOptions
  readonly lanes = new Map<string, Lane>()
  readonly ended: Promise<void>
  readonly #group: ConsumerGroup
  #resolveEnded!: () => void
  #rejectEnded!: (error: unknown) => void
  #stopped: Promise<void> | undefined

  constructor(group: ConsumerGroup, options: ConsumeOptions) {
    this.#group = group
    this.options = options
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve
      this.#rejectEnded = reject
    })
    // Who looks at `ended` late, or never, must not bring the process down.
    this.ended.catch(() => {})
  }

  get stopping(): boolean {
    return this.#stopped !== undefined
  }

  assignment(): { topic: string; partition: number; paused: boolean }[] {
    return [...this.lanes.values()].map(({ topic, partition, paused }) => ({ topic, partition, paused }))
  }

  stop(graceMs: number = DEFAULT_GRACE_MS): Promise<void> {
    this.#stopped ??= this.#stop(graceMs)
    return this.#stopped
  }

  async #stop(graceMs: number): Promise<void> {
    const lanes = [...this.lanes.values()]
    for (const lane of lanes) lane.stopFetching()
    const idle = Promise.all(lanes.map((lane) => lane.ended))
    await settlesWithin(idle, graceMs)
    this.#group.leave(this)
    await settlesWithin(idle, SETTLE_MS)
    this.#resolveEnded()
  }

  /** The handler of one batch rejected: the whole consumer ends and its partitions go to the others. */
  fail(error: unknown): void {
    this.#rejectEnded(error)
    this.#stopped ??= Promise.resolve()
    this.#group.leave(this)
  }
}

function laneName(topic: string, partition: number): string {
  return `${partition} ${topic}`
}
