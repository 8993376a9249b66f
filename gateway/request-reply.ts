/**
 * Request and reply over topics: a query goes out, its answer comes back on the one partition this client follows.
 *
 *     recommendations.requested.v1 ──▶ answer-recommendations ──▶ recommendations.answered.v1 [reply partition]
 *
 *   [correlated]  an answer settles the request whose correlation id it echoes, and no other
 *   [bounded]     at most `maxInFlight` requests wait; one more is refused at once, before anything is produced
 *   [deadline]    a request settles by its deadline, and its answer is dropped if it comes later
 *   [released]    whatever the outcome, a settled request holds no timer and no map entry
 *
 * Several clients may share a partition: the correlation id begins with the client's own id.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Broker, StoredRecord } from '../ports/broker.ts'
import { SetupError } from '../ports/errors.ts'
import type { Codec } from '../runtime/codec.ts'
import type { RecommendationAnswered, RecommendationRequested } from '../schemas/types.ts'
import { recommendationsAnswered, recommendationsRequested } from '../topics/topics.ts'
import { UnavailableError } from './problem.ts'

export interface RecommendationClient {
  /**
   * @param deadlineMs from now.
   * @throws UnavailableError 'overloaded' (503) | 'deadline-exceeded' (504) | 'unreadable-answer' (502) | 'stopping' (503)
   */
  request(query: RecommendationRequested, deadlineMs: number): Promise<RecommendationAnswered>
  inFlight(): number
  /** Rejects what is pending and stops following the partition. */
  close(): Promise<void>
}

export interface RecommendationClientDeps {
  readonly broker: Broker
  readonly codec: Codec
  readonly registry: Registry
  /** Unix epoch, ms. */
  readonly now: () => number
  readonly newId: () => string
  readonly replyPartition: number
  readonly maxInFlight: number
}

interface Pending {
  settle(outcome: { answer: RecommendationAnswered } | { error: UnavailableError | Error; label: string }): void
}

export async function openRecommendationClient(deps: RecommendationClientDeps): Promise<RecommendationClient> {
  const { broker, codec, now, newId, replyPartition, maxInFlight } = deps
  if (replyPartition < 0 || replyPartition >= recommendationsAnswered.partitions) {
    const last = recommendationsAnswered.partitions - 1
    throw new SetupError('reply-partition', `Reply partition ${replyPartition} is not one of 0 … ${last}`)
  }
  const metrics = createMetrics(deps.registry)
  const clientId = newId()
  const pending = new Map<string, Pending>()
  let closed = false

  async function onReply(record: StoredRecord): Promise<void> {
    const correlationId = record.headers['correlation-id']
    if (!correlationId?.startsWith(`${clientId}/`)) return // another client's
    if (!pending.has(correlationId) || record.value === null) {
      metrics.late.inc()
      return
    }
    try {
      const answer = await codec.decode(recommendationsAnswered, record.value)
      pending.get(correlationId)?.settle({ answer })
    } catch (cause) {
      const message = `The answer to request ${record.key} cannot be read`
      const error = new UnavailableError('unreadable-answer', message, { status: 502, cause })
      pending.get(correlationId)?.settle({ error, label: 'unreadable' })
    }
  }

  const tail = await broker.tail(recommendationsAnswered.name, replyPartition, (record) => void onReply(record))

  async function send(correlationId: string, query: RecommendationRequested, deadline: number): Promise<void> {
    const value = await codec.encode(recommendationsRequested, query)
    if (!pending.has(correlationId)) return // settled meanwhile: nobody would read the answer
    const headers = {
      'correlation-id': correlationId,
      'reply-partition': String(replyPartition),
      deadline: String(deadline),
    }
    await broker.produce([{ topic: recommendationsRequested.name, key: query.requestId, value, headers }])
  }

  return {
    inFlight: () => pending.size,

    async request(query, deadlineMs) {
      if (closed) throw stopping()
      if (pending.size >= maxInFlight) {
        metrics.seconds.observe({ outcome: 'overloaded' }, 0)
        const message = `${pending.size} requests are waiting already; try again in a second`
        throw new UnavailableError('overloaded', message, { status: 503, retryAfterSeconds: 1 })
      }
      const startedAt = now()
      const correlationId = `${clientId}/${newId()}`
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          const message = `No answer within ${deadlineMs} ms to request ${query.requestId}`
          const error = new UnavailableError('deadline-exceeded', message, { status: 504 })
          pending.get(correlationId)?.settle({ error, label: 'deadline' })
        }, deadlineMs)
        pending.set(correlationId, {
          settle(outcome) {
            clearTimeout(timer)
            pending.delete(correlationId)
            metrics.inFlight.set(pending.size)
            const label = 'error' in outcome ? outcome.label : outcome.answer.error === null ? 'answered' : 'refused'
            metrics.seconds.observe({ outcome: label }, (now() - startedAt) / 1000)
            if ('error' in outcome) reject(outcome.error)
            else resolve(outcome.answer)
          },
        })
        metrics.inFlight.set(pending.size)
        send(correlationId, query, startedAt + deadlineMs).catch((error: Error) => {
          pending.get(correlationId)?.settle({ error, label: 'failed' })
        })
      })
    },

    async close() {
      closed = true
      for (const request of pending.values()) request.settle({ error: stopping(), label: 'failed' })
      await tail.stop()
    },
  }
}

function stopping(): UnavailableError {
  return new UnavailableError('stopping', 'The gateway is shutting down', { status: 503, retryAfterSeconds: 5 })
}

function createMetrics(registry: Registry) {
  const registers = [registry]
  return {
    seconds: new Histogram({
      name: 'cuestream_recommendation_seconds',
      help: 'From sending a query to its outcome: answered, refused, deadline, overloaded, unreadable, failed.',
      labelNames: ['outcome'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30],
      registers,
    }),
    inFlight: new Gauge({
      name: 'cuestream_recommendations_in_flight',
      help: 'Queries that wait for their answer now.',
      registers,
    }),
    late: new Counter({
      name: 'cuestream_recommendation_late_replies_total',
      help: 'Answers dropped because their request had settled.',
      registers,
    }),
  }
}
