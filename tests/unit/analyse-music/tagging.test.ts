import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MUSIC_DESCRIPTORS, musicLayout } from '../../../model/features.ts'
import { seededRandom } from '../../../model/random.ts'
import embedded from '../../../models/embedded/musicnn_labels.json' with { type: 'json' }
import { hearingOf } from '../../../processors/analyse-music/hearing.ts'
import { confidentTags, hearMusic } from '../../../processors/analyse-music/tagging.ts'
import { CATEGORIES, vocabulary } from '../../../processors/analyse-music/vocabulary.ts'
import { descriptors } from './descriptors.ts'
import golden from './golden-confidences.json' with { type: 'json' }

const LABELS = [...embedded.mtt.map((label) => `mtt:${label}`), ...embedded.msd.map((label) => `msd:${label}`)]
const EMBEDDING = [0.25, -0.5]
const hearing = hearingOf({ labels: LABELS, mapping: 'musicnn' })

/** Base rates by rank, as published of the training sets. */
const RATES = LABELS.map((_, i) => (i < 50 ? 4852 / 25_863 : 101_071 / 505_216) * ((i % 50) + 1) ** -0.57)

/** Labels at their base rates, but for those given, by segment. */
function hear(segments: Partial<Record<string, number>>[], changes: Parameters<typeof descriptors>[0] = {}) {
  const rows = segments.flatMap((given) => LABELS.map((label, i) => given[label] ?? RATES[i]!))
  return hearMusic({
    embeddings: {
      values: Float32Array.from(segments.flatMap(() => EMBEDDING)),
      segments: segments.length,
      dims: EMBEDDING.length,
    },
    labels: { values: Float32Array.from(rows), segments: segments.length, dims: LABELS.length },
    hearing,
    descriptors: descriptors(changes),
  })
}

const confidence = (heard: Float32Array, tag: string) => heard[hearing.tags.findIndex((other) => other.tag === tag)]!

test('the embedded profile gives the confidences that it gave before its mapping was a file', () => {
  const random = seededRandom('golden hearing')
  const segments = 3
  const values = Float32Array.from({ length: segments * LABELS.length }, () => random() ** 3)
  const heard = hearMusic({
    embeddings: { values: new Float32Array(segments * 2), segments, dims: 2 },
    labels: { values, segments, dims: LABELS.length },
    hearing,
    descriptors: descriptors({ bpm: 97, onsetRateHz: 3, mode: 'minor' }),
  })
  assert.deepEqual(
    hearing.tags.map(({ tag }) => tag),
    golden.tags,
  )
  for (const [got, wanted] of [
    [heard.track, golden.track],
    [heard.segments, golden.segments],
  ] as const) {
    assert.equal(got.length, wanted.length)
    for (const [i, value] of wanted.entries())
      assert.ok(Math.abs(got[i]! - value) < 1e-6, `${i}: ${got[i]}, not ${value}`)
  }
})

test('labels at their base rates leave every tag that rests on them at one half', () => {
  const { track } = hear([{}])
  for (const [i, { tag, circumplex }] of hearing.tags.entries()) {
    if (circumplex === undefined) assert.ok(Math.abs(track[i]! - 0.5) < 1e-6, `${tag} is ${track[i]}`)
  }
})

test('a rare label at the confidence of a common one says more', () => {
  const { track } = hear([{ 'mtt:drums': 0.3, 'mtt:female': 0.3 }])
  assert.ok(confidence(track, 'drumset') > 0.5)
  assert.ok(confidence(track, 'female vocals') > 0.5)
  const [common, rare] = [hear([{ 'mtt:guitar': 0.3 }]), hear([{ 'mtt:synth': 0.3 }])]
  assert.ok(confidence(rare.track, 'synth keyboard') > confidence(common.track, 'guitar'))
})

