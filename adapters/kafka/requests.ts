/**
 * Requests that kafkajs lacks, or knows only in a version without what is needed here.
 *
 *   Produce 7, Fetch 11          the record sets as they are (record-batch.ts), errors told for each partition apart
 *   OffsetFetch 7                [stable]: an offset that an open transaction may still move is not given out
 *   InitProducerId 3             [own epoch]: refused where a later holder of the transactional id has taken over (KIP-360)
 *   TxnOffsetCommit 3            [generation]: the group refuses offsets of a member that it no longer knows (KIP-447)
 *   DescribeTransactions 0       how the last transaction of an id ended, or will (KIP-664)
 */
import { SetupError } from '../../ports/errors.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { type ApiRequest, kafkajsInternals, type ProtocolRequest } from './kafkajs-internals.ts'
import type { AbortedTransaction } from './record-batch.ts'

const API = {
  Produce: 0,
  Fetch: 1,
  OffsetFetch: 9,
  InitProducerId: 22,
  TxnOffsetCommit: 28,
  DescribeTransactions: 65,
} as const

function protocolRequest<Response>(
  apiName: keyof typeof API,
  apiVersion: number,
  body: (writer: ByteWriter) => void,
  read: (reader: ByteReader) => Response,
  options: { sizeHint?: number; requestTimeout?: number } = {},
): ProtocolRequest<Response> {
  const request: ApiRequest = {
    apiKey: API[apiName],
    apiVersion,
    apiName,
    async encode() {
      const writer = new ByteWriter(options.sizeHint)
      body(writer)
      const bytes = writer.written()
      return { buf: bytes, buffer: bytes }
    },
  }
  const response = {
    decode: async (payload: Buffer) => ({ content: read(new ByteReader(payload)) }), // kafkajs looks into what it gets
    parse: async ({ content }: { content: Response }) => content,
  }
  return { request, response, ...(options.requestTimeout && { requestTimeout: options.requestTimeout }) }
}

const UNKNOWN_TRANSACTIONAL_ID = 105

/** Younger than kafkajs's table of errors. */
const YOUNGER = new Map([
  [89, { type: 'THROTTLING_QUOTA_EXCEEDED', told: 'a quota is used up' }],
  [90, { type: 'PRODUCER_FENCED', told: 'a later producer took over' }],
])

export function errorOf(code: number): (Error & { readonly type: string }) | undefined {
  if (code === 0) return undefined
  const younger = YOUNGER.get(code)
  if (younger !== undefined) return Object.assign(new Error(younger.told), { type: younger.type })
  return kafkajsInternals().createErrorFromCode(code)
}

interface ByTopic<T> {
  readonly topic: string
  readonly partitions: readonly T[]
}

/** Items of one topic that follow each other share an entry: the order is the order in which a broker fills a fetch. */
export function byTopic<T extends { topic: string }>(items: readonly T[]): ByTopic<T>[] {
  const groups: { topic: string; partitions: T[] }[] = []
  for (const item of items) {
    const last = groups.at(-1)
    if (last?.topic === item.topic) last.partitions.push(item)
    else groups.push({ topic: item.topic, partitions: [item] })
  }
  return groups
}

export interface EncodedBatch {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

export interface Produced {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly baseOffset: number
}

export function produceRequest(
  batches: readonly EncodedBatch[],
  transactionalId: string | null,
  timeoutMs: number,
): ProtocolRequest<Produced[]> {
  const sizeHint = batches.reduce((sum, { bytes }) => sum + bytes.length + 300, 300)
  const sorted = [...batches].sort((a, b) => (a.topic < b.topic ? -1 : 1))
  return protocolRequest(
    'Produce',
    7,
    (writer) =>
      writer
        .string(transactionalId)
        .int16(-1) // acknowledged by all replicas in sync
        .int32(timeoutMs)
        .array(byTopic(sorted), (w, { topic, partitions }) =>
          w.string(topic).array(partitions, (each, { partition, bytes }) => {
            each.int32(partition).int32(bytes.length).raw(bytes)
          }),
        ),
    (reader) =>
      reader
        .array((topics) => {
          const topic = topics.string()
          return topics.array((r) => {
            const produced = { topic, partition: r.int32(), errorCode: r.int16(), baseOffset: r.int64() }
            r.at += 16 // log append time, log start offset
            return produced
          })
        })
        .flat(),
    { sizeHint, requestTimeout: timeoutMs },
  )
}

export interface FetchPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly maxBytes: number
}

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logStartOffset: number
  readonly aborted: readonly AbortedTransaction[]
  readonly records: Buffer
}

