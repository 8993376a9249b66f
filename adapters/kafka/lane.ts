/**
 * One partition in the hands of one member: what was fetched waits here, is handed out batch by batch, and is committed.
 *
 *   [one-at-a-time]  a partition has one running batch; a lane waits for the one that had the partition in this process
 *   [trusted]        before the first batch whose outputs are committed with its offset, the transactional id of the
 *                    partition is opened, which shuts out an earlier owner, and only then is the committed offset read:
 *                    what that owner committed late is not done twice
 *   [fenced]         a lane that was revoked, and a batch that has ended, commit nothing any more
 *   [apart]          a lane that waits or is slow holds up no other
 *   [bounded]        a lane asks for more only while little waits in it
 *   [readable]       what cannot be read stops its own partition alone: it is told, and tried again now and then until
 *                    an operator has acted
 *   [told]           a lane that stands still says what it waits for
 *   [through]        the offset moves past control records and holes, so that a lag of 0 means that nothing is left
 */
import { setMaxListeners } from 'node:events'
import type { Batch, BatchOutcome, ConsumeOptions, OutputRecord, StoredRecord } from '../../ports/broker.ts'
import { FencedError, OutageError } from '../../ports/errors.ts'
import { batchesOf, groupedByPartition } from './delivery.ts'
import { isTransient, type Patience, settledBy, typeOf, within } from './faults.ts'
import type { Offsets, TopicPartition } from './offsets.ts'
import { decodeRecordSet, type ReadRecord, type ReadSet } from './record-batch.ts'
import type { FetchedPartition, GroupIdentity } from './requests.ts'
import type { TopicDirectory } from './topic-directory.ts'
import type { TransactionalProducer } from './transaction.ts'
import type { Writer } from './writer.ts'

export interface LaneOptions {
  readonly topic: string
  readonly partition: number
  readonly consume: ConsumeOptions
  readonly deliveryTimeoutMs: number
  readonly directory: TopicDirectory
  readonly writer: Writer
  readonly offsets: Offsets
  /** Of this partition in this group; used when the consumer is atomic. */
  readonly producer: TransactionalProducer
  readonly group: LaneGroup
  /** Settles when the lane that had this partition before, in this process, has let go. */
  readonly after: Promise<void>
  /** The handler rejected, or the group cannot be used. */
  onFailure(error: unknown): void
  /** What was out of the ordinary and was dealt with. */
  onError(error: unknown): void
  /** The lane can take more. */
  onHungry(): void
}

/** The member that the lane belongs to. */
export interface LaneGroup {
  readonly identity: GroupIdentity
  ready(): Promise<void>
  confirm(): Promise<boolean>
  /** Settles when no offsets are being written behind the lanes' backs. */
  flushed(): Promise<void>
}

const LITTLE_BYTES = 512 * 1024
/** Values of a batch pass this by one record at most. */
const MOST_BATCH_BYTES = 16 * 1024 * 1024
const LOOK_AGAIN_MS = 100
const NO_PROGRESS_MS = 10
/** Kafka applies the offsets of a transaction soon after it has ended. */
const STABLE_WITHIN_MS = 2_000
const UNREADABLE_AGAIN_MS = 10_000
const LONG_PAUSE_MS = 1_000

type Missing = 'the end of a rebalance' | 'its offset' | 'its transactional id' | 'records' | undefined

