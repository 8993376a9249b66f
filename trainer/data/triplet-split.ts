import { type Pairs, selectPairs } from './pairs.ts'
import { stableSplit } from './split.ts'
import type { TripletPairs } from './triplet-pairs.ts'

export interface TripletSplit {
  readonly train: Pairs
  /** As `evaluation`. */
  readonly validation: Pairs
  /** Videos with their own soundtrack alone, so that figures of two releases can be set side by side. */
  readonly evaluation: Pairs
  /** Soundtracks that are trained on because their group reaches over both sides. */
  readonly merged: number
  /** Chosen pairs left out, because their video, track or artist is not trained on. */
  readonly withheld: number
}

/**
 * What users choose decides nothing about the split, else the evaluation set would melt as feedback comes: soundtracks
 * are split by themselves (`stableSplit`), and a chosen pair is trained on where nothing of it is held out.
 * @param heldOut share of the soundtracks' groups; half of it is for validation, half for evaluation.
 */
export function splitTriplets({ pairs, soundtracks, videoMedia }: TripletPairs, heldOut: number): TripletSplit {
  const own = selectGroups(
    pairs,
    Array.from({ length: soundtracks }, (_, pair) => pair),
  )
  const outer = stableSplit(own, heldOut, 'held-out')
  const inner = stableSplit(selectGroups(pairs, outer.evaluation), 0.5)
  // The track of a soundtrack is the file of its video.
  const media = new Set(outer.evaluation.map((pair) => pairs.trackIds[pair]!))
  const artists = new Set(outer.evaluation.map((pair) => pairs.artists[pair]!).filter((artist) => artist !== ''))
  const chosen = Array.from({ length: pairs.count - soundtracks }, (_, i) => soundtracks + i)
  const trained = chosen.filter((pair) => {
    const video = videoMedia[pair]!
    const isHeldOut = media.has(pairs.trackIds[pair]!) || media.has(video.media)
    return !isHeldOut && !artists.has(pairs.artists[pair]!) && !artists.has(video.artist)
  })
  const part = (numbers: readonly number[]) =>
    selectPairs(
      pairs,
      numbers.map((number) => outer.evaluation[number]!),
    )
  return {
    train: selectPairs(pairs, [...outer.train, ...trained]),
    validation: part(inner.train),
    evaluation: part(inner.evaluation),
    merged: outer.merged,
    withheld: chosen.length - trained.length,
  }
}

function selectGroups({ trackIds, artists }: Pairs, chosen: readonly number[]): Pick<Pairs, 'trackIds' | 'artists'> {
  return { trackIds: chosen.map((pair) => trackIds[pair]!), artists: chosen.map((pair) => artists[pair]!) }
}
