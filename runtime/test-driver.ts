/**
 * Runs processors over topics in memory, one record at a time, in an order that never varies: no broker, no timers.
 * Decoding, dead letters and retries are those of the loop; waiting for a retry moves `clock` instead.
 */
import type { OutputRecord, StoredRecord } from '../ports/broker.ts'
import { InvalidRecordError, NotYetError } from '../ports/errors.ts'
import type { AvroSchema, SchemaRegistry } from '../ports/schema-registry.ts'
import { deadLetterTopic, type Topic, type TypedOutput } from '../topics/topic.ts'
import { type Codec, createCodec } from './codec.ts'
import { deadLetterRecord } from './dead-letter.ts'
import type { WiredProcessor } from './define-processor.ts'
import { handleRecord } from './handle-record.ts'
import { defaultRetry, type RetryPolicy, retryDelayMs } from './retry.ts'
import { groupTopics } from './run-processor.ts'

export interface TestDriver {
  readonly codec: Codec
  /** Unix epoch ms; retries move it. */
  readonly clock: { nowMs: number }
  /** Appends one record and runs until every processor has read everything, or waits for its time to come. */
  pipe(output: TypedOutput, headers?: Record<string, string>): Promise<void>
  /** Looks again at records that wait for their time. */
  settle(): Promise<void>
  /** Appends bytes as they are: what no encoder would write. */
  pipeRaw(record: OutputRecord): Promise<void>
  /** Everything on a topic, decoded, in order. */
  records<T>(
    topic: Topic<string, T>,
  ): Promise<{ key: string | null; value: T | null; headers: StoredRecord['headers'] }[]>
  deadLetters(topic: Topic): readonly StoredRecord[]
}

export function createTestDriver(wired: readonly WiredProcessor[], options: { retry?: RetryPolicy } = {}): TestDriver {
  const codec = createCodec(memoryRegistry())
  const clock = { nowMs: 1_700_000_000_000 }
  const logs = new Map<string, StoredRecord[]>()
  const positions = new Map<string, number>()
  const retry = options.retry ?? defaultRetry

  function append(record: OutputRecord): void {
    const log = logs.get(record.topic) ?? []
    logs.set(record.topic, log)
    log.push({
      topic: record.topic,
      partition: record.partition ?? 0,
      offset: log.length,
      key: record.key,
      value: record.value,
      headers: record.headers ?? {},
      timestamp: record.timestamp ?? clock.nowMs,
    })
  }

  /** @returns the records to append: outputs, or a dead letter; undefined for a record whose time has not come. */
  async function step(
    { processor, deps }: WiredProcessor,
    record: StoredRecord,
  ): Promise<readonly OutputRecord[] | undefined> {
    for (let attempt = 1; ; attempt++) {
      const context = { signal: new AbortController().signal, attempt }
      const outcome = await handleRecord(processor, record, deps as never, codec, context)
      if (outcome.kind === 'done') return outcome.outputs
      if (outcome.kind === 'skipped' || outcome.kind === 'expired') return []
      if (outcome.kind === 'crash') throw outcome.error
      if (outcome.kind === 'retry' && outcome.error instanceof NotYetError) return undefined
      if (outcome.kind === 'invalid' || attempt >= retry.maxAttempts) {
        const failure = { stage: processor.name, error: outcome.error, attempts: attempt, at: clock.nowMs }
        return [deadLetterRecord(record, failure)]
      }
      clock.nowMs += retryDelayMs(retry, attempt, () => 0.5, outcome.error.retryAfterMs)
    }
  }

  async function settle(): Promise<void> {
    for (let moved = true; moved; ) {
      moved = false
      for (const entry of wired) {
        for (const topic of groupTopics(entry.processor)) {
          const position = `${entry.processor.name}/${topic}`
          for (let at = positions.get(position) ?? 0; at < (logs.get(topic)?.length ?? 0); at++) {
            const outputs = await step(entry, logs.get(topic)![at]!)
            if (outputs === undefined) break
            moved = true
            positions.set(position, at + 1)
            for (const output of outputs) append(output)
          }
        }
      }
    }
  }

  return {
    codec,
    clock,
    settle,
    async pipe(output, headers) {
      const topic = findTopic(output.topic)
      const value = output.value === null ? null : await codec.encode(topic, output.value)
      append({ ...output, value, ...(headers ? { headers } : {}) })
      await settle()
    },
    async pipeRaw(record) {
      append(record)
      await settle()
    },
    async records(topic) {
      return Promise.all(
        (logs.get(topic.name) ?? []).map(async ({ key, value, headers }) => ({
          key,
          headers,
          value: value === null ? null : await codec.decode(topic, value),
        })),
      )
    },
    deadLetters: (topic) => logs.get(deadLetterTopic(topic).name) ?? [],
  }

  function findTopic(name: string): Topic {
    for (const { processor } of wired) {
      const topic = [...processor.from, ...processor.to].find((candidate) => candidate.name === name)
      if (topic !== undefined) return topic
    }
    throw new Error(`No processor under test reads or writes ${name}`)
  }
}

function memoryRegistry(): SchemaRegistry {
  const schemas: AvroSchema[] = []
  return {
    async register(_subject, schema) {
      const known = schemas.indexOf(schema)
      return known === -1 ? schemas.push(schema) : known + 1
    },
    async schemaById(id) {
      const schema = schemas[id - 1]
      if (schema === undefined) throw new InvalidRecordError('unknown-schema', `No schema has the id ${id}`)
      return schema
    },
    versions: async () => schemas,
  }
}