test('a tag with two clauses needs both: a guitar among electronic sounds is no acoustic guitar', () => {
  const guitar = { 'mtt:guitar': 0.8, 'msd:guitar': 0.5 }
  const acoustic = hear([{ ...guitar, 'msd:acoustic': 0.5, 'msd:folk': 0.5 }]).track
  const electronic = hear([{ ...guitar, 'mtt:electronic': 0.8, 'msd:electronic': 0.8 }]).track
  assert.ok(confidence(acoustic, 'acoustic guitar') > 0.8)
  assert.ok(confidence(electronic, 'guitar') > 0.8)
  assert.ok(confidence(electronic, 'acoustic guitar') < 0.5)
})

test('a segment has its own tags, and the track their mean', () => {
  const { track, segments } = hear([{ 'mtt:drums': 0.9 }, { 'mtt:drums': 0.005 }])
  const index = hearing.tags.findIndex(({ tag }) => tag === 'drumset')
  const [first, second] = [segments[index]!, segments[hearing.tags.length + index]!]
  assert.ok(first > 0.9 && second < 0.1)
  assert.ok(Math.abs(track[index]! - (first + second) / 2) < 1e-6)
})

test('mood follows tempo and mode where the labels say nothing', () => {
  const sad = hear([{}], { bpm: 65, onsetRateHz: 0.3, mode: 'minor' }).track
  const happy = hear([{}], { bpm: 150, onsetRateHz: 6, mode: 'major' }).track
  assert.ok(confidence(sad, 'sad') > 0.8 && confidence(happy, 'sad') < 0.2)
  assert.ok(confidence(happy, 'happy') > 0.6 && confidence(sad, 'happy') < 0.2)
})

test('a row of features holds the embedding, the tags and the descriptors in its columns', () => {
  const { features, segments } = hear([{}, { 'mtt:drums': 0.9 }], { bpm: 150 })
  const layout = musicLayout(EMBEDDING.length, hearing.tags.length)
  assert.deepEqual([features.segments, features.dims], [2, layout.dims])
  const second = features.values.subarray(layout.dims)
  assert.deepEqual([...second.subarray(0, 2)], EMBEDDING)
  assert.deepEqual(
    second.subarray(layout.tags.start, layout.tags.start + layout.tags.size),
    segments.subarray(hearing.tags.length),
  )
  const tempo = second[layout.descriptors.start + MUSIC_DESCRIPTORS.indexOf('tempo')]!
  assert.ok(tempo > 0.9 && tempo < 1)
})

test('labels of 0 and 1 give confidences that are finite', () => {
  const extremes = Object.fromEntries(LABELS.map((label, i) => [label, i % 2]))
  assert.ok(hear([extremes]).features.values.every(Number.isFinite))
})

test('tags below the threshold are left out and the rest is ordered by confidence', () => {
  const { track } = hear([{ 'mtt:drums': 0.9, 'mtt:synth': 0.5 }])
  const tags = confidentTags(hearing, track, 0.6)
  assert.equal(tags[0]!.tag, 'drumset')
  assert.ok(tags.every(({ confidence }) => confidence >= 0.6))
  assert.deepEqual(
    tags,
    tags.toSorted((a, b) => b.confidence - a.confidence),
  )
})

test('the vocabulary has 41 instruments, 20 genres and 28 moods, each once, categories side by side', () => {
  const count = (category: string) => vocabulary.filter((tag) => tag.category === category).length
  assert.deepEqual(CATEGORIES.map(count), [41, 20, 28, 6])
  assert.equal(new Set(vocabulary.map(({ category, tag }) => `${category}/${tag}`)).size, vocabulary.length)
  assert.deepEqual(
    hearing.tags.map(({ category }) => CATEGORIES.indexOf(category)),
    hearing.tags.map(({ category }) => CATEGORIES.indexOf(category)).toSorted((a, b) => a - b),
  )
})

test('every mood has a place on the circumplex, and every tag a phrase', () => {
  for (const { category, tag, circumplex, phrases } of vocabulary) {
    assert.ok(phrases.length > 0, tag)
    assert.equal(circumplex !== undefined, category === 'mood', tag)
    for (const coordinate of circumplex ?? []) assert.ok(Math.abs(coordinate) <= 1, tag)
  }
})