export interface FetchLimits {
  readonly maxWaitMs: number
  readonly maxBytes: number
}

/** Committed records only. @throws SetupError for an error of the whole fetch */
export function fetchRequest(
  positions: readonly FetchPosition[],
  limits: FetchLimits,
): ProtocolRequest<FetchedPartition[]> {
  return protocolRequest(
    'Fetch',
    11,
    (writer) =>
      writer
        .int32(-1) // a consumer, no replica
        .int32(limits.maxWaitMs)
        .int32(limits.maxWaitMs === 0 ? 0 : 1) // answer as soon as there is anything
        .int32(limits.maxBytes)
        .int8(1) // committed only
        .int32(0) // no fetch session
        .int32(-1)
        .array(byTopic(positions), (w, { topic, partitions }) =>
          w.string(topic).array(partitions, (each, { partition, offset, maxBytes }) => {
            each.int32(partition).int32(-1).int64(offset).int64(-1).int32(maxBytes)
          }),
        )
        .int32(0) // nothing forgotten
        .string(''), // rack
    (reader) => {
      reader.at += 4 // throttle time
      const error = errorOf(reader.int16())
      if (error !== undefined) throw error
      reader.at += 4 // session
      return reader
        .array((topics) => {
          const topic = topics.string()
          return topics.array((r) => readPartition(topic, r))
        })
        .flat()
    },
    { sizeHint: 100 + 60 * positions.length, requestTimeout: limits.maxWaitMs + FETCH_SLACK_MS },
  )
}

const FETCH_SLACK_MS = 15_000

function readPartition(topic: string, r: ByteReader): FetchedPartition {
  const head = {
    topic,
    partition: r.int32(),
    errorCode: r.int16(),
    highWatermark: r.int64(),
    lastStableOffset: r.int64(),
    logStartOffset: r.int64(),
  }
  const aborted = r.array((a) => ({ producerId: a.bigint64(), firstOffset: a.int64() }))
  r.at += 4 // preferred replica
  return { ...head, aborted, records: r.slice(r.int32()) ?? Buffer.alloc(0) }
}

export interface CommittedOffset {
  readonly topic: string
  readonly partition: number
  /** -1 where the group has none. */
  readonly offset: number
  readonly errorCode: number
}

/** `partitions` of one topic need not follow each other. [stable] */
export function offsetFetchRequest(
  group: string,
  partitions: readonly { topic: string; partition: number }[],
  stable: boolean,
): ProtocolRequest<CommittedOffset[]> {
  const sorted = [...partitions].sort((a, b) => (a.topic < b.topic ? -1 : 1))
  return protocolRequest(
    'OffsetFetch',
    7,
    (writer) =>
      writer
        .noTags() // of the header
        .compactString(group)
        .compactArray(byTopic(sorted), (w, entry) => {
          w.compactString(entry.topic).compactArray(
            entry.partitions,
            (each, { partition }) => void each.int32(partition),
          )
          w.noTags()
        })
        .int8(stable ? 1 : 0)
        .noTags(),
    (reader) => {
      reader.skipTags() // of the header
      reader.at += 4 // throttle time
      const offsets = reader.compactArray((topics) => {
        const topic = topics.compactString()
        const found = topics.compactArray((r) => {
          const [partition, offset] = [r.int32(), r.int64()]
          r.at += 4 // leader epoch
          r.compactString() // metadata
          const committed = { topic, partition, offset, errorCode: r.int16() }
          r.skipTags()
          return committed
        })
        topics.skipTags()
        return found
      })
      const error = errorOf(reader.int16())
      if (error !== undefined) throw error
      return offsets.flat()
    },
  )
}

export interface GroupIdentity {
  readonly group: string
  readonly memberId: string
  readonly generation: number
}

