import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { findClaims } from '../../../processors/describe-music/find-claims.ts'

/** 'piano, not drumset' */
const claims = (text: string) =>
  findClaims(text)
    .map(({ concept, negated }) => (negated ? `not ${concept}` : concept))
    .join(', ')

function all(cases: Readonly<Record<string, string>>): void {
  for (const [text, found] of Object.entries(cases)) assert.equal(claims(text), found, text)
}

describe('finding claims', () => {
  test('a claim says its concept, category, tag, words and place', () => {
    const text = 'A deep-house track with Fiddles.'
    assert.deepEqual(findClaims(text), [
      { concept: 'deep house', category: 'genre', words: 'deep-house', at: 2, negated: false },
      { concept: 'violin', category: 'instrument', tag: 'violin', words: 'Fiddles', at: 24, negated: false },
    ])
  })

  test('case, plurals, hyphens, closed compounds, accents and letter forms are all one', () => {
    all({
      'HIP-HOP, hip hop, hiphop': 'hip hop, hip hop, hip hop',
      'violins, cellos, flutes, timpani, music boxes': 'violin, cello, flute, timpani, music box',
      'bandoneón und bandone\u0301on': 'bandoneon, bandoneon',
      'Bandoneo\u0301n': 'bandoneon',
      Ｐｉａｎｏ: 'piano',
      'the singer’s voice': 'vocals, vocals',
      "drum'n'bass, drum ’n’ bass, rock & roll, rock n' roll":
        'drum and bass, drum and bass, rock and roll, rock and roll',
      'synthesised drums, synthesiser': 'electronic drumset, synth keyboard',
      'pi\u00adano': 'piano',
    })
  })

  test('the words and the place are those of the text, whatever its letters are folded to', () => {
    for (const { at, words } of findClaims('ﬁne “Ｐｉａｎｏ”, ﷺ bandoneo\u0301n, 𝐜𝐞𝐥𝐥𝐨')) {
      assert.equal('ﬁne “Ｐｉａｎｏ”, ﷺ bandoneo\u0301n, 𝐜𝐞𝐥𝐥𝐨'.slice(at, at + words.length), words)
    }
    assert.equal(claims('ﬁne “Ｐｉａｎｏ”, ﷺ bandoneo\u0301n, 𝐜𝐞𝐥𝐥𝐨'), 'piano, bandoneon, cello')
  })

  test('the longest term wins', () => {
    all({
      'double bass and bass clarinet': 'double bass, bass clarinet',
      'bass guitar, bass drum, bass voice': 'electric bass, kick drum, male vocals',
      'a steel drum and a mouth organ': 'steel drums, harmonica',
      'synth strings, string quartet, metal strings': 'synth strings, string quartet',
      'synth-pop with synth pads': 'synth-pop, synth pad',
      'tenor sax, baritone guitar': 'tenor saxophone, baritone guitar',
      'talking drum, talk box, talking': 'talking drum, talk box, spoken word',
      'an Indian flute, a singing bowl': 'bamboo flute, singing bowl',
      'pop rock, folk metal, rap metal': 'pop rock, power metal, nu metal',
      'backing vocals and a lead singer': 'backing vocals, lead vocals',
    })
  })

  test('words do not join over a comma or a stop', () => {
    all({
      'electric, bass': 'bass',
      'It is synth. Pop comes next.': 'synth keyboard, pop',
      'drum (machine)': 'drumset',
      [`drum${' '.repeat(20)}machine`]: 'drumset',
      'drum\nmachine': 'drum machine',
    })
  })

  test('everyday words claim a genre beside music words alone', () => {
    all({
      'a house track': 'house',
      'a house on the hill': '',
      'The genre is house.': 'house',
      'house, techno and trance': 'house, techno, trance',
      'a country song about a foreign country': 'country',
      'rock and country': 'rock, country',
      'folk/country': 'folk, country',
      'a blend of soul and funk': 'soul, funk',
      'a blend of soul in a field': 'soul',
      'soulful, it touches the soul': '',
      'heart and soul': '',
      'latin percussion, latin lyrics': 'latin, percussion, lyrics',
      'a world-class orchestra from around the world': 'orchestra',
      'world music': 'world',
      'dance music that makes you dance': 'dance',
      'ambient music with ambient noise': 'ambient',
      'electronic sounds, an electronic track': 'electronic',
      'metal music with a metal door': 'metal',
      'Country, Metal, Soul': 'country, metal, soul',
      'a trap': '',
      'swing your arms': '',
    })
  })

  test('drum and bass is a genre, drums and bass are instruments', () => {
    all({
      'a drum and bass track': 'drum and bass',
      'drums and bass': 'drumset, bass',
      'guitar, drum and bass': 'guitar, drumset, bass',
      'techno and drum and bass': 'techno, drum and bass',
    })
  })

  test('words of music that mean something else are no claims', () => {
    all({
      'rock-solid playing, a pop of colour': '',
      'minor keys, the key of C, keys': 'keyboard',
      'organic textures on record': '',
      'folks recorded the blue sky': '',
      'bass-heavy sound with boosted bass': 'bass',
      'an electrical hum, a car horn, a train whistle': '',
      'the instrumental part': '',
      'rap opera, soap opera': 'rap, opera',
      'a bell-like tone and a flute like sound': '',
      'birds singing': '',
      'The beat kicks in': '',
      'classic recordings': '',
    })
  })

  test('pronouns and people claim a voice where somebody sings or speaks', () => {
    all({
      'she sings': 'female vocals, vocals',
      'A woman walks by. Somebody sings.': 'vocals',
      'singing about a woman': 'vocals',
      'sung about women': 'vocals',
      'he plays an old and very soft guitar while many people sing': 'guitar, vocals',
      'singing in the garden beside a woman': 'vocals',
      'a man is talking': 'male vocals, spoken word',
      'her voice': 'female vocals, vocals',
      'a duet of two violins': 'violin',
      'a vocal duet': 'duet',
    })
  })

  test('a noun may be shared', () => {
    all({
      'acoustic and electric guitars': 'acoustic guitar, electric guitar',
      'acoustic, electric and bass guitars': 'acoustic guitar, electric guitar, electric bass',
      'string and brass sections': 'strings, brass',
      'male and female vocals': 'male vocals, female vocals',
      'piano and bass guitar': 'piano, electric bass',
    })
  })
})

