/** Queries to look at: what is ranked first for them, with and without their words. */
import { seededRandom, shuffled } from '../../../model/random.ts'
import type { Pairs } from '../../data/pairs.ts'
import { evaluateRetrieval } from '../retrieval.ts'
import type { Scores } from '../scores.ts'

export interface RankedExample {
  readonly pair: number
  readonly score: number
  /** Whether it is a track of the query's own. */
  readonly right: boolean
}

export interface Example {
  /** Number of the pair that asks. */
  readonly pair: number
  readonly withWords: { readonly rank: number; readonly top: readonly RankedExample[] }
  readonly withoutWords: { readonly rank: number; readonly top: readonly RankedExample[] }
}

export interface Examples {
  /** Drawn at random. */
  readonly drawn: readonly Example[]
  /** Where the words moved the true track up most, and down most. */
  readonly helped: readonly Example[]
  readonly hurt: readonly Example[]
}

const DRAWN = 6
const EXTREME = 4
const TOP = 5

/** All tracks of the pairs are ranked. Queries without words are left out. */
export function examplesOf(pairs: Pairs, withWords: Scores, withoutWords: Scores): Examples {
  const everyone = Array.from({ length: pairs.count }, (_, pair) => pair)
  const ranksOf = (scores: Scores) => evaluateRetrieval(scores, pairs.trackIds, [everyone]).pools[0]!.ranks
  const worded = everyone.filter((pair) => wordsOf(pairs, pair) !== '')
  const [ranksWith, ranksWithout] = [ranksOf(withWords), ranksOf(withoutWords)]
  const example = (pair: number): Example => ({
    pair,
    withWords: { rank: ranksWith[pair]!, top: topOf(withWords, pairs, pair) },
    withoutWords: { rank: ranksWithout[pair]!, top: topOf(withoutWords, pairs, pair) },
  })
  // In ratios: from rank 40 to 20 is as much as from 2 to 1.
  const gain = (pair: number) => Math.log(ranksWithout[pair]! / ranksWith[pair]!)
  const byGain = worded.toSorted((a, b) => gain(b) - gain(a))
  return {
    drawn: shuffled(worded, seededRandom('examples')).slice(0, DRAWN).map(example),
    helped: byGain
      .slice(0, EXTREME)
      .filter((pair) => gain(pair) > 0)
      .map(example),
    hurt: byGain
      .slice(-EXTREME)
      .reverse()
      .filter((pair) => gain(pair) < 0)
      .map(example),
  }
}

function topOf(scores: Scores, { trackIds }: Pairs, query: number): RankedExample[] {
  const row = scores.row(query)
  return Array.from(row, (score, pair) => ({ pair, score, right: trackIds[pair] === trackIds[query] }))
    .sort((a, b) => b.score - a.score)
    .slice(0, TOP)
}

/** @returns '' where it has none. */
export function wordsOf({ texts }: Pairs, pair: number): string {
  return texts?.strings[texts.rows[pair * texts.variants]!] ?? ''
}