export class Lane {
  readonly topic: string
  readonly partition: number
  /** Settles, without rejecting, when the last batch has ended. */
  readonly ended: Promise<void>
  readonly #options: LaneOptions
  readonly #atomic: boolean
  /** Aborted first: begin nothing new. */
  readonly #stopping = new AbortController()
  /** Aborted when the partition is no longer ours: the signal of the batches. */
  readonly #revoked = new AbortController()
  /** Aborted when commits that are on their way are waited for no longer. */
  readonly #abandoned = new AbortController()
  readonly #commits = new Set<Promise<unknown>>()
  /** Ends the opening of the transactional id while it goes on. */
  #trusting: AbortController | undefined
  #held = false
  #paused = false
  #isUnreadable = false
  #isTrusted = false
  #running: Promise<unknown> | undefined
  #wake: (() => void) | undefined
  /** What stands between the lane and its next batch. [told] */
  #standstill: { missing: Missing; sinceMs: number; isTold?: boolean; met?: unknown } = {
    missing: undefined,
    sinceMs: 0,
  }
  /** Where to fetch; undefined until it is known. */
  #position: number | undefined
  /** The first record that is not done. */
  #committed = 0
  /** Done, but not yet told to the group. */
  #untold: number | undefined
  #waiting: ReadRecord[] = []
  #waitingBytes = 0
  #endOffset = 0

  constructor(options: LaneOptions) {
    setMaxListeners(0, this.#revoked.signal) // each of a batch's records may wait on it
    this.#options = options
    this.#atomic = options.consume.atomic !== false
    this.topic = options.topic
    this.partition = options.partition
    this.ended = this.#run()
  }

  get paused(): boolean {
    return this.#paused || this.#isUnreadable
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Where to fetch, if the lane can take more now. */
  get hungryAt(): number | undefined {
    const able = !this.#stopping.signal.aborted && !this.#held && !this.paused && this.#waitingBytes < LITTLE_BYTES
    return able ? this.#position : undefined
  }

  /** Begin nothing new until `release`. @returns when nothing runs any more. */
  async hold(): Promise<void> {
    this.#held = true
    this.#trusting?.abort()
    await this.#running
    await Promise.allSettled(this.#commits)
  }

  /** The partition stays. */
  release(): void {
    this.#held = false
    this.#notify()
    this.#options.onHungry()
  }

  stopFetching(): void {
    this.#stopping.abort()
    this.#trusting?.abort()
    this.#notify()
  }

  /** From now on commits are fenced. */
  revoke(): void {
    this.stopFetching()
    this.#revoked.abort(new FencedError(`partition ${this.partition} of ${this.topic} was taken away`))
  }

  /** What the commits on their way come to is not waited for any longer. */
  abandon(): void {
    this.#abandoned.abort()
  }

  /** Settles when no commit is on its way. */
  async committed(): Promise<void> {
    await Promise.allSettled(this.#commits)
  }

  /** The offset that the group has not been told yet; `restoreUntold` if it could not be told. */
  takeUntold(): number | undefined {
    if (this.#atomic && this.#commits.size > 0) return undefined // told by that one, behind which it must not come
    const offset = this.#untold
    this.#untold = undefined
    return offset
  }

  restoreUntold(offset: number): void {
    this.#untold ??= offset
  }

  /** @param offset that was asked for: an answer to an older question is dropped. */
  accept(offset: number, fetched: FetchedPartition): void {
    if (offset !== this.#position || this.#stopping.signal.aborted || this.#paused) return
    const bytes = Buffer.from(fetched.records) // of its own, so that it does not keep the whole answer in memory
    const where = `partition ${this.partition} of ${this.topic}`
    let set: ReadSet
    try {
      set = decodeRecordSet(bytes, offset, fetched.aborted, where)
    } catch (error) {
      this.#tryAgainLater(error) // [readable]
      return
    }
    const { records, nextOffset } = set
    this.#endOffset = fetched.highWatermark
    this.#position = nextOffset
    if (records.length > 0) {
      this.#waiting = this.#waiting.length === 0 ? records : this.#waiting.concat(records)
      for (const record of records) this.#waitingBytes += record.bytes
      this.#notify()
    } else if (this.#committed === offset) this.#passHoles()
  }

  /** Behind the last record that is done there may be control records and holes. [through] */
  #passHoles(): void {
    if (this.#waiting.length > 0 || this.#position! <= this.#committed) return
    this.#committed = this.#position!
    this.#untold = this.#position
  }

  #tryAgainLater(error: unknown): void {
    this.#isUnreadable = true
    this.#options.onError(error)
    const again = () => {
      this.#isUnreadable = false
      this.#options.onHungry()
    }
    setTimeout(again, UNREADABLE_AGAIN_MS).unref()
  }

  /** What the group stands at is deleted, or was never there. Nothing that is there is skipped. */
  outOfRange(offset: number, logStart: number): void {
    if (offset !== this.#position) return
    const where = `partition ${this.partition} of ${this.topic}`
    if (offset < logStart) {
      const message = `Records ${offset} … ${logStart - 1} of ${where} were deleted before group ${this.#group} read them`
      this.#options.onError(new Error(message))
    } else {
      const message = `Group ${this.#group} stands at ${offset} of ${where}, past its end: it reads all of it again`
      this.#options.onError(new Error(message))
    }
    this.#rewind(logStart)
    this.#options.onHungry()
  }

  get #group(): string {
    return this.#options.consume.group
  }

  #notify(): void {
    this.#wake?.()
  }

  #change(ms?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(() => this.#wake?.(), ms)
      this.#wake = () => {
        clearTimeout(timer)
        this.#wake = undefined
        resolve()
      }
    })
  }

  async #run(): Promise<void> {
    try {
      await this.#options.after // [one-at-a-time]
      while (!this.#stopping.signal.aborted) {
        const missing = this.#missing
        if (this.#standstill.missing !== missing) this.#standstill = { missing, sinceMs: performance.now() }
        if (missing === 'its offset') await this.#unlessStopped(this.#begin())
        else if (missing === 'its transactional id') await this.#unlessStopped(this.#establishTrust())
        else if (missing === undefined) await this.#deliverNext()
        else await this.#change()
      }
    } catch (error) {
      // Work that was already void may fail as it likes: the new owner meets the same records.
      if (!this.#revoked.signal.aborted) this.#options.onFailure(error)
    }
    await Promise.allSettled(this.#commits)
  }

  /** What must come before the next batch. */
  get #missing(): Missing {
    if (this.#held) return 'the end of a rebalance'
    if (this.#position === undefined) return 'its offset'
    if (this.#waiting.length === 0) return 'records'
    return this.#atomic && !this.#isTrusted ? 'its transactional id' : undefined
  }

  /** Tells, once, of what has been missing for longer. [told] */
  tellStandstill(longerThanMs: number): void {
    const { missing, sinceMs, isTold, met } = this.#standstill
    const ms = performance.now() - sinceMs
    if (missing === undefined || missing === 'records' || isTold || ms < longerThanMs) return
    this.#standstill.isTold = true
    const where = `Partition ${this.partition} of ${this.topic} in group ${this.#group}`
    const message = `${where} has waited ${Math.round(ms / 1_000)} s for ${missing}`
    const cause = met instanceof Error ? met : undefined
    this.#options.onError(new OutageError('kafka-stalled', cause ? `${message}: ${cause.message}` : message, { cause }))
  }

  /** What the group refuses while it shares out anew is tried again, if the partition stays. */
  async #unlessStopped(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      if (!(error instanceof FencedError)) throw error
      await this.#change(LOOK_AGAIN_MS)
    }
  }

  readonly #onRetry = (error: unknown) => {
    this.#standstill.met = error
  }

  /** Waits through an outage. */
  get #patience() {
    return { deadline: Number.POSITIVE_INFINITY, signal: this.#stopping.signal, onRetry: this.#onRetry }
  }

  async #begin(): Promise<void> {
    const { offsets, group, consume } = this.#options
    const { topic, partition } = this
    // Not waiting for what an earlier owner has left open: it is ended below, before this is trusted.
    let [start] = await offsets.committed(this.#group, [this], false, this.#patience)
    if (start === undefined) {
      ;[start] = await offsets.edge([this], consume.from, this.#patience)
      if (consume.from === 'latest') {
        // Where a group begins is written down, so that a crash before its first commit loses nothing.
        await settledBy(group.ready(), this.#patience)
        await offsets.commit(group.identity, [{ topic, partition, offset: start! }], this.#patience)
      }
    }
    this.#rewind(start!)
    this.#options.onHungry()
  }

  /** [trusted] */
  async #establishTrust(): Promise<void> {
    const { group } = this.#options
    const trusting = new AbortController()
    const patience = { ...this.#patience, signal: trusting.signal }
    this.#trusting = trusting
    let committed: number | undefined
    try {
      await settledBy(group.ready(), patience)
      // A member that was put out of the group without knowing would shut out the rightful owner.
      if (!(await settledBy(group.confirm(), patience))) return await this.#change(LOOK_AGAIN_MS)
      committed = await this.#stableOffset(patience)
    } catch (error) {
      if (trusting.signal.aborted) return // it stops, or begins anew if the partition stays
      throw error
    } finally {
      this.#trusting = undefined
    }
    this.#isTrusted = true
    if (committed === undefined || committed <= this.#committed) return
    this.#committed = committed
    this.#restore([])
  }

  async #outputPartitions(patience: Patience): Promise<TopicPartition[]> {
    const { directory, consume } = this.#options
    const layouts = await directory.layouts(consume.outputs ?? [], patience)
    return layouts.flatMap(({ name, leaders }) => leaders.map((_, partition) => ({ topic: name, partition })))
  }

  /** Opens the transactional id. @returns what the group was told last, once nothing of that is pending */
  async #stableOffset(patience: Patience): Promise<number | undefined> {
    const { producer, offsets } = this.#options
    for (;;) {
      await producer.takeOver(patience)
      const stableBy = within(STABLE_WITHIN_MS)
      let isPending = false
      const worthwhile = (error: unknown) => {
        isPending = typeOf(error) === 'UNSTABLE_OFFSET_COMMIT' && performance.now() > stableBy
        return isTransient(error) && !isPending
      }
      try {
        const [committed] = await offsets.committed(this.#group, [this], true, { ...patience, worthwhile })
        return committed
      } catch (error) {
        if (!isPending) throw error
      }
      // The transaction before has ended, so nobody else is to end what is still pending.
      await producer.settle(this.#group, await this.#outputPartitions(patience), patience)
    }
  }

  /** What waits is fetched anew from there. */
  #rewind(offset: number): void {
    this.#committed = offset
    this.#position = offset
    this.#setWaiting([])
  }

  /** Goes on with what is not done of `records`, which came before what waits, without fetching it anew. */
  #restore(records: readonly ReadRecord[]): void {
    const [from, to] = [records[0]?.offset ?? this.#committed, this.#position!]
    if (this.#committed < from || this.#committed > to) this.#rewind(this.#committed)
    else this.#setWaiting([...records, ...this.#waiting].filter(({ offset }) => offset >= this.#committed))
    if (this.#waitingBytes < LITTLE_BYTES) this.#options.onHungry()
  }

  #setWaiting(records: ReadRecord[]): void {
    this.#waiting = records
    this.#waitingBytes = records.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  #take(): ReadRecord[] {
    const { maxRecords } = this.#options.consume
    let [count, bytes] = [0, 0]
    while (count < maxRecords && count < this.#waiting.length && bytes < MOST_BATCH_BYTES) {
      bytes += this.#waiting[count++]!.bytes
    }
    const taken = this.#waiting.slice(0, count)
    this.#waiting = this.#waiting.slice(count)
    this.#waitingBytes -= bytes
    if (this.#waitingBytes < LITTLE_BYTES) this.#options.onHungry()
    return taken
  }

  async #deliverNext(): Promise<void> {
    const taken = this.#take()
    const last = taken.at(-1)!.offset
    const { topic, partition } = this
    const records: StoredRecord[] = taken.map(({ bytes: _, ...record }) => ({ topic, partition, ...record }))
    let open = true
    const batch: Batch = {
      topic,
      partition,
      records,
      endOffset: Math.max(this.#endOffset, last + 1),
      signal: this.#revoked.signal,
      commit: (nextOffset, outputs) => {
        const commit = this.#commit(() => open, nextOffset, outputs, last)
        this.#commits.add(commit)
        const settled = () => void this.#commits.delete(commit)
        commit.then(settled, settled)
        return commit
      },
    }
    const committed = this.#committed
    const running = this.#options.consume.onBatch(batch)
    this.#running = running.catch(() => {})
    let outcome: BatchOutcome
    try {
      outcome = await running
    } finally {
      open = false
      await Promise.allSettled(this.#commits)
      this.#running = undefined
    }
    const isDone = this.#committed === last + 1 || this.#committed === this.#throughFrom(last)
    // Holes that came while the commit was on its way are passed too.
    if (isDone) this.#passHoles()
    else this.#restore(taken)
    if (outcome.next === 'pause') await this.#pause(outcome.forMs)
    // A handler that neither commits nor waits must not starve the others.
    else if (this.#committed === committed) await this.#change(NO_PROGRESS_MS)
  }

  async #pause(forMs: number): Promise<void> {
    this.#paused = true
    if (forMs >= LONG_PAUSE_MS) {
      this.#rewind(this.#committed) // what waited would keep others from being fetched
      this.#options.onHungry()
    }
    const ends = performance.now() + forMs
    while (!this.#stopping.signal.aborted && performance.now() < ends) {
      await this.#change(Math.min(2 ** 31 - 1, ends - performance.now()))
    }
    this.#paused = false
    this.#options.onHungry()
  }

  /** Behind the last record there are at most control records and holes up to here. [through] */
  #throughFrom(last: number): number {
    return this.#waiting.length === 0 ? this.#position! : last + 1
  }

  async #commit(
    isOpen: () => boolean,
    nextOffset: number,
    outputs: readonly OutputRecord[],
    last: number,
  ): Promise<void> {
    const { directory, writer, producer, offsets, group, deliveryTimeoutMs } = this.#options
    if (!Number.isSafeInteger(nextOffset) || nextOffset < 0) throw new RangeError(`${nextOffset} is no offset`)
    const assertOurs = () => {
      this.#revoked.signal.throwIfAborted() // [fenced]
      if (!isOpen()) throw new FencedError(`the batch of partition ${this.partition} of ${this.topic} has ended`)
    }
    assertOurs()
    const deadline = within(deliveryTimeoutMs)
    const prepared = await this.#inTime(directory.prepare(outputs, deadline), deadline)
    const offset = nextOffset === last + 1 ? this.#throughFrom(last) : nextOffset
    if (!this.#atomic) {
      const parts = groupedByPartition(prepared).flatMap(batchesOf) // each by itself: no transaction
      await Promise.all(parts.map((part) => writer.write(part, deadline)))
      assertOurs()
      this.#committed = offset
      this.#untold = offset
      return
    }
    await this.#inTime(group.ready(), deadline)
    await this.#inTime(group.flushed(), deadline)
    assertOurs()
    if (!this.#isTrusted) throw new FencedError(`an earlier commit of this batch failed: it comes again`)
    const patience = { deadline, signal: this.#abandoned.signal }
    const position = [{ topic: this.topic, partition: this.partition, offset }]
    if (prepared.length === 0) await offsets.commit(group.identity, position, patience)
    else {
      try {
        await producer.commit(prepared, { identity: group.identity, offsets: position }, patience)
      } catch (error) {
        this.#isTrusted = producer.isOpen // [trusted] anew
        throw error
      }
    }
    this.#committed = offset
    this.#untold = undefined
  }

  /** @throws OutageError; FencedError when the partition is taken away meanwhile */
  async #inTime<T>(work: Promise<T>, deadline: number): Promise<T> {
    const { signal } = this.#revoked
    let giveUp!: () => void
    const late = new Promise<undefined>((resolve) => {
      giveUp = () => resolve(undefined)
    })
    const timer = setTimeout(giveUp, Math.max(0, deadline - performance.now()))
    signal.addEventListener('abort', giveUp)
    try {
      const outcome = await Promise.race([work.then((value) => ({ value })), late])
      signal.throwIfAborted()
      if (outcome !== undefined) return outcome.value
      throw new OutageError('kafka-away', `Group ${this.#group} could not be reached in time`)
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', giveUp)
    }
  }
}
