/**
 * Writes to several partitions, and offsets of a group, that become visible together or not at all.
 *
 *     init ─▶ add partitions ─▶ ┬ produce ──────────────────────────┬ ─▶ end
 *                               └ add offsets ─▶ commit offsets ────┘
 *
 *   [fence]    who opens a transactional id shuts out whoever had it before and undoes what that one left open
 *   [group]    offsets are taken only from a member of the group's present generation
 *   [retried]  Kafka answers CONCURRENT_TRANSACTIONS while it still ends the transaction before, to any of the steps
 *              (kafkajs#430): each is tried again
 *   [in-doubt] records that were sent and not answered may arrive behind the end of their transaction, and would begin one
 *              that nobody ends (before Kafka 3.6): it is ended under the next epoch, which shuts them out
 *   [marked]   what a transaction wrote is open until its marker comes, for readers and for the offsets of the group. A lone
 *              broker that comes back from a crash skips the markers of transactions that were about to end ("likely deleted
 *              already", TransactionMarkerChannelManager, seen in 4.3.1), and calls them ended. Markers of an empty
 *              transaction with the same outcome, of the same id, over the same partitions serve as well
 *   [anew]     after a failure whose outcome is not known, the id is opened again before it is used
 */
import { FencedError } from '../../ports/errors.ts'
import { batchesOf, deliver, groupedByPartition, type Outgoing, partitionName } from './delivery.ts'
import { isAway, isFenced, type Patience, translated, typeOf, within } from './faults.ts'
import type { KafkaNode, Nodes } from './nodes.ts'
import type { TopicPartition } from './offsets.ts'
import { encodeBatch } from './record-batch.ts'
import {
  byTopic,
  canDescribeTransactions,
  describeTransactionRequest,
  errorOf,
  type GroupIdentity,
  nextEpochRequest,
  type PartitionOffset,
  type ProducerIdentity,
  txnOffsetCommitRequest,
} from './requests.ts'
import type { PreparedRecord } from './topic-directory.ts'

/** Kafka looks every 10 s for transactions that are older than this: a stuck one holds readers up for 15 s at most. */
export const TRANSACTION_TIMEOUT_MS = 5_000
/** For undoing; beyond it Kafka does it by itself. */
const ABORT_WITHIN_MS = 2_000
/** States of a transactional id whose last transaction is, or will be, committed. */
const COMMITTED = new Set(['PrepareCommit', 'CompleteCommit'])
const SEQUENCES = 2 ** 31

export interface OffsetsOfGroup {
  readonly identity: GroupIdentity
  readonly offsets: readonly PartitionOffset[]
}

interface Opened {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly sequences: Map<string, number>
  isInDoubt: boolean
}

export class TransactionalProducer {
  readonly transactionalId: string
  readonly #nodes: Nodes
  #opened: Opened | undefined
  /** Whether the last transaction before `takeOver` was committed, not undone. [marked] */
  #wasCommitted = false

  constructor(nodes: Nodes, transactionalId: string) {
    this.#nodes = nodes
    this.transactionalId = transactionalId
  }

  get isOpen(): boolean {
    return this.#opened !== undefined
  }

