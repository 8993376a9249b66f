/**
 * Dead letters: `<topic>.dlq` keeps the original key, bytes and headers; the cause travels in headers beside them.
 * Redriving puts the original back on its topic for the stage that failed; other stages pass it by.
 */
import type { Headers, OutputRecord, StoredRecord } from '../ports/broker.ts'
import { CuestreamError } from '../ports/errors.ts'

export const DEAD_LETTER_SUFFIX = '.dlq'
/** Names the one stage that a redriven record is for. */
export const REDRIVE_HEADER = 'redrive-for'
const PREFIX = 'dlq-'
const MAX_MESSAGE = 2_000

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
 */
export function redriveRecord(
  letter: StoredRecord,
  { forEveryStage = false }: { forEveryStage?: boolean } = {},
): OutputRecord | undefined {
  const cause = deadLetterCause(letter.headers)
  if (cause === undefined) return undefined
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