export interface PartitionOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export interface ProducerIdentity {
  readonly transactionalId: string
  readonly producerId: bigint
  readonly producerEpoch: number
}

/**
 * Ends what this producer has open, under an epoch of its own: what it sent before and arrives later is refused. While that
 * goes on Kafka answers CONCURRENT_TRANSACTIONS. [own epoch] @throws the error that was answered
 */
export function nextEpochRequest(producer: ProducerIdentity, transactionTimeoutMs: number): ProtocolRequest<void> {
  return protocolRequest(
    'InitProducerId',
    3,
    (writer) =>
      writer
        .noTags() // of the header
        .compactString(producer.transactionalId)
        .int32(transactionTimeoutMs)
        .int64(producer.producerId)
        .int16(producer.producerEpoch)
        .noTags(),
    (reader) => {
      reader.skipTags() // of the header
      reader.at += 4 // throttle time
      const error = errorOf(reader.int16())
      if (error !== undefined) throw error
    },
  )
}

/** [generation] @throws the first error of a partition */
export function txnOffsetCommitRequest(
  producer: ProducerIdentity,
  identity: GroupIdentity,
  offsets: readonly PartitionOffset[],
): ProtocolRequest<void> {
  return protocolRequest(
    'TxnOffsetCommit',
    3,
    (writer) =>
      writer
        .noTags() // of the header
        .compactString(producer.transactionalId)
        .compactString(identity.group)
        .int64(producer.producerId)
        .int16(producer.producerEpoch)
        .int32(identity.generation)
        .compactString(identity.memberId)
        .compactString(null) // no static member
        .compactArray(byTopic(offsets), (w, { topic, partitions }) => {
          w.compactString(topic).compactArray(partitions, (each, { partition, offset }) => {
            each.int32(partition).int64(offset).int32(-1).compactString(null).noTags()
          })
          w.noTags()
        })
        .noTags(),
    (reader) => {
      reader.skipTags() // of the header
      reader.at += 4 // throttle time
      reader.compactArray((topics) => {
        topics.compactString()
        topics.compactArray((r) => {
          r.at += 4 // partition
          const error = errorOf(r.int16())
          if (error !== undefined) throw error
          r.skipTags()
        })
        topics.skipTags()
      })
    },
  )
}

/** As Kafka names the states of a transactional id; undefined for an id that it does not know. */
export function describeTransactionRequest(transactionalId: string): ProtocolRequest<string | undefined> {
  return protocolRequest(
    'DescribeTransactions',
    0,
    (writer) =>
      writer
        .noTags() // of the header
        .compactArray([transactionalId], (w, id) => w.compactString(id))
        .noTags(),
    (reader) => {
      reader.skipTags() // of the header
      reader.at += 4 // throttle time
      const [described] = reader.compactArray((r) => {
        const errorCode = r.int16()
        r.compactString() // the id
        const state = r.compactString()
        r.at += 4 + 8 + 8 + 2 // timeout, start, producer id and epoch
        r.compactArray((topics) => {
          topics.compactString()
          topics.compactArray((partitions) => partitions.int32())
          topics.skipTags()
        })
        r.skipTags()
        return { errorCode, state }
      })
      if (described === undefined || described.errorCode === UNKNOWN_TRANSACTIONAL_ID) return undefined
      const error = errorOf(described.errorCode)
      if (error !== undefined) throw error
      return described.state
    },
  )
}

/** Kafka before 3.0 does not tell. */
export function canDescribeTransactions(node: { supports(apiKey: number, version: number): boolean }): boolean {
  return node.supports(API.DescribeTransactions, 0)
}

/** @throws SetupError 'kafka-too-old' */
export function assertKnownTo(node: { supports(apiKey: number, version: number): boolean }): void {
  const needed = [
    [API.Produce, 7],
    [API.Fetch, 11],
    [API.OffsetFetch, 7],
    [API.InitProducerId, 3],
    [API.TxnOffsetCommit, 3],
  ] as const
  if (needed.every(([apiKey, version]) => node.supports(apiKey, version))) return
  throw new SetupError('kafka-too-old', 'This Kafka lacks requests that are needed; use Kafka 2.5 or later')
}
