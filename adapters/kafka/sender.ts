/**
 * Records of one partition at a time, without a transaction: idempotent, in order, and together while others are on the way.
 *
 *   [ordered]    a partition has one batch on the way; what comes meanwhile goes with the next
 *   [together]   the records of one `send` share a batch, so all of them are written or none
 *   [once]       a batch that is sent again is not written again
 */
import { deliver, type Outgoing, partitionName } from './delivery.ts'
import { patiently, translated, typeOf } from './faults.ts'
import type { Nodes } from './nodes.ts'
import { BATCH_HEADER_BYTES, encodeBatch } from './record-batch.ts'
import type { PreparedRecord } from './topic-directory.ts'

interface Entry {
  readonly records: readonly PreparedRecord[]
  readonly bytes: number
  readonly deadline: number
  resolve(baseOffset: number): void
  reject(error: unknown): void
}

interface Queue {
  readonly topic: string
  readonly partition: number
  readonly waiting: Entry[]
  onTheWay: boolean
}

interface Session {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly sequences: Map<string, number>
}

interface Round {
  readonly queue: Queue
  readonly entries: readonly Entry[]
  readonly batch: Outgoing
}

/** The broker has forgotten this producer, or a batch before was lost: it starts over with a new id. */
const SEQUENCE_LOST = new Set(['OUT_OF_ORDER_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID', 'INVALID_PRODUCER_EPOCH'])
const TOGETHER_BYTES = 1024 * 1024
const SEQUENCES = 2 ** 31

export class Sender {
  readonly #nodes: Nodes
  readonly #queues = new Map<string, Queue>()
  readonly #busy = new Set<number>()
  #session: Promise<Session> | undefined

  constructor(nodes: Nodes) {
    this.#nodes = nodes
  }

  /** @param records of one partition that fit one batch. @returns the offset of the first. */
  send(records: readonly PreparedRecord[], deadline: number): Promise<number> {
    const { topic, partition } = records[0]!
    const name = partitionName({ topic, partition })
    const queue = this.#queues.get(name) ?? { topic, partition, waiting: [], onTheWay: false }
    this.#queues.set(name, queue)
    const bytes = records.reduce((sum, record) => sum + record.bytes, 0)
    return new Promise((resolve, reject) => {
      queue.waiting.push({ records, bytes, deadline, resolve, reject })
      void this.#pump(this.#leaderOf(queue))
    })
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
      if (queue.onTheWay) continue
      if (queue.waiting.length === 0) this.#queues.delete(name)
      else if (this.#leaderOf(queue) !== leader) void this.#pump(this.#leaderOf(queue)) // it moved
    }
  }

  async #collect(leader: number): Promise<Round[]> {
    const ready = () =>
      [...this.#queues.values()].filter(
        (queue) => !queue.onTheWay && queue.waiting.length > 0 && this.#leaderOf(queue) === leader,
      )
    const queues = ready()
    if (queues.length === 0) return []
    try {
      const session = await this.#openSession(Math.max(...queues.map(({ waiting }) => waiting[0]!.deadline)))
      return ready().map((queue) => nextRound(queue, session))
    } catch (error) {
      for (const { waiting } of queues) for (const entry of waiting.splice(0)) entry.reject(error)
      return this.#collect(leader)
    }
  }

  #openSession(deadline: number): Promise<Session> {
    this.#session ??= patiently('opening a producer', { deadline }, async () => {
      const any = await this.#nodes.any()
      const opened = await any.call<{ producerId: string; producerEpoch: number }>('InitProducerId', {
        transactionTimeout: 0,
      })
      return { ...opened, producerId: BigInt(opened.producerId), sequences: new Map() }
    })
    this.#session.catch(() => {
      this.#session = undefined
    })
    return this.#session
  }

  async #send(rounds: readonly Round[]): Promise<void> {
    const deadline = Math.max(...rounds.flatMap(({ entries }) => entries.map((entry) => entry.deadline)))
    const batches = rounds.map(({ batch }) => batch)
    const failure = await deliver(this.#nodes, batches, null, { deadline }).then(
      () => undefined,
      (error: unknown) => error,
    )
    // A batch whose fate is unknown leaves a gap in the sequence.
    if (failure !== undefined) this.#session = undefined
    for (const { queue, entries, batch } of rounds) {
      queue.onTheWay = false
      let offset = batch.baseOffset
      if (offset === undefined && SEQUENCE_LOST.has(typeOf(failure)) && performance.now() < deadline) {
        queue.waiting.unshift(...entries)
        continue
      }
      for (const entry of entries) {
        if (offset === undefined) entry.reject(translated('producing', failure))
        else {
          entry.resolve(offset)
          offset += entry.records.length
        }
      }
    }
  }
}

function nextRound(queue: Queue, session: Session): Round {
  const entries: Entry[] = []
  const limit = Math.min(TOGETHER_BYTES, queue.waiting[0]!.records[0]!.maxBatchBytes)
  let bytes = BATCH_HEADER_BYTES
  do {
    bytes += queue.waiting[0]!.bytes
    entries.push(queue.waiting.shift()!)
  } while (queue.waiting.length > 0 && bytes + queue.waiting[0]!.bytes <= limit)
  queue.onTheWay = true
  const records = entries.flatMap((entry) => entry.records.map(({ record }) => record))
  const name = partitionName(queue)
  const firstSequence = session.sequences.get(name) ?? 0
  session.sequences.set(name, (firstSequence + records.length) % SEQUENCES)
  const { producerId, producerEpoch } = session
  const encoded = encodeBatch(records, { producerId, producerEpoch, firstSequence, transactional: false })
  return {
    queue,
    entries,
    batch: { topic: queue.topic, partition: queue.partition, bytes: encoded, baseOffset: undefined },
  }
}
