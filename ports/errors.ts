/**
 * Errors whose class decides policy and whose code is a bounded label (metrics, dead letters, HTTP problems).
 *
 *   InvalidRecordError → dead letter at once     RetryableError → bounded backoff, then dead letter
 *   OutageError → backoff for as long as it takes     SetupError → crash and replay until an operator has acted
 *   NotYetError → looked at again for as long as it takes, and nothing is wrong meanwhile
 *   anything else → crash and replay; a record that crashes its stage again and again is a dead letter
 *
 * A message says what is wrong, with which id, and what to do.
 */
export abstract class CuestreamError extends Error {
  abstract readonly code: string

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
  }
}

/** This record can never work: it goes to the dead-letter topic with its cause. */
export class InvalidRecordError extends CuestreamError {
  readonly code: string

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** It may work later: retried with bounded backoff and jitter; only its partition waits. */
export class RetryableError extends CuestreamError {
  readonly code: string
  /** The least wait that the other side asked for, in ms (Retry-After). */
  readonly retryAfterMs: number | undefined

  constructor(code: string, message: string, options?: { cause?: unknown; retryAfterMs?: number }) {
    super(message, options)
    this.code = code
    this.retryAfterMs = options?.retryAfterMs
  }
}

/**
 * A service that the record's stage cannot do without is away (a broker, the registry, Redis), which is no fault of the
 * record: its partition waits until the service is back, and the record never goes to the dead letters for it.
 */
export class OutageError extends RetryableError {}

/**
 * Not now: work that was put off, and whose time has not come. Its partition looks again after `retryAfterMs`, for as long
 * as it takes; nobody is told but by the lag.
 */
export class NotYetError extends RetryableError {}

/** The caller asked for something that cannot be: a 4xx at the gateway, exit code 2 at the command line. */
export class InvalidRequestError extends CuestreamError {
  readonly code: string
  readonly status: 400 | 404 | 409 | 413 | 415 | 422

  constructor(code: string, message: string, options?: { cause?: unknown; status?: InvalidRequestError['status'] }) {
    super(message, options)
    this.code = code
    this.status = options?.status ?? 400
  }
}

/** Configuration, a missing file, a version: an operator must act. */
export class SetupError extends CuestreamError {
  readonly code: string

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** A tensor or vector of the wrong shape or with values that are not finite. */
export class ShapeError extends InvalidRecordError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('bad-shape', message, options)
  }
}

/** This member no longer owns the partition; its work is void and will be done again by the owner. */
export class FencedError extends CuestreamError {
  readonly code = 'fenced'
}
