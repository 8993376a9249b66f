/** POST /v1/recommendations: a video and words in, ranked tracks out; and what became of them (POST /v1/feedback). */
import { z } from 'zod'
import type { Catalogue } from '../../ports/catalogue.ts'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { AnswerError, RecommendationAnswered, RecommendationRequested } from '../../schemas/types.ts'
import { feedbackRecorded } from '../../topics/topics.ts'
import type { App, GatewayDeps } from '../deps.ts'
import { filtersSchema, toFilterConditions } from '../filters.ts'
import { RefusedRequestError, UnavailableError } from '../problem.ts'
import { idSchema, stateOf, trackOf, trackSchema, uploadOf } from '../representations.ts'
import type { RecommendationClient } from '../request-reply.ts'
import { problems } from '../responses.ts'

export const MAX_DEADLINE_MS = 30_000

const words = z.string().trim().max(1_000)
const weight = z.number().min(0).max(100)
/** Of the larger: far from where a weight, or a vector times it, is no number of 32 bits any more. */
const MIN_WEIGHT = 0.001

const querySchema = z.strictObject({
  video: idSchema.optional().describe('A video that was analysed.'),
  text: words.optional().describe('The music that is wanted, in words.'),
  excludeText: words.optional().describe('What it should not be like.'),
  likeTrack: idSchema.optional().describe('A track of the catalogue to be near to.'),
  weights: z
    .strictObject({ text: weight.default(1), video: weight.default(1) })
    .refine(({ text, video }) => Math.max(text, video) >= MIN_WEIGHT, `one of them must be at least ${MIN_WEIGHT}`)
    .optional()
    .describe('How much the words weigh, and how much the pictures, where both are asked with.'),
  filters: z.unknown().optional().meta(filtersDocument()),
  limit: z.int().min(1).max(100).default(10),
  cursor: z.string().min(1).max(512).optional().describe('`nextCursor` of the page before, with the same query.'),
  explain: z.boolean().default(false).describe('Adds the similarity to each part of the query.'),
  deadlineMs: z
    .int()
    .min(1)
    .max(MAX_DEADLINE_MS)
    .optional()
    .describe('After this a 504 is answered, never a late list.'),
})

const answerSchema = z
  .object({
    requestId: z.string(),
    release: z.string().describe('The one release that answered, from query to index.'),
    taxonomy: z.string().describe('Version of the words that tags come from.'),
    total: z.int().describe('Tracks that match the filters.'),
    results: z.array(
      z.object({
        rank: z.int().describe('From 1, in this page.'),
        score: z.number().describe('Higher fits better; comparable within one answer.'),
        parts: z.record(z.string(), z.number()).describe('Similarity to each part of the query.'),
        highlight: z.object({ startSeconds: z.number(), seconds: z.number() }).nullable(),
        why: z.array(z.string()),
        track: trackSchema,
      }),
    ),
    nextCursor: z.string().nullable(),
  })
  .meta({ id: 'Recommendations' })

const feedbackSchema = z.strictObject({
  requestId: z.string().min(1).max(128),
  video: idSchema.optional(),
  track: idSchema,
  release: z.string().min(1).max(128),
  action: z.enum(['shown', 'previewed', 'chosen', 'skipped']),
  rank: z.int().min(1).max(1_000_000),
})

export function recommendationRoutes(app: App, deps: GatewayDeps, client: RecommendationClient): void {
  const { catalogue, broker, codec, config, now, newId } = deps

  app.post(
    '/v1/recommendations',
    {
      schema: {
        summary: 'Rank the catalogue for a video, for words, or both',
        body: querySchema,
        response: { 200: answerSchema, ...problems(400, 404, 409, 413, 415, 422, 502, 503, 504) },
      },
    },
    async ({ body }) => {
      const query = toQuery(body, newId(), now())
      await Promise.all([checkVideo(catalogue, query.videoId), checkTrack(catalogue, query.likeTrackId)])
      const deadlineMs = Math.min(body.deadlineMs ?? config.deadlineMs, MAX_DEADLINE_MS)
      const answer = await client.request(query, deadlineMs)
      if (answer.error !== null) throw toProblem(answer.error)
      return present(answer, catalogue, config.taxonomy)
    },
  )

  app.post(
    '/v1/feedback',
    {
      schema: {
        summary: 'Say what became of a recommendation',
        description: 'Shown, previewed, chosen or skipped: it reaches the training of the next release.',
        body: feedbackSchema,
        response: { 202: z.object({ recorded: z.literal(true) }), ...problems(400, 404, 413, 415) },
      },
    },
    async ({ body: { video, track, ...rest } }, reply) => {
      await checkTrack(catalogue, track)
      const videoId = video ?? null
      const value = await codec.encode(feedbackRecorded, { ...rest, videoId, trackId: track, recordedAt: now() })
      // Without a video there is no order to keep: the request spreads such records over the partitions.
      await broker.produce([{ topic: feedbackRecorded.name, key: videoId ?? rest.requestId, value }])
      return reply.code(202).send({ recorded: true })
    },
  )
}

