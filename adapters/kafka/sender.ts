/**
 * Records of one partition at a time, without a transaction: idempotent, in order, and together while others are on the way.
 *
 *   [ordered]    a partition has one batch on the way; what comes meanwhile goes with the next
 *   [together]   the records of one `send` share a batch, so all of them are written or none
 *   [once]       a batch that is sent again is not written again
 *   [apart]      a batch that fails is tried again by itself, and the leader's next request waits for none of these
 *   [in-time]    who waits is told by the deadline, wherever the records are
 */
import { InvalidRecordError, OutageError } from '../../ports/errors.ts'
import { attempt, deliver, type Outgoing, partitionName } from './delivery.ts'
import { patiently, translated, typeOf } from './faults.ts'
import type { Nodes } from './nodes.ts'
import { BATCH_HEADER_BYTES, encodeBatch } from './record-batch.ts'
import type { PreparedRecord } from './topic-directory.ts'

interface Entry {
  readonly records: readonly PreparedRecord[]
  readonly bytes: number
  readonly deadline: number
  /** Shares no batch any more: one of those that it was with was refused. */
  isAlone: boolean
  resolve(baseOffset: number): void
  reject(error: unknown): void
}

interface Queue {
  readonly topic: string
  readonly partition: number
  waiting: Entry[]
  onTheWay: readonly Entry[]
}

interface Session {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly sequences: Map<string, number>
}

interface Round {
  readonly queue: Queue
  readonly entries: readonly Entry[]
  readonly deadline: number
  readonly session: Session
  readonly batch: Outgoing
}

/** The broker has forgotten this producer, or a batch before was lost: it starts over with a new id. */
const SEQUENCE_LOST = new Set(['OUT_OF_ORDER_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID', 'INVALID_PRODUCER_EPOCH'])
const TOGETHER_BYTES = 1024 * 1024
const SEQUENCES = 2 ** 31
const LOOK_EVERY_MS = 250

export class Sender {
  readonly #nodes: Nodes
  readonly #queues = new Map<string, Queue>()
  readonly #busy = new Set<number>()
  #opening: Promise<Session> | undefined
  #session: Session | undefined
  #watch: NodeJS.Timeout | undefined

  constructor(nodes: Nodes) {
    this.#nodes = nodes
  }

  /** @param records of one partition that fit one batch. @returns the offset of the first. */
  send(records: readonly PreparedRecord[], deadline: number): Promise<number> {
    const { topic, partition } = records[0]!
    const name = partitionName({ topic, partition })
    const queue = this.#queues.get(name) ?? { topic, partition, waiting: [], onTheWay: [] }
    this.#queues.set(name, queue)
    this.#watch ??= setInterval(() => this.#endLate(), LOOK_EVERY_MS).unref()
    const bytes = records.reduce((sum, record) => sum + record.bytes, 0)
    return new Promise((resolve, reject) => {
      queue.waiting.push({ records, bytes, deadline, isAlone: false, resolve, reject })
      void this.#pump(this.#leaderOf(queue))
    })
  }

  /** [in-time] */
  #endLate(): void {
    const now = performance.now()
    for (const queue of this.#queues.values()) {
      const isLate = ({ deadline }: Entry) => deadline < now
      const late = [...queue.onTheWay, ...queue.waiting].filter(isLate)
      if (late.length === 0) continue
      queue.waiting = queue.waiting.filter((entry) => !isLate(entry))
      const where = `partition ${queue.partition} of ${queue.topic}`
      for (const { reject } of late)
        reject(new OutageError('kafka-away', `Kafka did not acknowledge in time: ${where}`))
    }
    if (this.#queues.size > 0) return
    clearInterval(this.#watch)
    this.#watch = undefined
  }

  #leaderOf({ topic, partition }: Queue): number {
    return this.#nodes.layout(topic)?.leaders[partition] ?? -1
  }

  /** One request at a time goes to a leader; it carries what has gathered. */
  async #pump(leader: number): Promise<void> {
    if (this.#busy.has(leader)) return
    this.#busy.add(leader)
    for (let rounds = await this.#collect(leader); rounds.length > 0; rounds = await this.#collect(leader)) {
      await this.#send(rounds)
    }
    this.#busy.delete(leader)
    for (const [name, queue] of this.#queues) {
      if (queue.onTheWay.length > 0) continue
      if (queue.waiting.length === 0) this.#queues.delete(name)
      else void this.#pump(this.#leaderOf(queue)) // it moved, or came while this one ended
    }
  }

