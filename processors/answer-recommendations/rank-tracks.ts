/**
 * A query to a ranked page of tracks, all from one release:
 *
 *   video features, words, a liked track ─▶ query vector ─▶ candidates from the index ─▶ exact rescoring ─▶ page
 */
import { dot, unit, weightedSum } from '../../model/vector.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import type { FeatureSequence, ReleaseTowers, TextEncoder } from '../../ports/encoder.ts'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { FilterCondition, Hit, VectorIndex } from '../../ports/vector-index.ts'
import type { RankedTrack, RecommendationRequested } from '../../schemas/types.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'

export interface RankTracksDeps {
  readonly index: VectorIndex
  readonly catalogue: Catalogue
  readonly textEncoder: TextEncoder
  /**
   * The release that answers a request, the same one each time. @param pageOf the release of its cursor, which answers as
   * long as it is in use. @throws InvalidRequestError 'bad-cursor' when it is not.
   */
  readonly towersFor: (requestId: string, pageOf: string | undefined) => Promise<ReleaseTowers>
  /** @throws OutageError 'index-filling' while the index holds a part of what it should. */
  readonly assertFilled: () => Promise<void>
}

export interface RankedPage {
  readonly release: string
  readonly total: number
  readonly results: readonly RankedTrack[]
  readonly nextCursor: string | null
}

/** Candidates are over-fetched by this much where the score has parts that the index cannot see. */
const RESCORED = 200
/** How much likeness to the excluded words takes off the score. */
const EXCLUDE_WEIGHT = 0.5

/** @throws InvalidRequestError 'nothing-asked' | 'unknown-video' | 'video-not-ready' | 'unknown-track' | 'bad-cursor' */
export async function rankTracks(request: RecommendationRequested, deps: RankTracksDeps): Promise<RankedPage> {
  const { index } = deps
  await deps.assertFilled()
  const page = request.cursor === null ? undefined : decodeCursor(request.cursor)
  const offset = page?.offset ?? 0
  const towers = await deps.towersFor(request.requestId, page?.release)
  const name = { release: towers.release, kind: 'music' } as const
  const query = await queryVectors(request, towers, deps) // (D,)
  const filter = request.filters.flatMap(toConditions)
  const exclude = query.exclude
  const wanted = offset + request.limit + 1
  const skip = request.likeTrackId === null ? 0 : 1
  const [candidates, total] = await Promise.all([
    index.search(name, query.whole, Math.max(wanted, exclude ? RESCORED : 0) + skip, filter),
    index.count(name, filter),
  ])
  let hits = candidates.filter(({ id }) => id !== request.likeTrackId)
  if (exclude !== undefined) {
    const vectors = await index.vectors(name, idsOf(hits))
    hits = hits
      .filter(({ id }) => vectors.has(id)) // else taken down since the search
      .map((hit) => ({ ...hit, score: hit.score - EXCLUDE_WEIGHT * Math.max(0, dot(exclude, vectors.get(hit.id)!)) }))
      .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
  }
  const shown = hits.slice(offset, offset + request.limit)
  const more = hits.length > offset + request.limit
  const explained = request.explain ? await index.vectors(name, idsOf(shown)) : undefined
  return {
    release: towers.release,
    total,
    results: shown.map(({ id, score }) => ({
      trackId: id,
      score,
      parts: partsOf(query.parts, explained?.get(id)),
      highlight: null,
      why: [],
    })),
    nextCursor: more ? encodeCursor(towers.release, offset + request.limit) : null,
  }
}

interface QueryVectors {
  /** (D,) unit. */
  readonly whole: Float32Array
  readonly exclude: Float32Array | undefined
  readonly parts: Readonly<Record<string, Float32Array>>
}

async function queryVectors(
  request: RecommendationRequested,
  towers: ReleaseTowers,
  deps: RankTracksDeps,
): Promise<QueryVectors> {
  const { videoId, text, excludeText, likeTrackId, weights, explain } = request
  const video = videoId === null ? undefined : await videoSequence(videoId, towers, deps.catalogue)
  const words = text === null ? undefined : await encodeText(text, deps)
  const liked = likeTrackId === null ? undefined : await likedTrack(likeTrackId, towers, deps.index)
  const asked = video !== undefined || words !== undefined
  if (!asked && liked === undefined) {
    throw new InvalidRequestError('nothing-asked', 'Ask with a video, words or a track, or several of them')
  }
  const both = video !== undefined && words !== undefined // else there is nothing to weigh
  const query = asked ? await towers.query({ video, text: words, weights: both ? weights : undefined }) : undefined
  const whole =
    query !== undefined && liked !== undefined
      ? unit(weightedSum([query, liked].map((vector) => ({ vector, weight: 1 }))))
      : (query ?? liked)!
  const parts: Record<string, Float32Array> = {}
  if (explain) {
    // Asked alone, a side is the query itself.
    if (video !== undefined) parts.video = both ? await towers.query({ video }) : query!
    if (words !== undefined) parts.text = both ? await towers.query({ text: words }) : query!
    if (liked !== undefined) parts.likeTrack = liked
  }
  const exclude = excludeText === null ? undefined : await towers.query({ text: await encodeText(excludeText, deps) })
  return { whole, exclude, parts }
}

async function encodeText(text: string, { textEncoder }: RankTracksDeps): Promise<Float32Array> {
  return textEncoder.encode([text]) // (1, d) is (d,)
}

async function videoSequence(id: string, towers: ReleaseTowers, catalogue: Catalogue): Promise<FeatureSequence> {
  const document = await catalogue.video(id)
  if (document === undefined) throw new InvalidRequestError('unknown-video', `There is no video ${id}`, { status: 404 })
  if (document.features === undefined) {
    throw new InvalidRequestError('video-not-ready', `Video ${id} is still being analysed; ask GET /v1/uploads/${id}`, {
      status: 409,
    })
  }
  if (document.features.encoderId !== towers.encoders.video) {
    throw new InvalidRequestError(
      'video-not-ready',
      `Video ${id} was encoded by ${document.features.encoderId}, release ${towers.release} takes ${towers.encoders.video}`,
      { status: 409 },
    )
  }
  return document.features
}

async function likedTrack(id: string, towers: ReleaseTowers, index: VectorIndex): Promise<Float32Array> {
  const vector = (await index.vectors({ release: towers.release, kind: 'music' }, [id])).get(id)
  if (vector === undefined) {
    throw new InvalidRequestError('unknown-track', `There is no track ${id} in release ${towers.release}`, {
      status: 404,
    })
  }
  return vector
}

const idsOf = (hits: readonly Hit[]) => hits.map(({ id }) => id)

function partsOf(parts: QueryVectors['parts'], track: Float32Array | undefined): Record<string, number> {
  if (track === undefined) return {}
  return Object.fromEntries(Object.entries(parts).map(([part, vector]) => [part, dot(vector, track)]))
}

/** One asked condition may hold words wanted and words excluded: two conditions of the index. */
function toConditions(condition: RecommendationRequested['filters'][number]): FilterCondition[] {
  const { field, anyOf, noneOf, min, max } = condition
  const conditions: FilterCondition[] = []
  if (anyOf.length > 0) conditions.push({ field, anyOf })
  if (noneOf.length > 0) conditions.push({ field, noneOf })
  if (min !== null || max !== null) {
    conditions.push({ field, ...(min === null ? {} : { min }), ...(max === null ? {} : { max }) })
  }
  return conditions
}
