/**
 * Answers a query from one release, from its query tower to its index.
 *
 *     recommendations.requested.v1 ──▶ answer-recommendations ──▶ recommendations.answered.v1
 *
 * Key: requestId. Headers of the request: `correlation-id`, `reply-partition`, `deadline` (Unix epoch, ms); the answer
 * goes to that partition with that id.
 * Delivery: latency first, no transaction: a lost request is the caller's to repeat, and one past its deadline is
 * dropped, never answered late. The deadline is by the gateway's clock and is held against this host's: what is dropped
 * is counted as 'expired', and told where it is every request.
 * Fails: a request that cannot be answered (unknown video, features that the towers refuse, the index away or being
 * rebuilt, …) is answered with `error` at once, for by the time of another try nobody would wait for it; nothing goes to
 * the dead letters but what does not decode.
 */
import {
  type CuestreamError,
  InvalidRecordError,
  InvalidRequestError,
  RetryableError,
  SetupError,
} from '../../ports/errors.ts'
import { defineProcessor } from '../../runtime/define-processor.ts'
import { recommendationsAnswered, recommendationsRequested } from '../../topics/topics.ts'
import { type RankTracksDeps, rankTracks } from './rank-tracks.ts'

export interface AnswerRecommendationsDeps extends RankTracksDeps {
  readonly now: () => number
}

export const CORRELATION_HEADER = 'correlation-id'
export const REPLY_PARTITION_HEADER = 'reply-partition'
export const DEADLINE_HEADER = 'deadline'

export const answerRecommendations = defineProcessor({
  name: 'answer-recommendations',
  from: [recommendationsRequested],
  to: [recommendationsAnswered],
  delivery: 'latency-first',
  start: 'latest',
  concurrency: 16,
  maxRecords: 16,
  isExpired: (headers, { now }: AnswerRecommendationsDeps) =>
    now() >= Number(headers[DEADLINE_HEADER] ?? Number.POSITIVE_INFINITY),
  async handle({ key, value, headers }, deps: AnswerRecommendationsDeps) {
    const partition = Number(headers[REPLY_PARTITION_HEADER] ?? 0)
    const reply = { partition, headers: { [CORRELATION_HEADER]: headers[CORRELATION_HEADER] ?? key } }
    try {
      const answer = await rankTracks(value, deps)
      return [
        recommendationsAnswered.record(key, { requestId: key, error: null, ...answer, answeredAt: deps.now() }, reply),
      ]
    } catch (error) {
      if (!isAnswer(error)) throw error
      const { code, message } = error
      const refused = { release: null, total: 0, results: [], nextCursor: null, answeredAt: deps.now() }
      return [recommendationsAnswered.record(key, { requestId: key, error: { code, message }, ...refused }, reply)]
    }
  },
})

/** Errors that tell the caller something; the others are this stage's own. */
function isAnswer(error: unknown): error is CuestreamError {
  return (
    error instanceof InvalidRequestError ||
    error instanceof InvalidRecordError ||
    error instanceof RetryableError ||
    // A store that was wiped: its index is there again once the projection has begun.
    (error instanceof SetupError && (error.code === 'unknown-index' || error.code === 'generation-ended'))
  )
}