  /** Opens the id, and notes before how its last transaction ended, for `settle`. [marked] */
  async takeOver(patience: Patience): Promise<void> {
    const { transactionalId } = this
    await this.#ask(`looking at ${transactionalId}`, patience, async (node) => {
      const state = canDescribeTransactions(node)
        ? await node.send(describeTransactionRequest(transactionalId))
        : undefined
      if (state !== 'Empty') this.#wasCommitted = COMMITTED.has(state ?? '')
    })
    await this.open(patience)
  }

  /** [fence] Waits for what the one before had begun to commit. */
  async open(patience: Patience): Promise<void> {
    const { transactionalId } = this
    const request = { transactionalId, transactionTimeout: TRANSACTION_TIMEOUT_MS }
    const opened = await this.#ask(`opening ${transactionalId}`, patience, (node) =>
      node.call<{ producerId: string; producerEpoch: number }>('InitProducerId', request),
    )
    this.#opened = { ...opened, producerId: BigInt(opened.producerId), sequences: new Map(), isInDoubt: false }
  }

  /**
   * Ends what the last transaction before `takeOver` left open in these partitions and in the group. [marked]
   * @throws FencedError; OutageError. The id is to be opened again afterwards.
   */
  async settle(group: string, partitions: readonly TopicPartition[], patience: Patience): Promise<void> {
    if (this.#opened === undefined) await this.open(patience)
    const producer = this.#identity(this.#opened!)
    this.#opened = undefined // [anew]
    try {
      await this.#mark(producer, partitions, group, this.#wasCommitted, patience)
    } catch (error) {
      throw refused(this.transactionalId, error)
    }
  }

  #identity({ producerId, producerEpoch }: Opened): ProducerIdentity {
    return { transactionalId: this.transactionalId, producerId, producerEpoch }
  }

  /**
   * @returns the offset of each record.
   * @throws FencedError when a later holder of the id, or generation of the group, has taken over; OutageError
   */
  async commit(
    records: readonly PreparedRecord[],
    group: OffsetsOfGroup | undefined,
    patience: Patience,
  ): Promise<number[]> {
    if (this.#opened === undefined) await this.open(patience)
    const opened = this.#opened!
    const { transactionalId } = this
    const producer = this.#identity(opened)
    const partitions = partitionsOf(records)
    try {
      await this.#addPartitions(producer, partitions, patience)
      // Both are waited for, so that nothing is still on its way when the transaction is undone.
      const [written, offsets] = await Promise.allSettled([
        this.#produce(opened, records, patience),
        group === undefined ? undefined : this.#commitOffsets(producer, group, patience),
      ])
      if (written.status === 'rejected') throw written.reason
      if (offsets.status === 'rejected') throw offsets.reason
      const isUnsure = await this.#end(producer, true, patience)
      if (isUnsure) {
        await this.#mark(producer, partitions, group?.identity.group, true, patience).catch(() => {
          this.#opened = undefined // [anew]; the transaction itself stands
        })
      }
      return written.value
    } catch (error) {
      this.#opened = undefined // [anew]
      if (isFenced(causeOf(error))) throw refused(transactionalId, error)
      // What cannot be undone now is undone by whoever opens the id next, or by Kafka when its time is up.
      const soon = { deadline: Math.min(within(ABORT_WITHIN_MS), patience.deadline + ABORT_WITHIN_MS) }
      const undo = (node: KafkaNode): Promise<unknown> =>
        opened.isInDoubt
          ? node.send(nextEpochRequest(producer, TRANSACTION_TIMEOUT_MS)) // [in-doubt]
          : node.call('EndTxn', { ...producer, transactionResult: false })
      await this.#ask('undoing a transaction', soon, undo).catch(() => {})
      throw refused(transactionalId, error)
    }
  }

  async #addPartitions(
    producer: ProducerIdentity,
    partitions: readonly TopicPartition[],
    patience: Patience,
  ): Promise<void> {
    if (partitions.length === 0) return
    const topics = byTopic(partitions).map(({ topic, partitions: own }) => ({
      topic,
      partitions: own.map(({ partition }) => partition),
    }))
    await this.#ask('adding to a transaction', patience, (node) => addPartitions(node, { ...producer, topics }))
  }

  /** @returns whether Kafka was lost sight of meanwhile: its markers may be missing. [marked] */
  async #end(producer: ProducerIdentity, transactionResult: boolean, patience: Patience): Promise<boolean> {
    let isUnsure = false
    const onRetry = (error: unknown) => {
      isUnsure ||= isAway(error)
    }
    await this.#ask('ending a transaction', { ...patience, onRetry }, (node) =>
      node.call('EndTxn', { ...producer, transactionResult }),
    )
    return isUnsure
  }

  /** An empty transaction, for its markers. [marked] */
  async #mark(
    producer: ProducerIdentity,
    partitions: readonly TopicPartition[],
    group: string | undefined,
    isCommitted: boolean,
    patience: Patience,
  ): Promise<void> {
    await this.#addPartitions(producer, partitions, patience)
    if (group !== undefined) await this.#addOffsets(producer, group, patience)
    await this.#end(producer, isCommitted, patience)
  }

  async #addOffsets(producer: ProducerIdentity, group: string, patience: Patience): Promise<void> {
    await this.#ask('adding offsets to a transaction', patience, (node) =>
      node.call('AddOffsetsToTxn', { ...producer, groupId: group }),
    )
  }

  async #commitOffsets(
    producer: ProducerIdentity,
    { identity, offsets }: OffsetsOfGroup,
    patience: Patience,
  ): Promise<void> {
    const { group } = identity
    await this.#addOffsets(producer, group, patience)
    await this.#nodes.askCoordinator(
      'group',
      group,
      `committing offsets of ${group}`,
      quick(patience),
      (node) => node.send(txnOffsetCommitRequest(producer, identity, offsets)), // [group]
    )
  }

  async #produce(opened: Opened, records: readonly PreparedRecord[], patience: Patience): Promise<number[]> {
    const indexes = new Map<PreparedRecord, number>(records.map((record, i) => [record, i]))
    const offsets: number[] = new Array(records.length)
    const queues = groupedByPartition(records).map(batchesOf)
    for (let round = 0; queues.some((queue) => queue.length > round); round++) {
      const parts = queues.flatMap((queue) => (queue[round] === undefined ? [] : [queue[round]!]))
      const batches = parts.map((part) => encoded(part, opened))
      await deliver(this.#nodes, batches, this.transactionalId, patience).catch((error) => {
        opened.isInDoubt = batches.some(({ baseOffset, isDoubtful }) => baseOffset === undefined && isDoubtful)
        throw error
      })
      for (const [i, part] of parts.entries()) {
        for (const [at, record] of part.entries()) offsets[indexes.get(record)!] = batches[i]!.baseOffset! + at
      }
    }
    return offsets
  }

  #ask<T>(what: string, patience: Patience, ask: (coordinator: KafkaNode) => Promise<T>): Promise<T> {
    return this.#nodes.askCoordinator('transaction', this.transactionalId, what, quick(patience), ask) // [retried]
  }
}

