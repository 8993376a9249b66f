/**
 * Carries encoded batches to the leaders of their partitions, again and again until all are acknowledged or time is up.
 *
 *   [once]   a batch is sent again byte for byte: its producer id and sequence let the broker drop what it has already
 *   [apart]  what a batch meets is its own: others of the same request are acknowledged all the same
 */
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidRecordError } from '../../ports/errors.ts'
import { isTransient, type Patience, settledBy, translated, typeOf } from './faults.ts'
import { type KafkaNode, type Nodes, unknownTopic } from './nodes.ts'
import { BATCH_HEADER_BYTES } from './record-batch.ts'
import { errorOf, produceRequest } from './requests.ts'
import type { PreparedRecord } from './topic-directory.ts'

export interface Outgoing {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
  /** Of its first record, once it is acknowledged. */
  baseOffset: number | undefined
  /** It may stand in the log though nobody has said so. */
  isDoubtful: boolean
}

/** Batches that are not acknowledged, and what each has met. */
export type Failures = ReadonlyMap<Outgoing, unknown>

/** Several records share a batch up to this size, if their topic allows it. */
const BATCH_BYTES = 1024 * 1024
/** One request carries so much, and one batch at least. */
const REQUEST_BYTES = 8 * 1024 * 1024
const ACKNOWLEDGED_WITHIN_MS = 10_000
const FIRST_DELAY_MS = 10
const LONGEST_DELAY_MS = 500
/** Answered by a leader that has, or may have, written the batch. */
const DOUBTFUL = new Set(['REQUEST_TIMED_OUT', 'NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'UNKNOWN'])
const REFUSED = new Map([
  ['MESSAGE_TOO_LARGE', 'record-too-large'],
  ['RECORD_LIST_TOO_LARGE', 'record-too-large'],
  ['INVALID_RECORD', 'invalid-record'],
  ['INVALID_TIMESTAMP', 'invalid-timestamp'],
])

/**
 * @param batches at most one for each partition.
 * @param met what they have met in an attempt before.
 * @throws what the first batch that cannot be delivered met.
 */
export async function deliver(
  nodes: Nodes,
  batches: readonly Outgoing[],
  transactionalId: string | null,
  patience: Patience,
  met?: Failures,
): Promise<void> {
  const { deadline, signal } = patience
  let failures = met ?? (await attempt(nodes, batches, transactionalId, patience))
  for (let delayMs = FIRST_DELAY_MS; failures.size > 0; delayMs = Math.min(LONGEST_DELAY_MS, delayMs * 2)) {
    const errors = [...failures.values()]
    const left = [...failures.keys()]
    const fatal = errors.find((error) => !isTransient(error))
    if (fatal !== undefined) throw refused(fatal)
    if (signal?.aborted || performance.now() + delayMs > deadline) {
      const gone = left.find(({ topic }) => nodes.layout(topic) === undefined)
      throw gone === undefined ? translated('producing', errors[0]) : unknownTopic(gone.topic)
    }
    await delay(delayMs, undefined, { signal }).catch(() => {})
    await settledBy(nodes.lookAgain(), patience).catch(() => {})
    failures = await attempt(nodes, left, transactionalId, patience)
  }
}

/** Once. Sets `baseOffset` of what is acknowledged, as soon as it is. [apart] */
export async function attempt(
  nodes: Nodes,
  batches: readonly Outgoing[],
  transactionalId: string | null,
  patience: Patience,
): Promise<Failures> {
  const failures = new Map<Outgoing, unknown>()
  const fail: Fail = (batch, error) => void failures.set(batch, error)
  const round = byLeader(nodes, batches, fail).then((requests) =>
    Promise.all(requests.map(({ leader, part }) => sendTo(leader, part, transactionalId, fail))),
  )
  await settledBy(round, patience).catch((error: unknown) => {
    for (const batch of batches) {
      if (batch.baseOffset !== undefined || failures.has(batch)) continue
      batch.isDoubtful = true
      fail(batch, error)
    }
  })
  return new Map(failures) // of its own: a late answer changes nothing in it
}

type Fail = (batch: Outgoing, error: unknown) => void

async function byLeader(nodes: Nodes, batches: readonly Outgoing[], fail: Fail) {
  const parts = new Map<KafkaNode, Outgoing[][]>()
  for (const batch of batches) {
    try {
      const leader = await nodes.leader(batch.topic, batch.partition)
      const requests = parts.get(leader) ?? [[]]
      parts.set(leader, requests)
      const last = requests.at(-1)!
      const size = last.reduce((sum, { bytes }) => sum + bytes.length, 0)
      if (last.length > 0 && size + batch.bytes.length > REQUEST_BYTES) requests.push([batch])
      else last.push(batch)
    } catch (error) {
      fail(batch, error)
    }
  }
  return [...parts].flatMap(([leader, requests]) => requests.map((part) => ({ leader, part })))
}

async function sendTo(
  leader: KafkaNode,
  batches: readonly Outgoing[],
  transactionalId: string | null,
  fail: Fail,
): Promise<void> {
  try {
    const produced = await leader.send(produceRequest(batches, transactionalId, ACKNOWLEDGED_WITHIN_MS))
    for (const { topic, partition, errorCode, baseOffset } of produced) {
      const batch = batches.find((one) => one.partition === partition && one.topic === topic)!
      const error = errorOf(errorCode)
      if (error === undefined) batch.baseOffset = baseOffset
      else {
        batch.isDoubtful ||= DOUBTFUL.has(typeOf(error))
        fail(batch, error)
      }
    }
  } catch (error) {
    for (const batch of batches) {
      batch.isDoubtful = true
      fail(batch, error)
    }
  }
}

function refused(error: unknown): unknown {
  const code = REFUSED.get(typeOf(error))
  return code === undefined
    ? error
    : new InvalidRecordError(code, `Kafka refuses a record: ${(error as Error).message}`)
}

/** Splits records of one partition, in their order, into what fits a batch each. */
export function batchesOf(records: readonly PreparedRecord[]): PreparedRecord[][] {
  const batches: PreparedRecord[][] = []
  let size = 0
  for (const record of records) {
    const limit = Math.min(BATCH_BYTES, record.maxBatchBytes)
    const last = batches.at(-1)
    if (last === undefined || size + record.bytes > limit) {
      batches.push([record])
      size = BATCH_HEADER_BYTES + record.bytes
    } else {
      last.push(record)
      size += record.bytes
    }
  }
  return batches
}

export function groupedByPartition(records: readonly PreparedRecord[]): PreparedRecord[][] {
  const groups = new Map<string, PreparedRecord[]>()
  for (const record of records) {
    const name = partitionName(record)
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [record])
    else group.push(record)
  }
  return [...groups.values()]
}

export function partitionName({ topic, partition }: { topic: string; partition: number }): string {
  return `${partition} ${topic}`
}
