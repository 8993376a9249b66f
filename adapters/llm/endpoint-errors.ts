/** What went wrong with a request, by its class. No message and no cause holds the key, the prompt or an answer. */
import { APIConnectionError, APIConnectionTimeoutError, APIError, APIUserAbortError } from 'openai'
import { GeneratorError } from '../../ports/text-generator.ts'

export interface Failure {
  readonly error: GeneratorError
  /** Whether it cannot have cost anything: nothing was sent, or it was refused before the model worked. */
  readonly isFree: boolean
  /** Whether it may be this prompt that is refused, and no other. */
  readonly mayBeOfPrompt: boolean
}

/** Longest wait that is believed. */
const MOST_RETRY_AFTER_MS = 3_600_000
/** Codes of Node and undici before a request is on its way. */
const NOT_SENT =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENETDOWN|UND_ERR_CONNECT_TIMEOUT|ERR_TLS.*|.*CERT.*)$/

export function failureOf(cause: unknown, model: string): Failure {
  if (cause instanceof GeneratorError) return { error: cause, isFree: false, mayBeOfPrompt: false }
  const failure = (
    code: GeneratorError['code'],
    what: string,
    more: { isFree?: boolean; mayBeOfPrompt?: boolean; retryAfterMs?: number | undefined } = {},
  ): Failure => {
    const { isFree = false, mayBeOfPrompt = false, retryAfterMs } = more
    const options = { cause: bare(cause), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
    return { error: new GeneratorError(code, `The endpoint of ${model} ${what}`, options), isFree, mayBeOfPrompt }
  }
  if (cause instanceof APIConnectionTimeoutError || cause instanceof APIUserAbortError) {
    return failure('llm-slow', 'did not answer in time')
  }
  if (cause instanceof APIConnectionError) {
    const inner = innermost(cause)
    if (inner instanceof GeneratorError) return failureOf(inner, model)
    const code = codeOf(inner)
    if (inner.message === 'unexpected redirect') {
      return failure('llm-refused', 'redirects, which is not followed: look at llmUrl', { isFree: true })
    }
    const isFree = code !== undefined && NOT_SENT.test(code)
    return failure('llm-away', `cannot be reached${code === undefined ? '' : `: ${code}`}`, { isFree })
  }
  if (cause instanceof APIError && cause.status !== undefined) {
    const { status } = cause
    const answered = `answered ${status}`
    if (status === 429) {
      return failure('llm-busy', answered, { isFree: true, retryAfterMs: retryAfter(cause.headers) ?? 1_000 })
    }
    if (status === 503)
      return failure('llm-failed', answered, { isFree: true, retryAfterMs: retryAfter(cause.headers) })
    if (status === 408 || status === 504) return failure('llm-slow', answered)
    if (status >= 500) return failure('llm-failed', answered)
    if (status === 409) return failure('llm-failed', answered, { isFree: true })
    const where = `${answered}: look at llmUrl, llmModel, llmKind and the key`
    return failure('llm-refused', where, { isFree: true, mayBeOfPrompt: [400, 413, 422].includes(status) })
  }
  return failure('llm-garbage', 'answered what is no JSON')
}

function innermost(error: Error): Error {
  let inner = error
  while (inner.cause instanceof Error && !(inner instanceof GeneratorError)) inner = inner.cause
  return inner
}

function codeOf(error: Error): string | undefined {
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : undefined
}

/** The cause without its words: they may repeat what was sent. */
function bare(cause: unknown): Error | undefined {
  if (!(cause instanceof Error)) return undefined
  const status = cause instanceof APIError ? cause.status : undefined
  return new Error([cause.name, status, codeOf(innermost(cause))].filter((part) => part !== undefined).join(' '))
}

/** Seconds or a date, as HTTP has it. */
function retryAfter(headers: Headers | undefined): number | undefined {
  const header = headers?.get('retry-after') ?? null
  if (header === null) return undefined
  const ms = /^\d+(\.\d+)?$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) && ms > 0 ? Math.min(ms, MOST_RETRY_AFTER_MS) : undefined
}
