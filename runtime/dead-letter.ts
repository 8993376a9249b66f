/**
 * Dead letters: `<topic>.dlq` keeps the original key, bytes and headers; the cause travels in headers beside them.
 * Redriving puts the original back on its topic for the stage that failed; other stages pass it by.
 * A letter that its topic does not take, because an operator gave it fewer partitions or smaller records than its source,
 * is reduced until it does: then it tells of the record, and cannot be redriven.
 */
import type { Headers, OutputRecord, StoredRecord } from '../ports/broker.ts'
import { CuestreamError, type InvalidRecordError } from '../ports/errors.ts'

export const DEAD_LETTER_SUFFIX = '.dlq'
/** Names the one stage that a redriven record is for. */
export const REDRIVE_HEADER = 'redrive-for'
const PREFIX = 'dlq-'
const MAX_MESSAGE = 2_000
/** Of a reduced letter: what it lacks. */
const LEFT_OUT = `${PREFIX}left-out`
const MAX_REDUCED_KEY = 1_000
const MAX_REDUCED_HEADERS = 20
/** Name and value, characters. */
const MAX_REDUCED_HEADER = 200

export interface DeadLetterCause {
  readonly stage: string
  readonly code: string
  readonly message: string
  /** Class of the error, for people. */
  readonly errorClass: string
  readonly attempts: number
  /** Unix epoch, ms. */
  readonly at: number
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export function deadLetterName(topic: string): string {
  return `${topic}${DEAD_LETTER_SUFFIX}`
}

/** @param failure.code in place of the error's own: 'crashed'. */
export function deadLetterRecord(
  record: StoredRecord,
  failure: { stage: string; error: unknown; code?: string; attempts: number; at: number },
): OutputRecord {
  const { error } = failure
  const message = error instanceof Error ? error.message : String(error)
  return {
    topic: deadLetterName(record.topic),
    key: record.key,
    value: record.value,
    partition: record.partition,
    timestamp: failure.at,
    headers: {
      ...originalHeaders(record.headers),
      [`${PREFIX}stage`]: failure.stage,
      [`${PREFIX}code`]: failure.code ?? (error instanceof CuestreamError ? error.code : 'crashed'),
      [`${PREFIX}message`]: message.slice(0, MAX_MESSAGE),
      [`${PREFIX}class`]: error instanceof Error ? error.name : typeof error,
      [`${PREFIX}attempts`]: String(failure.attempts),
      [`${PREFIX}at`]: String(failure.at),
      [`${PREFIX}topic`]: record.topic,
      [`${PREFIX}partition`]: String(record.partition),
      [`${PREFIX}offset`]: String(record.offset),
    },
  }
}

/**
 * What is written in place of a letter that was refused: at the partition of its key, or without the record's value and
 * with its short headers alone.
 * @returns undefined where there is nothing more to leave out.
 */
export function reducedLetter(letter: OutputRecord, refusal: InvalidRecordError): OutputRecord | undefined {
  const { partition, ...byKey } = letter
  if (refusal.code === 'unknown-partition') return partition === undefined ? undefined : byKey
  const { key, headers = {} } = letter
  if (headers[LEFT_OUT] !== undefined) return undefined
  const short = Object.entries(originalHeaders(headers))
    .filter(([name, value]) => name.length + value.length <= MAX_REDUCED_HEADER)
    .slice(0, MAX_REDUCED_HEADERS)
  const causes = Object.entries(headers).filter(([name]) => name.startsWith(PREFIX))
  const message = `${headers[`${PREFIX}message`]} (without its value: ${refusal.message})`
  return {
    ...letter,
    key: key?.slice(0, MAX_REDUCED_KEY) ?? null,
    value: null,
    headers: {
      ...Object.fromEntries([...short, ...causes]),
      [`${PREFIX}message`]: message.slice(-MAX_MESSAGE),
      [LEFT_OUT]: 'value, long headers',
    },
  }
}

/** Whether a letter holds the whole record. */
export function isWhole(headers: Headers): boolean {
  return headers[LEFT_OUT] === undefined
}

/** @returns undefined for a record that carries no cause. */
export function deadLetterCause(headers: Headers): DeadLetterCause | undefined {
  const get = (name: string) => headers[PREFIX + name] ?? ''
  if (get('stage') === '') return undefined
  return {
    stage: get('stage'),
    code: get('code'),
    message: get('message'),
    errorClass: get('class'),
    attempts: Number(get('attempts')),
    at: Number(get('at')),
    topic: get('topic'),
    partition: Number(get('partition')),
    offset: Number(get('offset')),
  }
}

/**
 * The original record, addressed to the stage that failed. On a compacted topic it takes the original's place, so there
 * it is for every stage (`forEveryStage`): a replay must find it, and handlers are idempotent.
 * @returns undefined where the letter carries no cause, or not the whole record.
 */
export function redriveRecord(
  letter: StoredRecord,
  { forEveryStage = false }: { forEveryStage?: boolean } = {},
): OutputRecord | undefined {
  const cause = deadLetterCause(letter.headers)
  if (cause === undefined || !isWhole(letter.headers)) return undefined
  const headers = originalHeaders(letter.headers)
  return {
    topic: cause.topic,
    key: letter.key,
    value: letter.value,
    partition: cause.partition,
    headers: forEveryStage ? headers : { ...headers, [REDRIVE_HEADER]: cause.stage },
  }
}

function originalHeaders(headers: Headers): Headers {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !name.startsWith(PREFIX) && name !== REDRIVE_HEADER),
  )
}
