/** Pairs that a tiny model can learn something of: both sides are noisy views of one hidden vector, as are the words. */
import { seededRandom } from '../../model/random.ts'
import type { Pairs } from '../../trainer/data/pairs.ts'

const HIDDEN = 3
const WORDS = ['calm', 'loud', 'fast', 'slow']

/** @returns `count` pairs of 6 and 5 columns, one segment each; the text encoder has 4. */
export function tinyPairs(count: number, seed: number): Pairs {
  const random = seededRandom(seed)
  const normal = () => 2 * random() - 1
  const mixing = seededRandom('tiny pairs')
  const views = [6, 5].map((dims) => Array.from({ length: dims * HIDDEN }, () => 2 * mixing() - 1))
  const hidden = Array.from({ length: count }, () => Array.from({ length: HIDDEN }, normal))
  const side = (view: readonly number[]) => {
    const dims = view.length / HIDDEN
    const values = hidden.flatMap((one) =>
      Array.from({ length: dims }, (_, column) =>
        one.reduce((sum, value, i) => sum + value * view[column * HIDDEN + i]!, 0.1 * normal()),
      ),
    )
    return {
      values: Float32Array.from(values),
      offsets: Uint32Array.from({ length: count + 1 }, (_, pair) => pair),
      dims,
    }
  }
  const ids = Array.from({ length: count }, (_, pair) => `v${seed}-${pair}`)
  const strings = ['', ...WORDS]
  const vectors = strings.flatMap((_, row) => Array.from({ length: 4 }, (_, column) => (row === column + 1 ? 1 : 0.1)))
  return {
    count,
    video: side(views[0]!),
    music: side(views[1]!),
    texts: {
      strings,
      vectors: Float32Array.from(vectors),
      dims: 4,
      rows: Uint32Array.from(hidden, ([first, second]) => 1 + (first! > 0 ? 2 : 0) + (second! > 0 ? 1 : 0)),
      variants: 1,
    },
    videoIds: ids,
    trackIds: ids,
    artists: ids,
    weights: new Float32Array(count).fill(1),
  }
}
