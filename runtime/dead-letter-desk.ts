/** Looking at dead letters and putting them back, over any broker. */
import type { Broker, StoredRecord } from '../ports/broker.ts'
import { InvalidRequestError } from '../ports/errors.ts'
import type { Topic } from '../topics/topic.ts'
import { type DeadLetterCause, deadLetterCause, deadLetterName, redriveRecord } from './dead-letter.ts'

export interface FiledLetter {
  /** '<topic>/<partition>/<offset>' of the original topic; the offset is that in the dead-letter topic. */
  readonly position: string
  readonly cause: DeadLetterCause
  readonly record: StoredRecord
}

const READ_AT_ONCE = 100

/** @yields the letters of every topic, oldest first within a partition, read as they are asked for. */
export async function* deadLetters(broker: Broker, topics: readonly Topic[]): AsyncGenerator<FiledLetter> {
  for (const { name, partitions } of topics) {
    for (let partition = 0; partition < partitions; partition++) {
      for (let offset = 0; ; ) {
        const records = await broker.read(deadLetterName(name), partition, offset, READ_AT_ONCE)
        for (const record of records) {
          const cause = deadLetterCause(record.headers)
          if (cause !== undefined) yield { position: `${name}/${partition}/${record.offset}`, cause, record }
          offset = record.offset + 1
        }
        if (records.length === 0) break
      }
    }
  }
}

/** @throws InvalidRequestError 'unknown-dead-letter' (404) */
export async function findDeadLetter(broker: Broker, topics: readonly Topic[], position: string): Promise<FiledLetter> {
  const [name, partition, offset] = position.split('/')
  const topic = topics.find((candidate) => candidate.name === name)
  const at = [Number(partition), Number(offset)] as const
  if (topic !== undefined && at.every((n) => Number.isSafeInteger(n) && n >= 0) && at[0] < topic.partitions) {
    const [record] = await broker.read(deadLetterName(topic.name), at[0], at[1], 1)
    const cause = record?.offset === at[1] ? deadLetterCause(record.headers) : undefined
    if (record !== undefined && cause !== undefined) return { position, cause, record }
  }
  throw new InvalidRequestError('unknown-dead-letter', `There is no dead letter ${position}`, { status: 404 })
}

export interface Redriven {
  readonly redriven: number
  /** Left alone: a newer record of the same key has come since, on a topic that keeps the latest of each key. */
  readonly superseded: number
}

/** Puts the originals back, for the stages that failed. */
export async function redrive(
  broker: Broker,
  topics: readonly Topic[],
  letters: readonly FiledLetter[],
): Promise<Redriven> {
  let [redriven, superseded] = [0, 0]
  for (const letter of letters) {
    const compacted = topics.find(({ name }) => name === letter.cause.topic)?.retention === 'compacted'
    if (compacted && (await isSuperseded(broker, letter))) {
      superseded++
      continue
    }
    const record = redriveRecord(letter.record, { forEveryStage: compacted })
    if (record === undefined) continue
    await broker.produce([record])
    redriven++
  }
  return { redriven, superseded }
}

async function isSuperseded(broker: Broker, { cause, record }: FiledLetter): Promise<boolean> {
  for (let offset = cause.offset + 1; ; ) {
    const later = await broker.read(cause.topic, cause.partition, offset, READ_AT_ONCE)
    if (later.some(({ key }) => key === record.key)) return true
    if (later.length === 0) return false
    offset = later.at(-1)!.offset + 1
  }
}
