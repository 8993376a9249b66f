import assert from 'node:assert/strict'
import { test } from 'node:test'
import embedded from '../../../models/embedded/musicnn_labels.json' with { type: 'json' }
import { SetupError } from '../../../ports/errors.ts'
import { musicFeatureEncoder } from '../../../processors/analyse-music/feature-encoder.ts'
import { hearingOf, MAPPINGS } from '../../../processors/analyse-music/hearing.ts'
import { hearMusic } from '../../../processors/analyse-music/tagging.ts'
import { CATEGORIES, vocabulary } from '../../../processors/analyse-music/vocabulary.ts'
import { paperLabels } from '../../support/paper-graphs.ts'
import { descriptors } from './descriptors.ts'

const MUSICNN = [...embedded.mtt.map((label) => `mtt:${label}`), ...embedded.msd.map((label) => `msd:${label}`)]
const JAMENDO = Object.keys((MAPPINGS['mtg-jamendo'] as { rates: { byLabel: object } }).rates.byLabel)

const thresholds = { instrument: 0.4, genre: 0.5, mood: 0.6, vocals: 0.7 }
/** A mapping of three labels, without fault. */
const small = {
  kind: 'evidence',
  about: 'a test',
  mayLackLabels: false,
  rates: { byRank: [], byLabel: { lute: 0.1, drum: 0.2, dance: 0.3 } },
  moodLabelWeight: 0.5,
  thresholds,
  calibration: null,
  evidence: {
    instrument: { guitar: [{ lute: 1 }], percussion: [{ drum: 1, lute: -0.5 }] },
    genre: { dance: [{ dance: 1 }, { drum: 1 }] },
    mood: { sad: [{ dance: -1 }] },
    vocals: {},
  },
  places: { dance: [0.4, 0.7] },
}
const SMALL_LABELS = ['drum', 'dance', 'lute', 'noise']
const hear = (value: unknown, labels: readonly string[] = SMALL_LABELS) =>
  hearingOf({ labels, mapping: { origin: 'own.json', value } })

/** Confidences of one segment. */
function confidences(hearing: ReturnType<typeof hearingOf>, row: readonly number[]): ReadonlyMap<string, number> {
  const { track } = hearMusic({
    embeddings: { values: Float32Array.of(0), segments: 1, dims: 1 },
    labels: { values: Float32Array.from(row), segments: 1, dims: row.length },
    hearing,
    descriptors: descriptors({}),
  })
  return new Map(hearing.tags.map(({ tag }, i) => [tag, track[i]!]))
}

const faultsOf = (value: unknown, labels?: readonly string[]): string => {
  try {
    hear(value, labels)
  } catch (error) {
    assert.ok(error instanceof SetupError && error.code === 'bad-mapping', String(error))
    return error.message
  }
  assert.fail('nothing was found wrong with it')
}

test('the mapping of musicnn names only labels that the embedded taggers have, and hears 70 tags', () => {
  const { tags, thresholds } = hearingOf({ labels: MUSICNN, mapping: 'musicnn' })
  assert.equal(tags.length, 70)
  assert.deepEqual(Object.keys(thresholds), [...CATEGORIES])
})

test('the mapping of MTG-Jamendo fits taggers of all its labels, of its split and of some, and hears what they have', () => {
  const all = hearingOf({ labels: JAMENDO, mapping: 'mtg-jamendo' })
  const heard = new Set(all.tags.map(({ tag }) => tag))
  for (const tag of ['saxophone', 'accordion', 'latin', 'reggae', 'ukulele', 'choir']) assert.ok(heard.has(tag), tag)
  for (const tag of ['banjo', 'opera', 'female vocals']) assert.ok(!heard.has(tag), tag)
  const split = JAMENDO.filter(
    (label) => !['instrument---ukulele', 'genre---ska', 'genre---heavymetal'].includes(label),
  )
  const ofSplit = hearingOf({ labels: split, mapping: 'mtg-jamendo' })
  assert.deepEqual(
    all.tags.filter(({ tag }) => !ofSplit.tags.some((other) => other.tag === tag)).map(({ tag }) => tag),
    ['ukulele'],
  )
  const moodsOnly = hearingOf({ labels: ['mood/theme---happy', 'mood/theme---sad'], mapping: 'mtg-jamendo' })
  assert.deepEqual(new Set(moodsOnly.tags.map(({ category }) => category)), new Set(['mood']))
})

test('labels that are words of the vocabulary are its tags, whatever their case and hyphens, and phrases are too', () => {
  const { tags } = hearingOf({ labels: paperLabels, mapping: 'by-name' })
  assert.deepEqual(
    tags.map(({ tag }) => tag),
    vocabulary.filter(({ category }) => category !== 'vocals').map(({ tag }) => tag),
  )
  const phrases = hearingOf({ labels: ['Drum_Kit', 'HORNS', 'kazoo'], mapping: 'by-name' })
  assert.deepEqual(
    phrases.tags.filter(({ evidence }) => evidence.length > 0).map(({ tag, evidence }) => [tag, evidence]),
    [
      ['drumset', [{ Drum_Kit: 1 }]],
      ['brass', [{ HORNS: 1 }]],
    ],
  )
})

