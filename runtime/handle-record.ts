/**
 * One record through one stage, without a broker: decode → handle → what became of it.
 * Shared by the loop (run-processor.ts) and the test driver, so that both mean the same.
 */
import type { OutputRecord, StoredRecord } from '../ports/broker.ts'
import { InvalidRecordError, RetryableError } from '../ports/errors.ts'
import type { Topic, TypedOutput } from '../topics/topic.ts'
import type { Codec } from './codec.ts'
import { DEAD_LETTER_SUFFIX, type DeadLetterCause, deadLetterCause, REDRIVE_HEADER } from './dead-letter.ts'
import type { DeadLetter, InputRecord, Processor } from './define-processor.ts'

export type Outcome =
  | { readonly kind: 'done'; readonly outputs: readonly OutputRecord[] }
  /** Not for this stage: a tombstone nobody waits for, or redriven for another stage. */
  | { readonly kind: 'skipped' }
  /** Nobody waits for it any more. */
  | { readonly kind: 'expired' }
  | { readonly kind: 'invalid'; readonly error: InvalidRecordError }
  | { readonly kind: 'retry'; readonly error: RetryableError }
  | { readonly kind: 'crash'; readonly error: unknown }

const nothing: Outcome = { kind: 'skipped' }

export async function handleRecord<Deps>(
  processor: Processor<Deps>,
  stored: StoredRecord,
  deps: Deps,
  codec: Codec,
  context: { signal: AbortSignal; attempt: number },
): Promise<Outcome> {
  try {
    if (stored.topic.endsWith(DEAD_LETTER_SUFFIX)) return await handleDeadLetter(processor, stored, deps, codec)
    const addressee = stored.headers[REDRIVE_HEADER]
    if (addressee !== undefined && addressee !== processor.name) return nothing
    if (processor.isExpired?.(stored.headers, deps)) return { kind: 'expired' }
    const topic = topicOf(processor, stored.topic)
    if (stored.key === null) throw new InvalidRecordError('null-key', `A record on ${stored.topic} has no key`)
    if (stored.value === null) {
      if (processor.handleTombstone === undefined) return nothing
      const outputs = await processor.handleTombstone(
        { topic: stored.topic, key: stored.key, headers: stored.headers },
        deps,
      )
      return { kind: 'done', outputs: await encodeAll(processor, outputs, codec) }
    }
    const value = await codec.decode(topic, stored.value)
    const record = { ...stored, key: stored.key, value } as InputRecord<string, never>
    const outputs = await processor.handle(record, deps, context)
    return { kind: 'done', outputs: await encodeAll(processor, outputs, codec) }
  } catch (error) {
    if (error instanceof InvalidRecordError) return { kind: 'invalid', error }
    if (error instanceof RetryableError) return { kind: 'retry', error }
    return { kind: 'crash', error }
  }
}

async function handleDeadLetter<Deps>(
  processor: Processor<Deps>,
  stored: StoredRecord,
  deps: Deps,
  codec: Codec,
): Promise<Outcome> {
  const cause = deadLetterCause(stored.headers)
  const topic = processor.deadLettersOf?.find((candidate) => candidate.name === cause?.topic)
  if (cause === undefined || topic === undefined || processor.handleDeadLetter === undefined) return nothing
  const value = stored.value === null ? undefined : await codec.decode(topic, stored.value).catch(unreadable(cause))
  const letter: DeadLetter = { ...cause, key: stored.key, value, headers: stored.headers }
  await processor.handleDeadLetter(letter, deps)
  return { kind: 'done', outputs: [] }
}

/** A letter may be about bytes that nobody can read, or that its stage waited for long enough; an outage is another matter. */
function unreadable(cause: DeadLetterCause): (error: unknown) => undefined {
  return (error) => {
    const isCause = error instanceof RetryableError && error.code === cause.code
    if (!(error instanceof InvalidRecordError) && !isCause) throw error
  }
}

function topicOf<Deps>(processor: Processor<Deps>, name: string): Topic {
  const topic = processor.from.find((candidate) => candidate.name === name)
  if (topic === undefined) throw new Error(`${processor.name} does not read ${name}`)
  return topic
}

async function encodeAll<Deps>(
  processor: Processor<Deps>,
  outputs: readonly TypedOutput[],
  codec: Codec,
): Promise<OutputRecord[]> {
  return Promise.all(
    outputs.map(async (output) => {
      const topic = processor.to.find((candidate) => candidate.name === output.topic)
      if (topic === undefined) throw new Error(`${processor.name} may not write to ${output.topic}`)
      return { ...output, value: output.value === null ? null : await codec.encode(topic, output.value) }
    }),
  )
}
