/**
 * Splits pairs so that nothing leaks: two pairs of one track or of one artist always fall on the same side. Groups are
 * the connected components over both, since an artist's track may also be another's.
 */
import { createHash } from 'node:crypto'
import { seededRandom, shuffled } from '../../model/random.ts'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { Pairs } from './pairs.ts'

/**
 * @param shares of the pairs by name, such as { train: 0.9, validation: 0.1 }; they need not add up to 1.
 * @returns pairs by name, ascending; each group goes, in an order drawn from the seed, where most is still missing.
 */
export function splitPairs<Name extends string>(
  { trackIds, artists }: Pick<Pairs, 'trackIds' | 'artists'>,
  shares: Readonly<Record<Name, number>>,
  seed: number,
): Record<Name, number[]> {
  const names = Object.keys(shares) as Name[]
  const total = names.reduce((sum, name) => sum + shares[name], 0)
  if (!(total > 0) || names.some((name) => !(shares[name] >= 0))) {
    throw new InvalidRequestError('bad-shares', `The shares of a split must be positive: ${JSON.stringify(shares)}.`)
  }
  const split = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>
  for (const group of shuffled(groupsOf({ trackIds, artists }), seededRandom(`split/${seed}`))) {
    const missing = (name: Name) => (shares[name] / total) * trackIds.length - split[name].length
    const name = names.reduce((most, other) => (missing(other) > missing(most) ? other : most))
    split[name].push(...group)
  }
  for (const name of names) split[name].sort((a, b) => a - b)
  return split
}

export interface StableSplit {
  /** Pairs, ascending. */
  readonly train: number[]
  readonly evaluation: number[]
  /** Pairs of `train` that would be evaluated, did their group not join them to such as are trained on. */
  readonly merged: number
}

/**
 * A split that data may grow under: which side a key falls on, an artist or else a track, is told by its hash alone. A
 * group goes to evaluation if all of its keys do. So a pair leaves evaluation only where a new pair joins its group to
 * one that is trained on, and nothing that was trained on is ever evaluated because data came.
 * @param evaluationShare of the keys, in [0, 1]. A greater one keeps what a smaller one evaluates.
 * @param name splits of another name are independent of this one: a part that is split again needs one of its own.
 */
export function stableSplit(
  pairs: Pick<Pairs, 'trackIds' | 'artists'>,
  evaluationShare: number,
  name = 'evaluation',
): StableSplit {
  if (!(evaluationShare >= 0 && evaluationShare <= 1)) {
    throw new InvalidRequestError('bad-shares', `The share to evaluate must be in [0, 1], and is ${evaluationShare}.`)
  }
  const { trackIds, artists } = pairs
  const isEvaluated = trackIds.map((track, pair) => {
    const artist = artists[pair]!
    return uniformHash(`${name}/${artist === '' ? `track/${track}` : `artist/${artist}`}`) < evaluationShare
  })
  const split = { train: [] as number[], evaluation: [] as number[], merged: 0 }
  for (const group of groupsOf(pairs)) {
    const evaluated = group.filter((pair) => isEvaluated[pair])
    if (evaluated.length === group.length) for (const pair of group) split.evaluation.push(pair)
    else {
      for (const pair of group) split.train.push(pair)
      split.merged += evaluated.length
    }
  }
  split.train.sort((a, b) => a - b)
  split.evaluation.sort((a, b) => a - b)
  return split
}

/** @returns a number in [0, 1) that follows from the key. */
function uniformHash(key: string): number {
  return createHash('sha256').update(key).digest().readUIntBE(0, 6) / 2 ** 48
}

/** @returns pairs that share a track or an artist, by union-find; '' as an artist is nobody. */
export function groupsOf({ trackIds, artists }: Pick<Pairs, 'trackIds' | 'artists'>): number[][] {
  const parents = trackIds.map((_, pair) => pair)
  const rootOf = (pair: number): number => {
    let root = pair
    while (parents[root] !== root) root = parents[root] = parents[parents[root]!]!
    return root
  }
  for (const keys of [trackIds, artists]) {
    const first = new Map<string, number>()
    for (const [pair, key] of keys.entries()) {
      if (key === '') continue
      const other = first.get(key)
      if (other === undefined) first.set(key, pair)
      else parents[rootOf(pair)] = rootOf(other)
    }
  }
  const groups = new Map<number, number[]>()
  for (const pair of parents.keys()) {
    const root = rootOf(pair)
    const group = groups.get(root)
    if (group === undefined) groups.set(root, [pair])
    else group.push(pair)
  }
  return [...groups.values()]
}
