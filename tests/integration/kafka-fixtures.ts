/** What the tests of the Kafka adapter share: a broker, topics of their own, members that copy one topic to another. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openKafkaBroker } from '../../adapters/kafka/broker.ts'
import type { KafkaOptions } from '../../adapters/kafka/client.ts'
import type { Batch, Broker, ConsumeOptions, Consumer, OutputRecord, StoredRecord } from '../../ports/broker.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { until } from '../conformance/deadline.ts'
import { testServices } from '../support/services.ts'

/** Closed when the test ends. @param options.brokers those of the test run if absent. */
export async function testBroker(t: TestContext, options: Partial<KafkaOptions> = {}): Promise<Broker> {
  const brokers = options.brokers ?? (await testServices()).kafkaBrokers
  const broker = await openKafkaBroker({ clientId: 'test', ...options, brokers })
  t.after(() => broker.close())
  return broker
}

export async function newTopic(broker: Broker, settings: Partial<TopicSettings> = {}): Promise<string> {
  const name = settings.name ?? `test.${randomUUID()}`
  const defaults = { partitions: 1, retention: { ms: 3_600_000 }, maxRecordBytes: 2 * 1024 * 1024 }
  await broker.ensureTopics([{ ...defaults, ...settings, name }])
  return name
}

export function record(topic: string, value: string, options: Partial<OutputRecord> = {}): OutputRecord {
  return { topic, key: value, value: Buffer.from(value), ...options }
}

export function text({ value }: { value: Uint8Array | null }): string {
  return Buffer.from(value ?? []).toString()
}

/** Committed records of all partitions. */
export async function everythingIn(broker: Broker, topic: string): Promise<StoredRecord[]> {
  const partitions = (await broker.topics()).find(({ name }) => name === topic)?.partitions ?? 0
  const records: StoredRecord[] = []
  for (let partition = 0; partition < partitions; partition++) {
    for (let offset = 0; ; ) {
      const some = await broker.read(topic, partition, offset, 1_000)
      records.push(...some)
      if (some.length === 0) break
      offset = some.at(-1)!.offset + 1
    }
  }
  return records
}

export async function untilRead(broker: Broker, topic: string, count: number, what: string): Promise<StoredRecord[]> {
  let records: StoredRecord[] = []
  await until(async () => {
    records = await everythingIn(broker, topic)
    return records.length >= count
  }, what)
  return records
}

export interface CopierOptions {
  readonly group: string
  readonly from: string
  readonly to: string
  readonly maxRecords?: number
  /** Outputs of `paddingBytes` that go with each copy, so that its transaction takes its time. */
  readonly padding?: number
  readonly paddingBytes?: number
}

/** A consumer that writes each record's value to another topic, in a transaction with its offset. */
export function copy(
  broker: Broker,
  options: CopierOptions,
  onBatch: (batch: Batch) => void | Promise<void> = () => {},
  onCommit: (error?: unknown) => void = () => {},
): Promise<Consumer> {
  const { group, from, to, padding = 0, paddingBytes = 0 } = options
  const pad = Buffer.alloc(paddingBytes, 'p')
  const consume: ConsumeOptions = {
    group,
    topics: [from],
    maxRecords: options.maxRecords ?? 50,
    from: 'earliest',
    async onBatch(batch) {
      await onBatch(batch)
      const outputs = batch.records.flatMap((input): OutputRecord[] => [
        { topic: to, key: input.key, value: input.value },
        ...Array.from({ length: padding }, () => ({ topic: to, key: input.key, value: pad })),
      ])
      try {
        await batch.commit(batch.records.at(-1)!.offset + 1, outputs)
        onCommit()
      } catch (error) {
        onCommit(error)
        if (!batch.signal.aborted && (error as { code?: string }).code !== 'fenced') throw error
      }
      return { next: 'continue' }
    },
  }
  return broker.consume(consume)
}

export interface CopierProcess {
  readonly process: ChildProcess
  /** What it said so far, by line: 'batch', 'committed', 'failed CODE', 'ended'. */
  readonly lines: readonly string[]
  /** Resolves when it has said a line that starts so. */
  says(start: string): Promise<void>
  kill(signal: NodeJS.Signals): void
}

const script = fileURLToPath(new URL('kafka-copier-process.ts', import.meta.url))

/** The same in a process of its own, to be stopped and killed. */
export function spawnCopier(
  t: TestContext,
  options: CopierOptions & Pick<KafkaOptions, 'brokers' | 'sessionTimeoutMs'>,
) {
  const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await exited
  })
  const lines: string[] = []
  createInterface(child.stdout).on('line', (line) => lines.push(line))
  const copier: CopierProcess = {
    process: child,
    lines,
    says: (start) => until(() => lines.some((line) => line.startsWith(start)), `the member to say "${start}"`),
    kill: (signal) => void child.kill(signal),
  }
  return copier
}
