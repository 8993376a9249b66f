/**
 * A stage as a typed value: what it reads, what it may write, and a function from a record to records.
 *
 * The runtime decodes, retries, dead-letters, produces, commits and measures (runtime/run-processor.ts); a handler does
 * none of that. Clock, randomness, ids and ports come to it as `deps`.
 */
import type { Headers } from '../ports/broker.ts'
import type { Topic, TypedOutput } from '../topics/topic.ts'

export interface InputRecord<Name extends string = string, T = unknown> {
  readonly topic: Name
  readonly partition: number
  readonly offset: number
  readonly key: string
  readonly value: T
  readonly headers: Headers
  /** Unix epoch, ms. */
  readonly timestamp: number
}

/** One record of any of the topics; `record.topic` tells which. */
export type InputOf<T extends Topic> = T extends Topic<infer Name, infer Value> ? InputRecord<Name, Value> : never
/** A record for any of the topics; for another topic it is a compile error. */
export type OutputOf<T extends Topic> = T extends Topic<infer Name, infer Value> ? TypedOutput<Name, Value> : never

export interface HandlerContext {
  /** Aborted when the partition is lost or the stage stops. */
  readonly signal: AbortSignal
  /** 1 on the first try. */
  readonly attempt: number
}

/**
 * 'exactly-once': outputs and offsets in one transaction. 'at-least-once': for handlers that write to a store, by
 * idempotent upserts. 'latency-first': no transaction; the caller's deadline covers a lost record.
 */
export type Delivery = 'exactly-once' | 'at-least-once' | 'latency-first'

export interface ProcessorDefinition<From extends Topic, To extends Topic, Deps> {
  /** verb-noun; also the consumer group and the Deployment. */
  readonly name: string
  /** Co-partitioned: records of the same key in any of them are handled one after the other. */
  readonly from: readonly From[]
  readonly to: readonly To[]
  readonly delivery: Delivery
  /** Records of a batch handled at the same time, those of one key one after the other. Default 1. */
  readonly concurrency?: number
  /** What counts as one key there. Default: the record's key. */
  readonly orderBy?: (key: string) => string
  /** Records fetched and committed together at most. Default 500: a batch is bounded by bytes and time besides. */
  readonly maxRecords?: number
  /** Where a new group begins. Default 'earliest'. */
  readonly start?: 'earliest' | 'latest'
  /** Reads the dead letters of these topics too, as raw records, by `handleDeadLetter`. */
  readonly deadLettersOf?: readonly Topic[]
  /** Whether nobody waits for the record any more: then it is passed by, and counted as 'expired'. */
  isExpired?(headers: Headers, deps: Deps): boolean
  handle(record: InputOf<From>, deps: Deps, context: HandlerContext): Promise<readonly OutputOf<To>[]>
  /** A tombstone arrived for `key`. Without this, tombstones pass by. */
  handleTombstone?(record: Tombstone<From['name']>, deps: Deps): Promise<readonly OutputOf<To>[]>
  handleDeadLetter?(letter: DeadLetter, deps: Deps): Promise<void>
}

export interface Tombstone<Name extends string = string> {
  readonly topic: Name
  readonly key: string
  readonly headers: Headers
}

/** What the dead-letter headers say. */
export interface DeadLetter {
  readonly topic: string
  readonly key: string | null
  readonly stage: string
  readonly code: string
  readonly message: string
  readonly attempts: number
  /** Unix epoch, ms. */
  readonly at: number
  /** The original value decoded, where it decodes. */
  readonly value: unknown
  /** Of the original, beside the cause. */
  readonly headers: Headers
}

/** A processor with its types erased, for the registry and the loop. */
export type Processor<Deps = never> = ProcessorDefinition<Topic, Topic, Deps>

/** A processor with what its handlers get. */
export interface WiredProcessor {
  readonly processor: Processor
  readonly deps: unknown
}

/** Pairs a processor with its dependencies, checked against its own type. */
export function wire<From extends Topic, To extends Topic, Deps>(
  processor: ProcessorDefinition<From, To, Deps>,
  deps: Deps,
): WiredProcessor {
  return { processor: processor as unknown as Processor, deps }
}

export function defineProcessor<const From extends Topic, const To extends Topic, Deps>(
  definition: ProcessorDefinition<From, To, Deps>,
): ProcessorDefinition<From, To, Deps> {
  return definition
}
