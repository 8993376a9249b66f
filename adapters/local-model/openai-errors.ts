/** Errors in the shape of OpenAI's API: programs branch on `code`, people read `message`. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { CuestreamError, InvalidRequestError } from '../../ports/errors.ts'

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly param?: string | null
  readonly retryAfterSeconds?: number
}

/** Not now; the same request may work later. */
export class BusyError extends CuestreamError {
  readonly code: 'rate_limit_exceeded' | 'model_loading' | 'server_closing'
  readonly retryAfterSeconds: number

  constructor(code: BusyError['code'], message: string, retryAfterSeconds: number) {
    super(message)
    this.code = code
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** The client went away: nobody reads the answer. */
export class ClientGoneError extends CuestreamError {
  readonly code = 'client_gone'
}

const FASTIFY_CODES: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
}

const TYPES: Readonly<Record<number, string>> = { 429: 'rate_limit_error', 500: 'server_error', 503: 'server_error' }

export function sendRefusal(reply: FastifyReply, refusal: Refusal): FastifyReply {
  const { status, code, message, param = null, retryAfterSeconds } = refusal
  if (retryAfterSeconds !== undefined) reply.header('retry-after', String(retryAfterSeconds))
  const type = TYPES[status] ?? 'invalid_request_error'
  return reply.code(status).send({ error: { message, type, param, code } })
}

/** @param unexpected is told of what is no refusal. */
export function errorHandler(unexpected: (error: Error) => void) {
  return (error: FastifyError | CuestreamError, _request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const refusal = refusalOf(error)
    if (refusal.status === 500) unexpected(error)
    return sendRefusal(reply, refusal)
  }
}

function refusalOf(error: FastifyError | CuestreamError): Refusal {
  const { message } = error
  if (error instanceof InvalidRequestError) return { status: error.status, code: error.code, message }
  if (error instanceof BusyError) {
    const { code, retryAfterSeconds } = error
    return { status: code === 'rate_limit_exceeded' ? 429 : 503, code, message, retryAfterSeconds }
  }
  if (error instanceof ClientGoneError) return { status: 499, code: error.code, message }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const [first] = error.validation
    const param = first?.instancePath.replace(/^\//, '').replaceAll('/', '.') || null
    const code = 'invalid_value'
    return { status: 400, code, param, message: `${param ?? 'The body'}: ${first?.message ?? 'is not valid'}` }
  }
  const status = 'statusCode' in error ? (error.statusCode ?? 500) : 500
  if (status >= 500) return { status: 500, code: 'internal', message: 'Something failed here; the log has it.' }
  return { status, code: FASTIFY_CODES[error.code] ?? 'invalid_request', message }
}
