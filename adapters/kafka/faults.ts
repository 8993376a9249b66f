/**
 * What an error of Kafka means: wait and try again, look elsewhere, give up a partition, tell an operator.
 *
 * kafkajs names connection errors by `name` and errors of the protocol by `type`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { CuestreamError, OutageError, SetupError } from '../../ports/errors.ts'

const AWAY = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSBrokerNotFound',
  'KafkaJSLockTimeout',
  'NoNodeError',
])
/** What TLS holds against the broker, as Node tells it: no retry mends that. */
const MISTRUST = /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_|ERR_SSL_|HOSTNAME_MISMATCH|EPROTO)/
/** Besides what kafkajs's table calls retriable. */
const TRANSIENT = new Set([
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'REQUEST_TIMED_OUT',
  'REPLICA_NOT_AVAILABLE',
  'BROKER_NOT_AVAILABLE',
  'NETWORK_EXCEPTION',
  'GROUP_LOAD_IN_PROGRESS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
  'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'NOT_CONTROLLER',
  'CONCURRENT_TRANSACTIONS',
  'OPERATION_NOT_ATTEMPTED',
  'KAFKA_STORAGE_ERROR',
  'OFFSET_NOT_AVAILABLE',
  'UNSTABLE_OFFSET_COMMIT',
  'THROTTLING_QUOTA_EXCEEDED',
  'UNKNOWN', // the broker met what it did not expect
])
const COORDINATOR = new Set([
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
  'TRANSACTION_COORDINATOR_FENCED',
])
/** A later generation of the group, or a later holder of the transactional id, takes over. */
const FENCED = new Set([
  'ILLEGAL_GENERATION',
  'REBALANCE_IN_PROGRESS',
  'UNKNOWN_MEMBER_ID',
  'FENCED_INSTANCE_ID',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'INVALID_TXN_STATE',
  'PRODUCER_FENCED',
])
const DENIED = new Set([
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  'SASL_AUTHENTICATION_FAILED',
  'UNSUPPORTED_SASL_MECHANISM',
  'ILLEGAL_SASL_STATE',
])
/** Not one node of the cluster could be reached. */
export class NoNodeError extends Error {
  override readonly name = 'NoNodeError'
}

export function typeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  return 'type' in error && typeof error.type === 'string' ? error.type : ''
}

/** The connection is gone, or was never there. */
export function isAway(error: unknown): boolean {
  return error instanceof Error && (AWAY.has(error.name) || isCutOffLogin(error)) && !isMistrusted(error)
}

/** kafkajs tells of a connection that was lost while it logged in as of a login that was refused, but for the words. */
function isCutOffLogin({ name, message }: Error): boolean {
  return name === 'KafkaJSSASLAuthenticationError' && CUT_OFF.test(message)
}
const CUT_OFF =
  / failed: (Closed connection|Connection (closed|error|timeout)|Failed to connect|Not connected|no answer came|the connection |Request .* timed out)/

function isMistrusted(error: unknown): boolean {
  return error instanceof Error && 'code' in error && MISTRUST.test(String(error.code))
}

export function isTransient(error: unknown): boolean {
  return isAway(error) || TRANSIENT.has(typeOf(error)) || isRetriable(error) || error instanceof OutageError
}

/** As Kafka itself says. Of its other errors kafkajs holds almost all to be worth another try. */
function isRetriable(error: unknown): boolean {
  return (
    error instanceof Error && error.name === 'KafkaJSProtocolError' && 'retriable' in error && error.retriable === true
  )
}

export function isFenced(error: unknown): boolean {
  return FENCED.has(typeOf(error))
}

/** The node that was asked is not, or no longer, the coordinator. */
export function isCoordinatorLost(error: unknown): boolean {
  return isAway(error) || COORDINATOR.has(typeOf(error))
}

export function translated(what: string, error: unknown): Error {
  if (error instanceof CuestreamError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  const told = `Kafka: ${what}: ${cause.message}`
  if (isTransient(error)) return new OutageError('kafka-away', told, { cause })
  if (isMistrusted(error)) return new SetupError('kafka-tls', `${told}; check TLS and the certificates`, { cause })
  if (DENIED.has(typeOf(error)) || cause.name === 'KafkaJSSASLAuthenticationError') {
    return new SetupError('kafka-access', `${told}; check the user, its password and its rights`, { cause })
  }
  return new SetupError('kafka-refused', told, { cause })
}

export interface Patience {
  /** performance.now() when to give up. */
  readonly deadline: number
  readonly signal?: AbortSignal | undefined
  readonly firstDelayMs?: number
  readonly longestDelayMs?: number
  /** Which errors are worth another try; default isTransient. */
  readonly worthwhile?: (error: unknown) => boolean
  /** What the try before the next one met. */
  readonly onRetry?: (error: unknown) => void
}

const LONGEST_DELAY_MS = 1_000

/**
 * Tries again with growing, jittered waits while the error is of a kind that passes, until it is over: an attempt that is
 * not answered by the deadline is given up.
 * @throws what `translated` makes of the last error.
 */
export async function patiently<T>(what: string, patience: Patience, attempt: () => Promise<T>): Promise<T> {
  const { deadline, signal, worthwhile = isTransient, longestDelayMs = LONGEST_DELAY_MS } = patience
  for (let delayMs = patience.firstDelayMs ?? 20; ; delayMs = Math.min(longestDelayMs, delayMs * 2)) {
    try {
      if (signal?.aborted) throw new NoNodeError('it was called off') // what must not be begun any more is not
      return await settledBy(attempt(), patience)
    } catch (error) {
      const waitMs = delayMs * (0.75 + Math.random() / 2)
      const enough = signal?.aborted || performance.now() + waitMs > deadline
      if (enough || !worthwhile(error)) throw translated(what, error)
      patience.onRetry?.(error)
      await delay(waitMs, undefined, { signal }).catch(() => {})
    }
  }
}

/**
 * What `work` gives, if that comes before the deadline and before the signal; else it is left to itself.
 * @throws NoNodeError: a broker that falls silent is one that is away.
 */
export function settledBy<T>(work: Promise<T>, { deadline, signal }: Patience): Promise<T> {
  const ms = deadline - performance.now()
  if (ms === Number.POSITIVE_INFINITY && signal === undefined) return work
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      undo()
      reject(new NoNodeError('no answer came in time'))
    }
    const timer = ms === Number.POSITIVE_INFINITY ? undefined : setTimeout(giveUp, Math.max(0, ms))
    const undo = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', giveUp)
    }
    if (signal?.aborted) giveUp()
    else signal?.addEventListener('abort', giveUp)
    work.finally(undo).then(resolve, reject)
  })
}

export function within(ms: number): number {
  return performance.now() + ms
}