interface AddedPartitions {
  readonly errors: readonly { partitionErrors: readonly { errorCode: number }[] }[]
}

/** @throws what stands in the way, rather than that a partition was left out because of another */
async function addPartitions(node: KafkaNode, options: object): Promise<void> {
  const { request, response } = node.request<void>('AddPartitionsToTxn', options)
  const parse = async ({ errors }: AddedPartitions) => {
    const failed = errors.flatMap(({ partitionErrors }) =>
      partitionErrors.flatMap((one) => errorOf(one.errorCode) ?? []),
    )
    const reason = failed.find((error) => typeOf(error) !== 'OPERATION_NOT_ATTEMPTED') ?? failed[0]
    if (reason !== undefined) throw reason
  }
  await node.send({ request, response: { decode: response.decode, parse } })
}

/** Kafka ends a transaction within milliseconds: a long wait before the next try would be the commit's whole time. */
function quick(patience: Patience): Patience {
  return { ...patience, firstDelayMs: 4, longestDelayMs: 100 }
}

/** `translated` hides an error of the protocol behind one of ours. */
function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? error.cause : error
}

/** What it means to who commits that a step of a transaction met an error. */
function refused(transactionalId: string, error: unknown): Error {
  const cause = causeOf(error)
  if (!isFenced(cause)) return translated('committing a transaction', error)
  return new FencedError(`${transactionalId} was taken over: ${(cause as Error).message}`, { cause: error })
}

function encoded(part: readonly PreparedRecord[], opened: Opened): Outgoing {
  const { topic, partition } = part[0]!
  const name = partitionName({ topic, partition })
  const firstSequence = opened.sequences.get(name) ?? 0
  opened.sequences.set(name, (firstSequence + part.length) % SEQUENCES)
  const { producerId, producerEpoch } = opened
  const stamp = { producerId, producerEpoch, firstSequence, transactional: true }
  const records = part.map(({ record }) => record)
  return { topic, partition, bytes: encodeBatch(records, stamp), baseOffset: undefined, isDoubtful: false }
}

/** Each once, those of a topic together. */
function partitionsOf(records: readonly PreparedRecord[]): TopicPartition[] {
  const partitions = groupedByPartition(records).map(([first]) => ({
    topic: first!.topic,
    partition: first!.partition,
  }))
  return partitions.sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition))
}