function toQuery(body: z.infer<typeof querySchema>, requestId: string, requestedAt: number): RecommendationRequested {
  const text = body.text || null
  const videoId = body.video ?? null
  const likeTrackId = body.likeTrack ?? null
  if (text === null && videoId === null && likeTrackId === null) {
    throw new InvalidRequestError('nothing-asked', 'Give a video, a text or a track to be near to (likeTrack)')
  }
  return {
    requestId,
    videoId,
    text,
    excludeText: body.excludeText || null,
    likeTrackId,
    weights: body.weights ?? { text: 1, video: 1 },
    filters: toFilterConditions(body.filters),
    limit: body.limit,
    cursor: body.cursor ?? null,
    explain: body.explain,
    requestedAt,
  }
}

async function checkVideo(catalogue: Catalogue, id: string | null): Promise<void> {
  if (id === null) return
  const status = await catalogue.upload(id)
  if (status?.kind !== 'video') {
    throw new InvalidRequestError('unknown-video', `There is no video ${id}; upload it first`, { status: 404 })
  }
  const state = stateOf(status)
  if (state === 'ready') return // its features, which are large, are read where it is answered
  const members = { upload: uploadOf(status) }
  if (state === 'failed') {
    const message = `Video ${id} cannot be asked with: ${status.failure?.message}`
    throw new RefusedRequestError('video-failed', message, { status: 422, members })
  }
  const message = `Video ${id} is still being analysed; follow /v1/uploads/${id}`
  throw new RefusedRequestError('video-not-ready', message, { status: 409, members })
}

async function checkTrack(catalogue: Catalogue, id: string | null): Promise<void> {
  if (id === null || (await catalogue.track(id)) !== undefined) return
  throw new InvalidRequestError('unknown-track', `There is no track ${id}`, { status: 404 })
}

/** Refusals of the answering stage that the caller can act on; anything else is a fault on this side. */
const ANSWER_STATUS: Readonly<Record<string, InvalidRequestError['status']>> = {
  'unknown-video': 404,
  'unknown-track': 404,
  'video-not-ready': 409,
  'bad-cursor': 400,
  'bad-limit': 400,
  'nothing-asked': 400,
}

function toProblem({ code, message }: AnswerError): Error {
  const status = ANSWER_STATUS[code]
  if (status !== undefined) return new InvalidRequestError(code, message, { status })
  return new UnavailableError(code, message, { status: 503, retryAfterSeconds: 1 })
}

/** Joins the ranked ids with what the catalogue says of them; a track taken down meanwhile is left out. */
async function present(
  answer: RecommendationAnswered,
  catalogue: Catalogue,
  taxonomy: string,
): Promise<z.infer<typeof answerSchema>> {
  const documents = await catalogue.tracks(answer.results.map(({ trackId }) => trackId))
  return {
    requestId: answer.requestId,
    release: answer.release ?? '',
    taxonomy,
    total: answer.total,
    results: answer.results.flatMap(({ trackId, score, parts, highlight, why }, index) => {
      const document = documents.get(trackId)
      if (document === undefined) return []
      const { startSeconds = 0, seconds = 0 } = highlight ?? {}
      return [
        {
          rank: index + 1,
          score,
          parts: { ...parts },
          highlight: highlight && { startSeconds, seconds },
          why: [...why],
          track: trackOf(document),
        },
      ]
    }),
    nextCursor: answer.nextCursor,
  }
}

/** The filters as a document: `toFilterConditions` validates them, with errors of its own. */
function filtersDocument(): Record<string, unknown> {
  const { $schema: _, ...schema } = z.toJSONSchema(filtersSchema, { io: 'input' })
  return { ...schema, description: 'Tracks that fail any of these are left out before ranking.' }
}
