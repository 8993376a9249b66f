import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom, shuffled } from '../../../model/random.ts'
import { vocabulary } from '../../../processors/analyse-music/vocabulary.ts'
import { checkText } from '../../../processors/describe-music/check-text.ts'
import { data2text } from '../../../processors/describe-music/data2text.ts'
import { article, spoken } from '../../../processors/describe-music/grammar.ts'
import {
  TAG_CATEGORIES,
  type TagCategory,
  type TagsByCategory,
} from '../../../processors/describe-music/select-tags.ts'
import { moreSentences, sentences } from '../../../processors/describe-music/sentences.ts'

type Names = Partial<Record<TagCategory, readonly string[]>>

const tagged = (names: Names): TagsByCategory => {
  const of = (category: TagCategory) =>
    (names[category] ?? []).map((tag, i) => ({ category, tag, confidence: 0.9 - i / 100 }))
  return { genre: of('genre'), mood: of('mood'), instrument: of('instrument'), vocals: of('vocals') }
}
const texts = (names: Names, count = 300) =>
  Array.from({ length: count }, (_, seed) => data2text(tagged(names), seededRandom(seed)))
const some = (category: TagCategory, count: number, random: () => number) =>
  shuffled(
    vocabulary.filter((tag) => tag.category === category),
    random,
  )
    .slice(0, count)
    .map(({ tag }) => tag)
const says = (text: string, tag: string) => new RegExp(`(?<![\\p{L}-])${tag}(?![\\p{L}-])`, 'iu').test(text)
const all = (names: Names) => TAG_CATEGORIES.flatMap((category) => names[category] ?? [])

/** Random tag sets of the sizes that confidentTags gives, every seventh of people's. */
const sets = Array.from({ length: 4000 }, (_, seed): Names => {
  const random = seededRandom(`set ${seed}`)
  const most =
    seed % 7 === 0 ? { genre: 9, mood: 12, instrument: 20, vocals: 6 } : { genre: 2, mood: 3, instrument: 4, vocals: 1 }
  const of = (category: TagCategory) => some(category, Math.floor(random() * (most[category] + 1)), random)
  return { genre: of('genre'), mood: of('mood'), instrument: of('instrument'), vocals: of('vocals') }
}).filter((names) => all(names).length > 0)

