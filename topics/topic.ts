import { readFileSync } from 'node:fs'
import type { AvroSchema } from '../ports/schema-registry.ts'
import type { TopicSettings } from '../ports/topic-settings.ts'

/** A topic whose values are Avro records of type T, keyed by `keyName`. */
export interface Topic<Name extends string = string, T = unknown> extends TopicSettings {
  readonly name: Name
  /** What the key is, for people: 'uploadId', 'trackId', … */
  readonly keyName: string
  readonly schema: AvroSchema
  /** Of what is read, where that is less than what is written (`onlyFields`). */
  readonly readSchema?: AvroSchema
  /** Registry subject (TopicNameStrategy). */
  readonly subject: string
  /** Types an output record of this topic; the runtime encodes it. A null value is a tombstone. */
  record(key: string, value: T | null, options?: OutputOptions): TypedOutput<Name, T>
}

export interface OutputOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly partition?: number
  /** Hashed in place of the key, so that records of several keys share a partition. */
  readonly partitionBy?: string
}

export interface TypedOutput<Name extends string = string, T = unknown> extends OutputOptions {
  readonly topic: Name
  readonly key: string
  readonly value: T | null
}

export const DAY_MS = 86_400_000
/** Same-numbered partitions of these topics hold the same ids, so one task joins them (co-partitioning). */
export const PARTITIONS = 6

export function defineTopic<T>() {
  return <const Name extends string>(definition: {
    name: Name
    key: string
    retention: TopicSettings['retention']
    partitions?: number
    maxRecordBytes?: number
    flush?: TopicSettings['flush']
  }): Topic<Name, T> => ({
    name: definition.name,
    keyName: definition.key,
    partitions: definition.partitions ?? PARTITIONS,
    retention: definition.retention,
    maxRecordBytes: definition.maxRecordBytes ?? 1024 * 1024,
    flush: definition.flush ?? 'at-once',
    subject: `${definition.name}-value`,
    schema: JSON.parse(readFileSync(new URL(`../schemas/${definition.name}.avsc`, import.meta.url), 'utf8')),
    record: (key, value, options = {}) => ({ topic: definition.name, key, value, ...options }),
  })
}

/**
 * The same topic for a reader that needs these fields alone. The others are passed over, at a fraction of what decoding
 * them costs (Avro's schema resolution).
 */
export function onlyFields<Name extends string, T, const Field extends keyof T & string>(
  topic: Topic<Name, T>,
  names: readonly Field[],
): Topic<Name, Pick<T, Field>> {
  const fields = (topic.schema.fields as readonly { name: string }[]).filter(({ name }) =>
    names.includes(name as Field),
  )
  return { ...topic, readSchema: { ...topic.schema, fields } }
}

/** The dead-letter topic of a topic: original bytes and headers, the cause in headers of its own; flushed as the topic. */
export function deadLetterTopic(topic: TopicSettings): TopicSettings {
  return {
    name: `${topic.name}.dlq`,
    partitions: topic.partitions,
    retention: { ms: 14 * DAY_MS },
    maxRecordBytes: topic.maxRecordBytes + 64 * 1024,
    flush: topic.flush ?? 'at-once',
  }
}
