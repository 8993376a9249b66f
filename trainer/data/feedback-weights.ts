/**
 * What users made of recommendations, as weights of pairs (video, track of the catalogue). The weight of a video's own
 * soundtrack is 1.
 *
 *     evidence = chosen + previewed / 4 − skipped / 2        requests in which that came of it
 *     weight   = min(2, log2(1 + evidence))                  0 where it was never chosen, or evidence ≤ 0
 *
 * So one choice weighs as much as a soundtrack, three or more twice as much, and two skips undo a choice. A request
 * counts once for a track, by what weighs most of what it told: chosen, then skipped, then previewed. The pairs of one
 * video weigh 4 together at most: whoever sends feedback in masses moves a model by a few pairs' worth.
 */
import type { FeedbackAction, FeedbackRecorded } from '../../schemas/types.ts'

const MOST_OF_A_PAIR = 2
const MOST_OF_A_VIDEO = 4
/** Being shown says nothing: it depends on the release that ranked. */
const STRENGTH: Readonly<Record<FeedbackAction, number>> = { shown: 0, previewed: 1, skipped: 2, chosen: 3 }
const EVIDENCE: Readonly<Record<FeedbackAction, number>> = { shown: 0, previewed: 0.25, skipped: -0.5, chosen: 1 }

type Event = Pick<FeedbackRecorded, 'requestId' | 'trackId' | 'action' | 'recordedAt'> & { readonly videoId: string }

/** What came of a request. */
interface Outcome {
  readonly action: FeedbackAction
  /** Unix epoch, ms. */
  readonly recordedAt: number
}

/** A video and a track that was chosen for it. */
export interface ChosenPair {
  readonly videoId: string
  readonly trackId: string
  /** By request. */
  readonly outcomes: ReadonlyMap<string, Outcome>
}

export interface WeightedPair {
  readonly videoId: string
  readonly trackId: string
  readonly weight: number
}

/** Gathers the events of some videos. */
export class FeedbackLedger {
  readonly #pairs = new Map<string, ChosenPair & { readonly outcomes: Map<string, Outcome> }>()

  add({ videoId, trackId, requestId, action, recordedAt }: Event): void {
    if (STRENGTH[action] === 0) return
    const key = JSON.stringify([videoId, trackId])
    const pair = this.#pairs.get(key) ?? { videoId, trackId, outcomes: new Map<string, Outcome>() }
    this.#pairs.set(key, pair)
    const known = pair.outcomes.get(requestId)
    if (known === undefined || STRENGTH[action] > STRENGTH[known.action]) {
      pair.outcomes.set(requestId, { action, recordedAt })
    }
  }

  /** Only what was chosen at least once makes a pair. */
  chosen(): ChosenPair[] {
    return [...this.#pairs.values()].filter(({ outcomes }) =>
      [...outcomes.values()].some(({ action }) => action === 'chosen'),
    )
  }
}

/**
 * @param receivedAt of an upload, Unix epoch in ms: what was told before is of another upload of that id; undefined where
 * it is there no more.
 * @returns pairs with a weight above 0, in the order of their ids.
 */
export function weighPairs(
  pairs: readonly ChosenPair[],
  receivedAt: (id: string) => number | undefined,
): readonly WeightedPair[] {
  const byVideo = new Map<string, WeightedPair[]>()
  for (const { videoId, trackId, outcomes } of pairs) {
    const since = Math.max(
      receivedAt(videoId) ?? Number.POSITIVE_INFINITY,
      receivedAt(trackId) ?? Number.POSITIVE_INFINITY,
    )
    const weight = weightOf([...outcomes.values()].filter(({ recordedAt }) => recordedAt >= since))
    if (weight > 0) byVideo.set(videoId, [...(byVideo.get(videoId) ?? []), { videoId, trackId, weight }])
  }
  const weighed = [...byVideo.values()].flatMap((ofVideo) => {
    const total = ofVideo.reduce((sum, { weight }) => sum + weight, 0)
    const share = Math.min(1, MOST_OF_A_VIDEO / total)
    return ofVideo.map((pair) => ({ ...pair, weight: pair.weight * share }))
  })
  return weighed.sort((a, b) => compare(a.videoId, b.videoId) || compare(a.trackId, b.trackId))
}

function weightOf(outcomes: readonly Outcome[]): number {
  if (outcomes.every(({ action }) => action !== 'chosen')) return 0
  const evidence = outcomes.reduce((sum, { action }) => sum + EVIDENCE[action], 0)
  return Math.min(MOST_OF_A_PAIR, Math.log2(1 + Math.max(0, evidence)))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