describe('data2text', () => {
  test('keeps every tag and names no other instrument, genre or voice, by the check that texts of models pass', () => {
    for (const [seed, names] of sets.entries()) {
      const tags = tagged(names)
      const text = data2text(tags, seededRandom(seed))
      for (const tag of all(names)) assert.ok(says(text, tag), `${tag} in: ${text}`)
      // 'instrumental' beside voices contradicts itself, whatever a text says
      if (names.vocals!.includes('instrumental') && names.vocals!.length > 1) continue
      const { invented, faults } = checkText(text, Object.values(tags).flat(), {})
      assert.deepEqual(invented, [], text)
      // twenty tags take more words than a model may use, and some of them again
      const others = faults.filter((fault) => fault !== 'too-long' && fault !== 'repetition')
      assert.deepEqual(others, [], text)
    }
  })

  test('writes whole sentences: capitals, full stops, no gaps, every article by its sound', () => {
    for (const [seed, names] of sets.entries()) {
      const text = data2text(tagged(names), seededRandom(seed))
      assert.match(text, /^[A-Z].*\.$/)
      assert.doesNotMatch(text, /[{}^+:/]|undefined|NaN| {2}|\.\.|,,|, and and| ,|music music|\b(\w+) \1\b/, text)
      for (const sentence of text.split(/(?<=\.) /)) assert.match(sentence, /^[A-Z0-9].*\.$/, text)
      for (const [, an, next] of text.matchAll(/\b(an?) (\p{L}[^.]*)/giu)) {
        assert.equal(an!.toLowerCase(), article(next!), text)
      }
    }
  })

  test('the same seed gives the same text, and the words vary with the seed', () => {
    const names = { genre: ['country', 'rock'], mood: ['happy'], instrument: ['piano', 'drumset'], vocals: ['choir'] }
    assert.deepEqual(texts(names), texts(names))
    assert.ok(new Set(texts(names)).size > 150, `${new Set(texts(names)).size} different texts of 300`)
  })

  test('three facts can stand in one sentence, and every fact in one of its own', () => {
    const counts = texts({ genre: ['jazz'], mood: ['calm'], instrument: ['piano'], vocals: ['choir'] }).map(
      (text) => text.split('. ').length,
    )
    assert.deepEqual([...new Set(counts)].sort(), [1, 2, 3, 4])
  })

  test('there is a choir, there are drums and strings, and never there are a piano and a harp', () => {
    const there = (names: Names) =>
      new Set(texts(names, 600).flatMap((text) => text.match(/There (?:is|are) [^.]*/g) ?? []))
    assert.deepEqual(there({ vocals: ['choir'] }), new Set(['There is a choir']))
    assert.deepEqual(there({ instrument: ['hand drums', 'strings'] }), new Set(['There are hand drums and strings']))
    assert.deepEqual(there({ vocals: ['female vocals'] }), new Set(['There are female vocals']))
    assert.deepEqual(there({ instrument: ['piano', 'harp'] }), new Set())
    assert.deepEqual(there({ instrument: ['brass'] }), new Set(['There is brass']))
  })

  test('verbs agree with what sets the mood', () => {
    const set = (instrument: string[]) =>
      texts({ instrument, mood: ['calm'] }, 600).flatMap((text) => text.match(/.* sets? a calm mood/g) ?? [])
    assert.deepEqual(new Set(set(['harp'])), new Set(['A harp sets a calm mood']))
    assert.deepEqual(new Set(set(['strings'])), new Set(['Strings set a calm mood']))
    assert.deepEqual(
      new Set(set(['harp', 'flute'])),
      new Set(['A harp and a flute set a calm mood', 'Harp and flute set a calm mood']),
    )
  })

  test('music is played on instruments, not on a sampler, claps, an orchestra or voices', () => {
    assert.ok(texts({ instrument: ['piano', 'cello'] }).some((text) => text.includes('played on piano and cello.')))
    for (const one of ['sampler', 'claps', 'orchestra', 'synth pad', 'synth bass', 'drum machine', 'brass', 'beats']) {
      for (const text of texts({ genre: ['pop'], instrument: ['piano', one] })) assert.doesNotMatch(text, /played on/)
    }
    for (const text of texts({ vocals: ['choir'] })) assert.doesNotMatch(text, /played on/)
  })

  test('a genre is called music, or a noun where it is one', () => {
    for (const genre of ['classical', 'electronic', 'dance', 'world', 'new age', 'latin']) {
      for (const text of texts({ genre: [genre] }))
        assert.doesNotMatch(text, new RegExp(`(?:This|It|This (?:track|piece)) is ${genre}\\.`))
    }
    for (const text of texts({ genre: ['world'] })) assert.match(text, /world music/)
    for (const text of texts({ genre: ['world music', 'folk'] }))
      assert.doesNotMatch(text, /music music|music and folk/)
    for (const text of texts({ genre: ['hip hop', 'jazz'] })) assert.match(text, /hip hop and jazz/)
    for (const text of texts({ genre: ['electronic', 'dance'] }))
      assert.doesNotMatch(text, /blend of electronic and dance\./)
  })

  test('an instrumental track is called instrumental, and is no song', () => {
    const names = { genre: ['classical'], mood: ['calm', 'sad'], instrument: ['piano'], vocals: ['instrumental'] }
    for (const text of texts(names)) {
      assert.match(text, /instrumental/i)
      assert.doesNotMatch(text, /(with|has|and|are|features) instrumental|song|vocal|sing/i)
    }
  })

  test('a track that is instrumental and sung is instrumental in part', () => {
    for (const text of texts({ vocals: ['instrumental', 'female vocals'] })) {
      assert.match(text, /[Pp]art.*instrumental|instrumental in (?:part|places)/)
    }
  })

  test('opera is sung', () => {
    for (const text of texts({ vocals: ['opera'] })) assert.match(text, /opera singing/i)
  })

  test('a mood that is no adjective is not what music feels', () => {
    for (const text of texts({ genre: ['pop'], mood: ['summer', 'happy'] })) {
      assert.doesNotMatch(text, /(?:feels|sounds|mood is|music is) [^.]*summer/)
      assert.match(text, /summer/)
    }
    for (const text of texts({ mood: ['slow'] })) assert.doesNotMatch(text, /mood/)
  })

  test('words that are not of the vocabulary get an article only where it is sure to fit', () => {
    const [every] = [texts({ instrument: ['kazoo', 'bongos', 'field noise', 'steel guitar', 'ukulele'] })]
    assert.ok(every.some((text) => /a kazoo, bongos, field noise, a steel guitar and a ukulele/i.test(text)))
    for (const text of every) assert.doesNotMatch(text, /an? (?:bongos|field)|an ukulele/)
  })

  test('acronyms stay as they are written, and other words are lower-cased', () => {
    assert.deepEqual(['R&B', 'UK garage', 'Hip Hop', 'EDM', 'Drumset', 'ROCK AND ROLL'].map(spoken), [
      'R&B',
      'UK garage',
      'hip hop',
      'EDM',
      'drumset',
      'rock and roll',
    ])
  })

  test('an article goes by the sound that follows', () => {
    const an = ['organ', 'energetic', 'uplifting', 'R&B track', '80s track', 'r&b track', 'hour', 'EDM track', 'épic']
    const a = ['ukulele', 'piano', 'UK garage track', 'unique', '90s track', 'hopeful', 'euphonium', 'one-man band']
    for (const phrase of an) assert.equal(article(phrase), 'an', phrase)
    for (const phrase of a) assert.equal(article(phrase), 'a', phrase)
  })

  test('any set of facts has a sentence, first or later, whatever its tags', () => {
    const slots = (text: string) => [...text.matchAll(/\{([^}:]+)/g)].map(([, slot]) => slot!)
    const always = new Set([
      'noun',
      'genre',
      'a genre',
      'genre music',
      'genre name',
      'feel',
      'a feel',
      'sound',
      'sound or over',
    ])
    for (const [name, group] of Object.entries<readonly string[]>(sentences)) {
      const sure = group.filter((text) => slots(text).every((slot) => always.has(slot)))
      assert.ok(
        sure.some((text) => !text.startsWith('+')),
        `${name} has an opening`,
      )
      assert.ok(
        sure.some((text) => !text.startsWith('^')),
        `${name} goes on`,
      )
    }
    for (const [name, group] of Object.entries<readonly string[]>(moreSentences)) {
      assert.ok(
        group.some((text) => slots(text).every((slot) => always.has(slot))),
        name,
      )
    }
    for (const name of ['g', 'm', 'i', 'v', 'n'] as const) assert.ok(sentences[name].length >= 6, name)
  })

  test('a dark track of ambient music is not called dark ambient', () => {
    for (const text of texts({ genre: ['ambient'], mood: ['epic', 'dark'] })) assert.doesNotMatch(text, /dark ambient/i)
    for (const text of texts({ genre: ['ambient'], mood: ['dark'] })) assert.doesNotMatch(text, /dark ambient/i)
    assert.ok(texts({ genre: ['ambient'], mood: ['epic', 'dark'] }).some((text) => /dark, epic ambient/i.test(text)))
  })

  test('no tags give no text', () => {
    assert.equal(data2text(tagged({}), seededRandom(1)), '')
  })
})
