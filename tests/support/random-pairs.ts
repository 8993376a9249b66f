import { seededRandom } from '../../model/random.ts'
import type { Pairs } from '../../trainer/data/pairs.ts'

/** @returns `count` pairs of one to three segments, without any likeness between video, music and words. */
export function randomPairs(seed: number, count = 8): Pairs {
  const random = seededRandom(seed)
  const uniform = (length: number) => Float32Array.from({ length }, () => 4 * random() - 2)
  const sequences = (dims: number) => {
    const offsets = new Uint32Array(count + 1)
    for (let pair = 0; pair < count; pair++) offsets[pair + 1] = offsets[pair]! + 1 + Math.floor(random() * 3)
    return { dims, offsets, values: uniform(offsets[count]! * dims) }
  }
  const ids = Array.from({ length: count }, (_, pair) => `pair-${pair}`)
  const strings = ['', ...ids]
  return {
    count,
    video: sequences(6),
    music: sequences(5),
    texts: {
      strings,
      dims: 4,
      vectors: uniform(strings.length * 4),
      variants: 1,
      rows: Uint32Array.from(ids, (_, pair) => pair + 1),
    },
    videoIds: ids,
    trackIds: ids,
    artists: ids,
    weights: new Float32Array(count).fill(1),
  }
}
