/** Looking at dead letters and putting them back, over any broker. */
import type { Broker, OutputRecord, StoredRecord } from '../ports/broker.ts'
import { InvalidRequestError } from '../ports/errors.ts'
import type { Topic } from '../topics/topic.ts'
import { type DeadLetterCause, deadLetterCause, deadLetterName, redriveRecord } from './dead-letter.ts'
import { newestBetween } from './newest-between.ts'
import { readPartition } from './read-partition.ts'

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
      for await (const record of readPartition(broker, deadLetterName(name), partition, READ_AT_ONCE)) {
        const cause = deadLetterCause(record.headers)
        if (cause !== undefined) yield { position: `${name}/${partition}/${record.offset}`, cause, record }
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
  /** Left alone: the letter does not hold the whole record. */
  readonly incomplete: number
}

type Log = Pick<Broker, 'read' | 'produce'>

/**
 * Puts the originals back, for the stages that failed.
 * @throws OutageError 'transaction-open' when it cannot be seen in time whether one was put behind a newer record.
 */
export async function redrive(
  broker: Log,
  topics: readonly Topic[],
  letters: readonly FiledLetter[],
): Promise<Redriven> {
  let [redriven, superseded, incomplete] = [0, 0, 0]
  for (const letter of letters) {
    const compacted = topics.find(({ name }) => name === letter.cause.topic)?.retention === 'compacted'
    const record = redriveRecord(letter.record, { forEveryStage: compacted })
    if (record === undefined) incomplete++
    else if (compacted && !(await putBack(broker, letter.cause, record))) superseded++
    else {
      if (!compacted) await broker.produce([record])
      redriven++
    }
  }
  return { redriven, superseded, incomplete }
}

/**
 * Of all records of its key the newest comes last again, also where that came while this looked for it: else compaction
 * would keep what a takedown has ended. The embedded broker compacts at once and shows nothing of a record that was
 * overtaken; there the moment between the look and the write is all that is left open.
 * @returns whether that is the original.
 */
async function putBack(broker: Log, { topic, partition, offset }: DeadLetterCause, original: OutputRecord) {
  let seenTo = offset + 1
  for (;;) {
    const page = await broker.read(topic, partition, seenTo, READ_AT_ONCE)
    if (page.some(({ key }) => key === original.key)) return false
    if (page.length === 0) break
    seenTo = page.at(-1)!.offset + 1
  }
  for (let newest = original; ; ) {
    const [at] = await broker.produce([newest])
    const overtaken = await newestBetween(broker, { topic, partition, key: original.key }, seenTo, at!.offset)
    if (overtaken === undefined) return newest === original
    const { key, value, headers } = overtaken
    newest = { topic, partition, key, value, headers }
    seenTo = at!.offset + 1
  }
}
