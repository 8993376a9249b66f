/**
 * Splits pairs so that nothing leaks: two pairs of one track or of one artist always fall on the same side. Groups are
 * the connected components over both, since an artist's track may also be another's.
 */
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