describe('negation', () => {
  test('what is said to be absent is negated', () => {
    all({
      'no vocals': 'not vocals',
      'without drums': 'not drumset',
      'lacks any guitar': 'not guitar',
      'there are no voices': 'not vocals',
      'not a rock song': 'not rock',
      "isn't a jazz tune": 'not jazz',
      'isn’t a jazz tune': 'not jazz',
      'absence of percussion': 'not percussion',
      'free of vocals': 'not vocals',
      'devoid of any strings': 'not strings',
      'a vocal-free track': 'not vocals',
      'drum-free': 'not drumset',
      'non-vocal music': 'not vocals',
      'nonvocal music': 'not vocals',
      'drumless jazz': 'not drumset, jazz',
      'The drums are absent.': 'not drumset',
      'drums and bass are missing': 'not drumset, not bass',
      'The piano is not present': 'not piano',
      "drums aren't heard": 'not drumset',
      'no one sings': 'not vocals',
      'it does not feature a flute': 'not flute',
      'a drum machine instead of drums': 'drum machine, not drumset',
      'sitar rather than guitar': 'sitar, not guitar',
      'Neither jazz nor blues': 'not jazz, not blues',
    })
  })

  test('a list that or ends is negated whole', () => {
    all({
      'no drums or bass': 'not drumset, not bass',
      'no drums, bass or guitar': 'not drumset, not bass, not guitar',
      'no drums and guitar': 'not drumset, not guitar',
      'without vocals, drums, or a piano': 'not vocals, not drumset, not piano',
    })
  })

  test('a negation ends with its clause', () => {
    all({
      'no drums but a piano': 'not drumset, piano',
      'no voice, only piano': 'not vocals, piano',
      'no voice, piano and flute': 'not vocals, piano, flute',
      'no vocals and soft piano': 'not vocals, piano',
      'no drums and a piano': 'not drumset, piano',
      'no drums with a piano': 'not drumset, piano',
      'no drums. Piano.': 'not drumset, piano',
      'no drums; piano': 'not drumset, piano',
      'no drums (piano)': 'not drumset, piano',
      'no drums - piano': 'not drumset, piano',
      'without drums the piano leads': 'not drumset, piano',
      'not rock but jazz': 'not rock, jazz',
      'no drums except a snare': 'not drumset, snare drum',
      'the voice never overpowers the piano': 'vocals, piano',
      'it does not go on and on, so one can hear all of the old piano': 'piano',
    })
  })

  test('what only looks like a negation negates nothing', () => {
    all({
      'not only guitar but also piano': 'guitar, piano',
      'not just a piano': 'piano',
      'nothing but piano': 'piano',
      'no doubt a jazz tune': 'jazz',
      'never without drums': 'drumset',
      'no lack of drums': 'drumset',
      'non-stop drums': 'drumset',
      'free jazz': 'free jazz',
      'out of a box rather than being sung': 'vocals',
    })
  })

  test('that there is nothing more is no claim', () => {
    all({ 'There are no other instruments.': '', 'piano and no other keyboards': 'piano', 'no additional drums': '' })
  })
})

describe('hostile text', () => {
  const LENGTH = 100_000
  for (const part of [
    'no ',
    'no drums, ',
    'drums and ',
    'house, ',
    'acoustic, ',
    'drums and bass are ',
    "a'",
    '\u0301',
    ' ',
    '-',
  ]) {
    test(`100 KB of ${JSON.stringify(part)} come to an end`, () => {
      const found = findClaims(part.repeat(LENGTH / part.length))
      assert.ok(found.length < LENGTH)
    })
  }

  test('neither nothing nor broken letters are a claim', () => {
    for (const text of ['', '\ud800', '\u0000\u0000', '🎵🎵', '123']) assert.deepEqual(findClaims(text), [], text)
  })
})
