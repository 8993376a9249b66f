import { randomUUID } from 'node:crypto'
import type { RecommendationRequested } from '../../schemas/types.ts'

/** A request for ten tracks, with what is given; nothing else is asked. */
export function query(over: Partial<RecommendationRequested>): RecommendationRequested {
  return {
    requestId: randomUUID(),
    videoId: null,
    text: null,
    excludeText: null,
    likeTrackId: null,
    weights: { text: 1, video: 1 },
    filters: [],
    limit: 10,
    cursor: null,
    explain: false,
    requestedAt: Date.now(),
    ...over,
  }
}