  async #collect(leader: number): Promise<Round[]> {
    const ready = () =>
      [...this.#queues.values()].filter(
        (queue) => queue.onTheWay.length === 0 && queue.waiting.length > 0 && this.#leaderOf(queue) === leader,
      )
    const queues = ready()
    if (queues.length === 0) return []
    try {
      this.#session ??= await this.#openSession(Math.max(...queues.map(({ waiting }) => waiting[0]!.deadline)))
      const session = this.#session
      return ready().map((queue) => nextRound(queue, session))
    } catch (error) {
      for (const { waiting } of queues) for (const entry of waiting.splice(0)) entry.reject(error)
      return this.#collect(leader)
    }
  }

  #openSession(deadline: number): Promise<Session> {
    this.#opening ??= patiently('opening a producer', { deadline }, async () => {
      const any = await this.#nodes.any()
      const opened = await any.call<{ producerId: string; producerEpoch: number }>('InitProducerId', {
        transactionTimeout: 0,
      })
      return { ...opened, producerId: BigInt(opened.producerId), sequences: new Map() }
    }).finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #send(rounds: readonly Round[]): Promise<void> {
    const deadline = Math.max(...rounds.map((round) => round.deadline))
    const batches = rounds.map(({ batch }) => batch)
    const failures = await attempt(this.#nodes, batches, null, { deadline })
    for (const round of rounds) {
      if (failures.has(round.batch))
        void this.#tryAgain(round, failures.get(round.batch)) // [apart]
      else this.#acknowledge(round)
    }
  }

  async #tryAgain(round: Round, met: unknown): Promise<void> {
    const { queue, batch, deadline } = round
    try {
      await deliver(this.#nodes, [batch], null, { deadline }, new Map([[batch, met]]))
      this.#acknowledge(round)
    } catch (error) {
      this.#giveUp(round, error)
    }
    void this.#pump(this.#leaderOf(queue))
  }

  #acknowledge({ queue, entries, batch }: Round): void {
    queue.onTheWay = []
    let offset = batch.baseOffset!
    for (const entry of entries) {
      entry.resolve(offset)
      offset += entry.records.length
    }
  }

  #giveUp({ queue, entries, session, batch }: Round, error: unknown): void {
    queue.onTheWay = []
    if (this.#session === session) this.#session = undefined // its sequence has a gap now
    if (SEQUENCE_LOST.has(typeOf(error)) && !batch.isDoubtful) queue.waiting.unshift(...entries)
    else if (error instanceof InvalidRecordError && entries.length > 1) {
      for (const entry of entries) entry.isAlone = true // one record that is refused is its own call's fault alone
      queue.waiting.unshift(...entries)
    } else {
      const told = SEQUENCE_LOST.has(typeOf(error)) ? unknownFate(error) : translated('producing', error)
      for (const entry of entries) entry.reject(told)
    }
  }
}

/** Sent once more under another id it could be there twice. [once] */
function unknownFate(cause: unknown): OutageError {
  return new OutageError('kafka-away', 'Kafka lost track of a producer: whether its records are there is not known', {
    cause,
  })
}

function nextRound(queue: Queue, session: Session): Round {
  const entries: Entry[] = []
  const limit = Math.min(TOGETHER_BYTES, queue.waiting[0]!.records[0]!.maxBatchBytes)
  let bytes = BATCH_HEADER_BYTES
  do {
    bytes += queue.waiting[0]!.bytes
    entries.push(queue.waiting.shift()!)
  } while (mayJoin(entries, queue.waiting[0]) && bytes + queue.waiting[0]!.bytes <= limit)
  queue.onTheWay = entries
  const records = entries.flatMap((entry) => entry.records.map(({ record }) => record))
  const name = partitionName(queue)
  const firstSequence = session.sequences.get(name) ?? 0
  session.sequences.set(name, (firstSequence + records.length) % SEQUENCES)
  const { producerId, producerEpoch } = session
  const encoded = encodeBatch(records, { producerId, producerEpoch, firstSequence, transactional: false })
  return {
    queue,
    entries,
    deadline: Math.max(...entries.map(({ deadline }) => deadline)),
    session,
    batch: {
      topic: queue.topic,
      partition: queue.partition,
      bytes: encoded,
      baseOffset: undefined,
      isDoubtful: false,
    },
  }
}

function mayJoin([first]: readonly Entry[], next: Entry | undefined): boolean {
  return next !== undefined && !next.isAlone && !first!.isAlone
}
