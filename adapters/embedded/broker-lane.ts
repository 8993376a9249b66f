/**
 * One partition in the hands of one member of a group: fetch, deliver, wait, until the partition is taken away.
 *
 *   [one-at-a-time]  a partition has one running batch, whoever owns it: a new owner waits for the batch and for the
 *                    commits of the one before
 *   [fenced]         a lane that was revoked, and a batch that has ended, commit nothing any more
 *   [no-polling]     an idle lane waits for the log to wake it
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Batch, BatchOutcome, OutputRecord } from '../../ports/broker.ts'
import { FencedError } from '../../ports/errors.ts'
import { settlesWithin } from '../settles-within.ts'
import type { BrokerLog, TopicState } from './broker-log.ts'
import type { BrokerLogs } from './broker-logs.ts'

/** Values of a batch pass this by one record at most. */
const MOST_BATCH_BYTES = 2 * 1024 * 1024

export interface LaneOptions {
  readonly logs: BrokerLogs
  readonly group: string
  readonly topic: TopicState
  readonly partition: number
  readonly maxRecords: number
  readonly onBatch: (batch: Batch) => Promise<BatchOutcome>
  /** The handler of this lane rejected, or the log failed, while the lane was still the owner. */
  readonly onFailure: (error: unknown) => void
  /** Settles when the earlier owner has let go. */
  readonly after: Promise<void>
}

export class Lane {
  readonly topic: string
  readonly partition: number
  /** Settles, without rejecting, when the last batch has ended and no commit is under way. */
  readonly ended: Promise<void>
  readonly #options: LaneOptions
  /** Where the topic, the group's offsets on it and all outputs lie. */
  readonly #log: BrokerLog
  /** Aborted first: fetch no more. */
  readonly #stopping = new AbortController()
  /** Aborted when the partition is no longer ours: the signal of the batches. */
  readonly #revoked = new AbortController()
  readonly #commits = new Set<Promise<unknown>>()
  #paused = false

  constructor(options: LaneOptions) {
    this.#options = options
    this.#log = options.logs.of(options.topic.name)
    this.topic = options.topic.name
    this.partition = options.partition
    this.ended = this.#run()
  }

  get paused(): boolean {
    return this.#paused
  }

  stopFetching(): void {
    this.#stopping.abort()
  }

  /** From now on commits are fenced. */
  revoke(): void {
    this.#stopping.abort()
    this.#revoked.abort(new FencedError(`partition ${this.partition} of ${this.topic} was taken away`))
  }

  /** Settles when a new owner may begin: after `withinMs` it no longer waits for the handler, but for commits always. */
  async released(withinMs: number): Promise<void> {
    await settlesWithin(this.ended, withinMs)
    await Promise.allSettled(this.#commits)
  }

  async #run(): Promise<void> {
    try {
      await this.#options.after // [one-at-a-time]
      while (!this.#stopping.signal.aborted) await this.#deliverNext()
    } catch (error) {
      // Work that was already void may fail as it likes: the new owner meets the same records.
      if (!this.#revoked.signal.aborted) this.#options.onFailure(error)
    }
    await Promise.allSettled(this.#commits)
  }

  async #deliverNext(): Promise<void> {
    const log = this.#log
    const { group, topic, partition, maxRecords } = this.#options
    const position = log.committedOffset(group, topic, partition) ?? 0
    const records = log.read(topic, partition, position, maxRecords, MOST_BATCH_BYTES)
    if (records.length === 0) return this.#waitForAppend()
    let open = true
    let progressed = false
    let outcome: BatchOutcome
    try {
      outcome = await this.#options.onBatch({
        topic: topic.name,
        partition,
        records,
        endOffset: log.endOffset(topic, partition),
        signal: this.#revoked.signal,
        commit: async (nextOffset, outputs) => {
          await this.#commit(() => open, nextOffset, outputs)
          progressed = true
        },
      })
    } finally {
      open = false
      await Promise.allSettled(this.#commits)
    }
    if (outcome.next === 'pause') await this.#pause(outcome.forMs)
    // A handler that neither commits nor waits must not starve the others.
    else if (!progressed) await nextTurn()
  }

  async #commit(isOpen: () => boolean, nextOffset: number, outputs: readonly OutputRecord[]): Promise<void> {
    const log = this.#log
    const { logs, group, topic, partition } = this.#options
    if (!isOpen()) throw new FencedError(`the batch of partition ${partition} of ${topic.name} has ended`) // [fenced]
    if (!Number.isSafeInteger(nextOffset) || nextOffset < 0) throw new RangeError(`${nextOffset} is no offset`)
    logs.sharedBy([topic.name, ...outputs.map((output) => output.topic)]) // or this throws
    const prepared = log.prepare(outputs)
    const commit = log.transact(() => {
      this.#revoked.signal.throwIfAborted() // [fenced], here because the transaction may have waited for others
      log.append(prepared)
      log.setCommittedOffset(group, topic, partition, nextOffset)
    })
    this.#commits.add(commit)
    try {
      await commit
    } finally {
      this.#commits.delete(commit)
    }
    log.notify(prepared)
  }

  async #waitForAppend(): Promise<void> {
    await this.#waitUntil((wake) => this.#log.onAppend(this.topic, this.partition, wake)) // [no-polling]
  }

  async #pause(forMs: number): Promise<void> {
    this.#paused = true
    await this.#waitUntil((wake) => {
      const timer = setTimeout(wake, forMs)
      return () => clearTimeout(timer)
    })
    this.#paused = false
  }

  /** Until `begin`'s callback is called or fetching stops. `begin` returns how to undo itself. */
  #waitUntil(begin: (wake: () => void) => () => void): Promise<void> {
    const signal = this.#stopping.signal
    if (signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = () => {
        undo()
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const undo = begin(wake)
      signal.addEventListener('abort', wake)
    })
  }
}
