import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  discordance,
  meanDiscordance,
  PARAPHRASES,
  QUERIES,
  readLabels,
  sameKey,
  scoreRetrieval,
  tempoVerdict,
} from '../../../trainer/sample-evaluation.ts'

const LICENCE = `Generated with: a model
calm/
  calm_acoustic_1.opus                 68 bpm  C major   seed 101  [acoustic]
  nostalgic_electronic_2.opus          84 bpm  Bb minor  seed 202  [electronic]
`

test('labels are read from the lines that name a track, and from no others', () => {
  assert.deepEqual(
    [...readLabels(LICENCE)],
    [
      ['calm_acoustic_1', { mood: 'calm', style: 'acoustic', bpm: 68, tonic: 'C', mode: 'major' }],
      ['nostalgic_electronic_2', { mood: 'nostalgic', style: 'electronic', bpm: 84, tonic: 'Bb', mode: 'minor' }],
    ],
  )
})

test('there is a query for each mood in each style, and two paraphrases of each', () => {
  assert.equal(QUERIES.length, 10)
  for (const { mood, style } of QUERIES) {
    assert.equal(PARAPHRASES.filter((other) => other.mood === mood && other.style === style).length, 2)
  }
})

test('style and mood count apart, in the first places only', () => {
  const labels = readLabels(LICENCE)
  const query = { text: 'calm electronic music', mood: 'calm', style: 'electronic' }
  const score = scoreRetrieval([query], () => ['calm_acoustic_1', 'nostalgic_electronic_2'], labels, 1)
  assert.deepEqual([score.style, score.mood, score.places], [0, 1, 1])
  assert.deepEqual(score.chance, { style: 0.5, mood: 0.5 })
})

test('a tempo is right within 4 %, and told apart from its octaves', () => {
  assert.equal(tempoVerdict(103.9, 100), 'exact')
  assert.equal(tempoVerdict(104.1, 100), 'wrong')
  assert.equal(tempoVerdict(200, 100), 'octave')
  assert.equal(tempoVerdict(50, 100), 'octave')
  assert.equal(tempoVerdict(150, 100), 'wrong')
  assert.equal(tempoVerdict(0, 100), 'wrong')
})

test('a key is the same whatever its spelling, but not its relative', () => {
  assert.ok(sameKey({ tonic: 'C#', mode: 'minor' }, { tonic: 'Db', mode: 'minor' }))
  assert.ok(sameKey({ tonic: 'B', mode: 'major' }, { tonic: 'Cb', mode: 'major' }))
  assert.ok(!sameKey({ tonic: 'A', mode: 'minor' }, { tonic: 'C', mode: 'major' }))
  assert.ok(!sameKey({ tonic: 'A', mode: 'minor' }, { tonic: 'A', mode: 'major' }))
})

test('discordance is 0 for the same order, 1 for the reverse', () => {
  const order = ['a', 'b', 'c', 'd']
  assert.equal(discordance(order, order), 0)
  assert.equal(discordance(order, order.toReversed()), 1)
  assert.equal(discordance(order, ['b', 'a', 'c', 'd']), 1 / 6)
  assert.equal(meanDiscordance([order, order, order.toReversed()]), 2 / 3)
})
