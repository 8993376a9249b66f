/**
 * Broker.produce: each call all or none, calls in the order in which they were made.
 *
 * Records of one partition that fit one batch go by themselves (sender.ts). Others take a transaction; calls that come while
 * one runs share the next. A call waits for an earlier one of the other kind on any of its partitions. [order]
 */
import { FencedError, InvalidRecordError } from '../../ports/errors.ts'
import { batchesOf, partitionName } from './delivery.ts'
import type { Sender } from './sender.ts'
import type { PreparedRecord } from './topic-directory.ts'
import type { TransactionalProducer } from './transaction.ts'

export interface Position {
  readonly partition: number
  readonly offset: number
}

interface Call {
  readonly kind: 'single' | 'transaction'
  /** The call stands in the queue of its kind. */
  readonly queued: Promise<void>
  /** Settles, without rejecting, when it is written or refused. */
  readonly settled: Promise<void>
}

interface Waiting {
  readonly records: readonly PreparedRecord[]
  readonly deadline: number
  resolve(offsets: readonly number[]): void
  reject(error: unknown): void
}

/** Calls share a transaction up to this size. */
const TOGETHER_BYTES = 8 * 1024 * 1024

export class Writer {
  readonly #sender: Sender
  readonly #producer: TransactionalProducer
  readonly #last = new Map<string, Call>()
  readonly #waiting: Waiting[] = []
  readonly #running = new Set<Promise<unknown>>()
  #committing = false

  constructor(sender: Sender, producer: TransactionalProducer) {
    this.#sender = sender
    this.#producer = producer
  }

  write(records: readonly PreparedRecord[], deadline: number): Promise<Position[]> {
    if (records.length === 0) return Promise.resolve([])
    const names = [...new Set(records.map(partitionName))]
    const kind = names.length === 1 && batchesOf(records).length === 1 ? 'single' : 'transaction'
    const before = new Set(names.flatMap((name) => this.#last.get(name) ?? []))
    const waits = [...before].map((call) => (call.kind === kind ? call.queued : call.settled))
    let isQueued = () => {}
    const queued = new Promise<void>((resolve) => {
      isQueued = resolve
    })
    const enqueue = () => {
      const offsets = kind === 'single' ? this.#sendOne(records, deadline) : this.#commit(records, deadline)
      isQueued()
      return offsets
    }
    const written = waits.length === 0 ? enqueue() : Promise.all(waits).then(enqueue)
    const call: Call = { kind, queued, settled: written.then(ignored, ignored) }
    for (const name of names) this.#last.set(name, call)
    this.#running.add(call.settled)
    void call.settled.then(() => {
      this.#running.delete(call.settled)
      for (const name of names) if (this.#last.get(name) === call) this.#last.delete(name)
    })
    return written.then((offsets) => records.map(({ partition }, i) => ({ partition, offset: offsets[i]! })))
  }

  /** Settles when every call so far has been written or refused. */
  async idle(): Promise<void> {
    await Promise.all(this.#running)
  }

  async #sendOne(records: readonly PreparedRecord[], deadline: number): Promise<number[]> {
    const first = await this.#sender.send(records, deadline)
    return records.map((_, i) => first + i)
  }

  #commit(records: readonly PreparedRecord[], deadline: number): Promise<readonly number[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, deadline, resolve, reject })
      void this.#commitWaiting()
    })
  }

  async #commitWaiting(): Promise<void> {
    if (this.#committing) return
    this.#committing = true
    while (this.#waiting.length > 0) await this.#commitTogether(this.#takeSome())
    this.#committing = false
  }

  #takeSome(): Waiting[] {
    const taken: Waiting[] = []
    let bytes = 0
    do {
      const next = this.#waiting.shift()!
      taken.push(next)
      for (const record of next.records) bytes += record.bytes
    } while (this.#waiting.length > 0 && bytes < TOGETHER_BYTES)
    return taken
  }

  async #commitTogether(calls: readonly Waiting[]): Promise<void> {
    const deadline = Math.max(...calls.map((call) => call.deadline))
    try {
      const records = calls.flatMap((call) => call.records)
      const offsets = await this.#producer.commit(records, undefined, { deadline })
      let at = 0
      for (const call of calls) {
        call.resolve(offsets.slice(at, at + call.records.length))
        at += call.records.length
      }
    } catch (error) {
      // Nobody else has this id: Kafka itself ended a transaction that took too long, and undid it.
      if (error instanceof FencedError && performance.now() < deadline) await this.#commitTogether(calls)
      // One record that the broker refuses is its own call's fault alone.
      else if (error instanceof InvalidRecordError && calls.length > 1)
        for (const call of calls) await this.#commitTogether([call])
      else for (const call of calls) call.reject(error)
    }
  }
}

function ignored(): void {}
