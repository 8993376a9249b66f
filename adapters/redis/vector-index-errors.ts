/** What the scripts and the engine refuse, as the ports know it. */
import { InvalidRecordError, RetryableError, SetupError } from '../../ports/errors.ts'
import { CHANGED, ENDED, RUNNING, TOO_MANY_FIELDS, UNKNOWN } from './vector-index-scripts.ts'

/** @returns another reply of the server as it is. */
export function engineError(error: Error): Error {
  const is = (code: string) => startsWith(error, code)
  const rest = error.message.slice(error.message.indexOf(' ') + 1)
  if (is(ENDED)) return endedGeneration(rest)
  if (is(UNKNOWN)) return unknownIndex(rest)
  if (is(RUNNING)) {
    return new SetupError('rebuild-running', `The index is being rebuilt already (${rest}); wait for that, or stop it.`)
  }
  if (is(TOO_MANY_FIELDS)) {
    return new InvalidRecordError('bad-attributes', `The index has too many numeric fields to take ${rest}; use tags.`)
  }
  if (error.name === 'ReplyError' && /timeout limit|SEARCH_TIMEOUT/i.test(error.message)) {
    return new RetryableError('search-timeout', 'The Query Engine ran out of time; ask again, or for less.', {
      cause: error,
    })
  }
  return error
}

export function unknownIndex(name: string): SetupError {
  return new SetupError(
    'unknown-index',
    `There is no index ${name}; create it first, or choose a release that has been indexed.`,
  )
}

function endedGeneration(id: string): SetupError {
  return new SetupError('generation-ended', `Generation ${id} of the index has ended; ask for the one that serves now.`)
}

export function isChanged(reply: unknown): boolean {
  return startsWith(reply, CHANGED)
}

/** The first word of an error reply is its code. */
export function startsWith(value: unknown, code: string): value is Error {
  return value instanceof Error && value.message.startsWith(code)
}
