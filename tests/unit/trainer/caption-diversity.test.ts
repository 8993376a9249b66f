/** Variety of texts, by hand. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { diversity, equalWordsOf } from '../../../trainer/evaluation/captions/diversity.ts'
import { selfBleu } from '../../../trainer/evaluation/captions/self-bleu.ts'
import { numberedGrams, wordsOf } from '../../../trainer/evaluation/captions/words.ts'

const near = (value: number | undefined, expected: number) =>
  assert.ok(Math.abs(value! - expected) < 1e-9, `${value} is not ${expected}`)

const bleu = (texts: readonly string[], references = 500, seed = 0) =>
  selfBleu(texts.map(wordsOf), { references, seed })

describe('words', () => {
  test('case and punctuation do not count, and hyphens and apostrophes within a word do', () => {
    assert.deepEqual(wordsOf("It's a lo-fi Café track; 'sad', 90s."), [
      "it's",
      'a',
      'lo-fi',
      'café',
      'track',
      'sad',
      '90s',
    ])
    assert.deepEqual(wordsOf(' … !'), [])
  })

  test('n-grams are equal where all their words are, and stay within a text', () => {
    const { grams, counts } = numberedGrams([['a', 'b', 'a', 'b'], ['b', 'a'], []], 3)
    assert.deepEqual(counts, [2, 2, 2])
    assert.deepEqual([...grams[1]![0]!], [0, 1, 0])
    assert.deepEqual([...grams[1]![1]!], [1])
    assert.equal(grams[2]![1]!.length, 0)
  })
})

describe('distinct-n', () => {
  test('it is the share of n-grams that are different', () => {
    // a b a b | a b: words a b of 6, pairs ab ba of 4, triples aba bab of 2.
    const { distinct, meanLength, sdLength, lengths } = diversity(['a b a b', 'A, b.'])
    assert.deepEqual(distinct, [2 / 6, 2 / 4, 1])
    assert.deepEqual([meanLength, lengths], [3, [4, 2]])
    near(sdLength, Math.SQRT2)
  })

  test('sets of different sizes are compared at an equal number of words', () => {
    const small = ['one two', 'two three']
    const large = Array.from({ length: 50 }, (_, i) => `one two ${i % 5}`)
    const equalWords = equalWordsOf([small, large])
    assert.equal(equalWords, 4)
    const { distinct, atEqualWords } = diversity(large, { equalWords })
    assert.ok(distinct[0] < 0.05, String(distinct[0]))
    assert.equal(atEqualWords.words, 4)
    // The first text whole, and the first word of another: one two x one.
    assert.equal(atEqualWords.vocabulary, 3)
    assert.deepEqual(atEqualWords.distinct, [3 / 4, 1, 1])
    assert.deepEqual(diversity(small, { equalWords }).atEqualWords, {
      words: 4,
      distinct: [3 / 4, 1, 0],
      vocabulary: 3,
    })
  })

  test('an empty set, and texts without words, have no variety and break nothing', () => {
    for (const texts of [[], ['', '!']]) {
      const { distinct, atEqualWords, meanLength } = diversity(texts)
      assert.deepEqual([distinct, atEqualWords.words, meanLength], [[0, 0, 0], 0, 0])
    }
  })

  test('what is said more than once counts each time', () => {
    assert.equal(diversity(['A sad song.', 'a sad song', 'another', 'one more']).repeatedShare, 0.5)
  })
})

describe('self-BLEU', () => {
  test('it is that of the definition: clipped counts, smoothed, over the closest length', () => {
    // "the cat the cat" against "the cat sat": words 2 of 4 (each clipped to 1), pairs 1 of 3, no triple of 2, no four of 1;
    // longer than its reference, so no penalty.
    const first = ((2 / 4) * (1 / 3) * (0.1 / 2) * (0.1 / 1)) ** 0.25
    // The other way round: words 2 of 3, pairs 1 of 2, no triple of 1, no four; penalty exp(1 − 4/3).
    const second = Math.exp(1 - 4 / 3) * ((2 / 3) * (1 / 2) * (0.1 / 1) * (0.1 / 1)) ** 0.25
    near(bleu(['the cat the cat', 'the cat sat']), (first + second) / 2)
  })

  test('the same text again scores 1, texts without a common word 0', () => {
    near(bleu(['a b c d e', 'a b c d e']), 1)
    near(bleu(['a b c d', 'e f g h']), 0)
    assert.equal(bleu(['alone']), undefined)
  })

  test('of several references an n-gram may be found in any, and its count in one', () => {
    // Against "a a b c" and "d b c d", "a b c d" finds every word and pair but "a b" in the first: a-b stands there too.
    const own = ((4 / 4) * (3 / 3) * (2 / 2) * (0.1 / 1)) ** 0.25
    // "a a b c": a counts once at most; pairs a-b, b-c; triple a-b-c.
    const other = ((3 / 4) * (2 / 3) * (1 / 2) * (0.1 / 1)) ** 0.25
    // "d b c d": b c d, with d once; pairs b-c, c-d; triple b-c-d.
    near(bleu(['a b c d', 'a a b c', 'd b c d']), (own + 2 * other) / 3)
  })

  test('a text is never its own reference, and all have the same number of them', () => {
    const random = seededRandom('self-bleu test')
    const texts = Array.from({ length: 12 }, () =>
      Array.from({ length: 6 }, () => 'abcde'.charAt(Math.floor(random() * 5))),
    )
    // All others, by the plain definition.
    const scores = texts.map((text, i) => plainBleu(text, texts.toSpliced(i, 1)))
    near(selfBleu(texts, { references: 500, seed: 3 }), scores.reduce((sum, score) => sum + score, 0) / scores.length)
    const few = selfBleu(texts, { references: 3, seed: 3 })!
    assert.ok(few < selfBleu(texts, { references: 500, seed: 3 })!, 'fewer references find no less')
    assert.equal(selfBleu(texts, { references: 3, seed: 3 }), few)
  })
})

/** With all references at hand, and no table of counts. */
function plainBleu(text: readonly string[], references: readonly (readonly string[])[]): number {
  const gramsOf = (words: readonly string[], n: number) =>
    Array.from({ length: Math.max(0, words.length - n + 1) }, (_, i) => words.slice(i, i + n).join(' '))
  const times = (grams: readonly string[], gram: string) => grams.filter((other) => other === gram).length
  let product = 1
  for (let n = 1; n <= 4; n++) {
    const own = gramsOf(text, n)
    const matched = [...new Set(own)].reduce((sum, gram) => {
      const most = Math.max(...references.map((words) => times(gramsOf(words, n), gram)))
      return sum + Math.min(times(own, gram), most)
    }, 0)
    if (n === 1 && matched === 0) return 0
    product *= (matched || 0.1) / Math.max(1, own.length)
  }
  return product ** 0.25 // all of one length: no penalty
}