test('a tagger by name is taken at its word, but for moods, which are heard too', () => {
  const labels = ['piano', 'techno', 'sad']
  const heard = confidences(hearingOf({ labels, mapping: 'by-name' }), [0.9, 0.2, 0.5])
  assert.ok(Math.abs(heard.get('piano')! - 0.9) < 1e-6)
  assert.ok(Math.abs(heard.get('dance')! - 0.2) < 1e-6)
  const sadder = confidences(hearingOf({ labels, mapping: 'by-name' }), [0.9, 0.2, 0.9])
  assert.ok(sadder.get('sad')! > heard.get('sad')! + 0.1)
})

test('a tag of which a tagger has only the labels that speak against it is not heard', () => {
  const full = ['genre---rock', 'instrument---piano', 'mood/theme---happy', 'mood/theme---sad', 'mood/theme---calm']
  const hearing = (labels: readonly string[]) => hearingOf({ labels, mapping: 'mtg-jamendo' })
  const evidence = (labels: readonly string[], tag: string) =>
    hearing(labels).tags.some((one) => one.tag === tag && one.evidence.length > 0)
  assert.ok(evidence(full, 'sad'))
  assert.ok(!evidence(full.slice(0, 3), 'sad'), 'happy alone says nothing of sad')
})

test('labels by name of which none is a word of the vocabulary are refused', () => {
  assert.throws(() => hearingOf({ labels: ['tag 0', 'tag 1'], mapping: 'by-name' }), { code: 'bad-mapping' })
})

test('a mapping of one’s own weighs evidence by its base rates, and a tag is as certain as its weakest clause', () => {
  const hearing = hear(small)
  const usual = confidences(hearing, [0.2, 0.3, 0.1, 0.9])
  for (const tag of ['guitar', 'percussion', 'dance']) assert.ok(Math.abs(usual.get(tag)! - 0.5) < 1e-6, tag)
  const heard = confidences(hearing, [0.05, 0.9, 0.5, 0])
  assert.ok(Math.abs(heard.get('guitar')! - 0.9) < 1e-6) // odds of 1 against 1 to 9
  assert.ok(heard.get('dance')! < 0.5, 'there is no drum')
  assert.deepEqual(hearing.thresholds, thresholds)
})

test('every fault of a mapping is told at once, with its path', () => {
  const broken = JSON.parse(JSON.stringify(small))
  broken.evidence.instrument = { lute: [{ lute: 1 }], guitar: [{ lutes: 1, noise: 1, drum: Number.POSITIVE_INFINITY }] }
  broken.evidence.genre.dance = []
  broken.evidence.mood.sad = [{ dance: 0 }]
  broken.rates.byLabel = { lute: 0, drum: 1.5, dance: 0.3, kazoo: 0.1 }
  broken.places.dance = [0.4, 2]
  broken.thresholds.mood = 1
  delete broken.thresholds.vocals
  broken.extra = true
  const told = faultsOf(broken)
  for (const fault of [
    /own\.json/,
    /evidence\.instrument\.lute: is no instrument of the vocabulary/,
    /evidence\.instrument\.guitar\.0\.lutes: the tagger has no such label/,
    /evidence\.instrument\.guitar\.0\.noise: has no base rate/,
    /evidence\.instrument\.guitar\.0\.drum: /,
    /evidence\.genre\.dance: /,
    /evidence\.mood\.sad\.0: has no label that weighs anything/,
    /rates\.byLabel\.lute: must lie between 0 and 1/,
    /rates\.byLabel\.drum: must lie between 0 and 1/,
    /rates\.byLabel\.kazoo: the tagger has no such label/,
    /places\.dance\.1: /,
    /thresholds\.mood: must lie between 0 and 1/,
    /thresholds\.vocals: /,
    /extra: is not known here/,
  ]) {
    assert.match(told, fault)
  }
})

test('a mapping that is none, or one for another tagger, is refused', () => {
  assert.match(faultsOf(null), /own\.json/)
  assert.match(faultsOf({ kind: 'by-name' }), /rate: [\s\S]*|thresholds/)
  const ranked = {
    ...small,
    rates: { byRank: [{ prefix: 'x:', head: 0.2, exponent: 1, source: '' }], byLabel: small.rates.byLabel },
  }
  assert.match(faultsOf(ranked), /rates\.byRank\.0\.prefix: no label of the tagger begins with "x:"/)
  assert.match(
    faultsOf({ ...small, mayLackLabels: true }, ['oboe']),
    /rates\.byLabel: the tagger has none of these labels/,
  )
  assert.throws(() => hearingOf({ labels: ['x'], mapping: 'discogs' }), { code: 'unknown-mapping' })
})

test('the encoder’s identity changes with evidence, rates and the vocabulary’s tags, and not with thresholds', () => {
  const id = (value: unknown) => musicFeatureEncoder({ id: 'own@1', sha256: 'a' }, hear(value))
  const before = id(small)
  assert.match(before.id, /^own@1\+hearing@\d+\+[0-9a-f]{8}$/)
  const others = [
    { ...small, moodLabelWeight: 0.4 },
    { ...small, rates: { byRank: [], byLabel: { ...small.rates.byLabel, lute: 0.11 } } },
    { ...small, places: {} },
    { ...small, evidence: { ...small.evidence, instrument: { guitar: [{ lute: 1 }] } } },
  ].map(id)
  assert.equal(new Set([before, ...others].map((one) => one.id)).size, 5)
  assert.equal(new Set([before, ...others].map(({ sha256 }) => sha256)).size, 5)
  assert.deepEqual(id({ ...small, thresholds: { ...thresholds, mood: 0.3 }, calibration: 'anew' }), before)
})
