/** Which pairs of a pool have tags like a track's, by the cosine of confidences over (category, tag). */
import type { Tag } from '../../schemas/types.ts'
import { tagId } from './select-tags.ts'

/** Pairs by what their tags are; made once a pool. */
export interface PairIndex {
  /** Unit vector of each pair. */
  readonly vectors: readonly ReadonlyMap<string, number>[]
  /** Tag → the pairs that have it, and how much of it. */
  readonly having: ReadonlyMap<string, readonly (readonly [pair: number, weight: number])[]>
}

/** What a pair loses for being just like one that is chosen already; one of cosine 0.7 loses a quarter of it. */
const ALIKE = 0.5

export function indexPairs(tagLists: readonly (readonly Tag[])[]): PairIndex {
  const vectors = tagLists.map(unitVector)
  const having = new Map<string, [number, number][]>()
  for (const [pair, vector] of vectors.entries()) {
    for (const [id, weight] of vector) {
      const list = having.get(id)
      if (list === undefined) having.set(id, [[pair, weight]])
      else list.push([pair, weight])
    }
  }
  return { vectors, having }
}

/** @returns k pairs, the most similar last; `random` decides between equals. */
export function mostSimilar(index: PairIndex, tags: readonly Tag[], k: number, random: () => number): number[] {
  const scores = new Float64Array(index.vectors.length)
  for (const [id, weight] of unitVector(tags)) {
    for (const [pair, other] of index.having.get(id) ?? []) scores[pair]! += weight * other
  }
  const candidates = highest(scores, 3 * k + 10, Math.floor(random() * 2 ** 32))
  const alike = new Map(candidates.map((pair) => [pair, 0]))
  const chosen: number[] = []
  while (chosen.length < k && alike.size > 0) {
    let best = -1
    let most = Number.NEGATIVE_INFINITY
    for (const [pair, likeness] of alike) {
      const value = scores[pair]! - ALIKE * likeness ** 4
      if (value > most) [best, most] = [pair, value]
    }
    alike.delete(best)
    chosen.push(best)
    for (const [pair, likeness] of alike) {
      alike.set(pair, Math.max(likeness, dot(index.vectors[pair]!, index.vectors[best]!)))
    }
  }
  return chosen.sort((a, b) => scores[a]! - scores[b]!)
}

/** @returns the places of the `most` highest scores, highest first; equals in an order that `salt` decides. */
function highest(scores: Float64Array, most: number, salt: number): number[] {
  const best: number[] = []
  const isBefore = (a: number, b: number) =>
    scores[a]! === scores[b]! ? mixed(a ^ salt) < mixed(b ^ salt) : scores[a]! > scores[b]!
  for (let place = 0; place < scores.length; place++) {
    if (best.length === most && !isBefore(place, best.at(-1)!)) continue
    let at = best.length
    while (at > 0 && isBefore(place, best[at - 1]!)) at--
    best.splice(at, 0, place)
    if (best.length > most) best.pop()
  }
  return best
}

function mixed(bits: number): number {
  const once = Math.imul(bits ^ (bits >>> 16), 0x7feb352d)
  return Math.imul(once ^ (once >>> 15), 0x846ca68b) >>> 0
}

function unitVector(tags: readonly Tag[]): Map<string, number> {
  const vector = new Map<string, number>()
  for (const tag of tags) vector.set(tagId(tag), Math.max(tag.confidence, vector.get(tagId(tag)) ?? 0))
  const length = Math.hypot(...vector.values())
  for (const [id, weight] of vector) vector.set(id, length > 0 ? weight / length : 0)
  return vector
}

function dot(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  let sum = 0
  for (const [id, weight] of a) sum += weight * (b.get(id) ?? 0)
  return sum
}
