/** Errors as RFC 9457 problem documents. `code` is bounded and stable: programs branch on it, people read `detail`. */
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { CuestreamError, InvalidRecordError, InvalidRequestError, RetryableError } from '../ports/errors.ts'

export const problemSchema = z
  .looseObject({
    type: z.string().describe("'about:blank': `code` tells problems apart."),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    instance: z.string().describe('Id of this request, as in x-request-id and the logs.'),
  })
  .meta({ id: 'Problem', description: 'RFC 9457. Some problems carry members of their own.' })

export type Problem = z.infer<typeof problemSchema>

/** The service cannot answer now; the same request may work later. */
export class UnavailableError extends CuestreamError {
  readonly code: string
  readonly status: 502 | 503 | 504
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: string,
    message: string,
    options: { status: UnavailableError['status']; retryAfterSeconds?: number; cause?: unknown },
  ) {
    super(message, options)
    this.code = code
    this.status = options.status
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** A request that is refused, with members beside the standard ones (stages, known filters). */
export class RefusedRequestError extends InvalidRequestError {
  readonly members: Readonly<Record<string, unknown>>

  constructor(
    code: string,
    message: string,
    options: { status?: InvalidRequestError['status']; members: Readonly<Record<string, unknown>>; cause?: unknown },
  ) {
    super(code, message, options)
    this.members = options.members
  }
}

interface Outcome {
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly members?: Readonly<Record<string, unknown>>
  readonly retryAfterSeconds?: number | undefined
}

/** Fastify's own errors that have a better name here. */
const FASTIFY_CODES: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid-json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid-json',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid-content-length',
  FST_REQ_FILE_TOO_LARGE: 'media-too-large',
}

function outcomeOf(error: FastifyError | CuestreamError): Outcome {
  if (error instanceof RefusedRequestError) {
    return { status: error.status, code: error.code, detail: error.message, members: error.members }
  }
  if (error instanceof InvalidRequestError) return { status: error.status, code: error.code, detail: error.message }
  if (error instanceof UnavailableError) {
    const { status, code, message: detail, retryAfterSeconds } = error
    return { status, code, detail, retryAfterSeconds }
  }
  if (error instanceof RetryableError) {
    const retryAfterSeconds = Math.ceil((error.retryAfterMs ?? 1000) / 1000)
    return { status: 503, code: error.code, detail: error.message, retryAfterSeconds }
  }
  // Of media that a request named or sent; the message is written for people (ports/media.ts).
  if (error instanceof InvalidRecordError) return { status: 422, code: error.code, detail: error.message }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const errors = error.validation.map(({ instancePath, message }) => ({ path: instancePath, message }))
    const where = error.validationContext ?? 'request'
    const detail = errors.map(({ path, message }) => `${path === '/' ? where : path}: ${message}`).join('; ')
    return { status: 400, code: 'invalid-request', detail, members: { errors } }
  }
  const status = 'statusCode' in error ? (error.statusCode ?? 500) : 500
  if (status >= 500)
    return { status: 500, code: 'internal', detail: 'Something failed here; the log has it by instance.' }
  return { status, code: FASTIFY_CODES[error.code] ?? 'invalid-request', detail: error.message }
}

export function sendProblem(reply: FastifyReply, outcome: Outcome): FastifyReply {
  if (outcome.retryAfterSeconds !== undefined) reply.header('retry-after', String(outcome.retryAfterSeconds))
  const problem: Problem = {
    ...outcome.members,
    type: 'about:blank',
    title: STATUS_CODES[outcome.status] ?? 'Error',
    status: outcome.status,
    detail: outcome.detail,
    code: outcome.code,
    instance: reply.request.id,
  }
  // Serialised here: a route's own response schema is for its answers.
  return reply.code(outcome.status).type('application/problem+json').serializer(JSON.stringify).send(problem)
}

export function handleError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const outcome = outcomeOf(error)
  if (outcome.code === 'internal')
    request.log.error({ err: error, requestId: request.id }, 'A request failed unexpectedly.')
  return sendProblem(reply, outcome)
}

export function handleNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return sendProblem(reply, {
    status: 404,
    code: 'not-found',
    detail: `Nothing answers ${request.method} here; /openapi.json lists what does.`,
  })
}
