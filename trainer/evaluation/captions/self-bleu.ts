/**
 * Self-BLEU (Zhu et al. 2018, Texygen): the mean BLEU of each text against others of its set. Lower is more varied.
 *
 *   1. BLEU-4 with clipped counts over all references, the closest reference's length (the shorter of two) for the brevity
 *      penalty (Papineni et al. 2002, §2), and 0.1 in place of no match (Chen & Cherry 2014, method 1), as Texygen does.
 *      A text none of whose words a reference has scores 0.
 *   2. It rises with the number of references. Each text has exactly R of them, or all others of a smaller set: R + 1
 *      texts are drawn, and a text among them leaves itself out, any other text the last of them.
 *   3. Counts are kept once for all: of each n-gram the most that a reference has, whose that is, and the most of the rest.
 */
import { seededRandom, shuffled } from '../../../model/random.ts'
import { numberedGrams } from './words.ts'

const LONGEST = 4
const SMOOTHED = 0.1

/** @param texts as words. @returns 0 … 1; undefined for fewer than two texts. */
export function selfBleu(
  texts: readonly (readonly string[])[],
  { references, seed }: { references: number; seed: number },
): number | undefined {
  if (texts.length < 2) return undefined
  const everyone = Array.from(texts, (_, i) => i)
  const drawn = shuffled(everyone, seededRandom(`self-bleu/${seed}`)).slice(0, references + 1)
  const isDrawn = new Set(drawn)
  const last = drawn.at(-1)!
  const { grams, counts } = numberedGrams(texts, LONGEST)
  const most = grams.map((ofN, n) => mostOf(drawn, ofN, counts[n]!))

  const scores = everyone.map((text) => {
    const leftOut = isDrawn.has(text) ? text : last
    const length = texts[text]!.length
    let logs = 0
    for (let n = 0; n < LONGEST; n++) {
      const own = grams[n]![text]!
      const matched = matches(own, most[n]!, leftOut)
      if (n === 0 && matched === 0) return 0
      logs += Math.log((matched || SMOOTHED) / Math.max(1, own.length)) / LONGEST
    }
    const closest = closestLength(
      length,
      drawn.filter((other) => other !== leftOut).map((other) => texts[other]!.length),
    )
    return Math.exp(logs + Math.min(0, 1 - closest / length))
  })
  return scores.reduce((sum, score) => sum + score, 0) / scores.length
}

/** Rule 3, by n-gram. */
interface Most {
  readonly best: Int32Array
  readonly holder: Int32Array
  readonly second: Int32Array
}

function mostOf(drawn: readonly number[], grams: readonly Int32Array[], count: number): Most {
  const best = new Int32Array(count)
  const holder = new Int32Array(count).fill(-1)
  const second = new Int32Array(count)
  for (const text of drawn) {
    for (const [gram, times] of timesOf(grams[text]!)) {
      if (times > best[gram]!) {
        second[gram] = best[gram]!
        best[gram] = times
        holder[gram] = text
      } else if (times > second[gram]!) second[gram] = times
    }
  }
  return { best, holder, second }
}

function matches(own: Int32Array, { best, holder, second }: Most, leftOut: number): number {
  let matched = 0
  for (const [gram, times] of timesOf(own)) {
    matched += Math.min(times, holder[gram] === leftOut ? second[gram]! : best[gram]!)
  }
  return matched
}

function timesOf(grams: Int32Array): Map<number, number> {
  const times = new Map<number, number>()
  for (const gram of grams) times.set(gram, (times.get(gram) ?? 0) + 1)
  return times
}

function closestLength(length: number, others: readonly number[]): number {
  return others.reduce((closest, other) => {
    const nearer = Math.abs(other - length) - Math.abs(closest - length)
    return nearer < 0 || (nearer === 0 && other < closest) ? other : closest
  })
}
