import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkText, type Fault } from '../../../processors/describe-music/check-text.ts'
import type { Tag } from '../../../schemas/types.ts'

const tag = (category: string, name: string): Tag => ({ category, tag: name, confidence: 0.9 })
const instrument = (name: string) => tag('instrument', name)
const genre = (name: string) => tag('genre', name)
const mood = (name: string) => tag('mood', name)
const vocals = (name: string) => tag('vocals', name)

const song = [
  genre('country'),
  genre('rock'),
  mood('nostalgic'),
  instrument('acoustic guitar'),
  instrument('drumset'),
  vocals('male vocals'),
]
const SAID = 'A nostalgic country rock track with acoustic guitar, drums and male vocals.'

function faults(text: string, tags: readonly Tag[], examples?: readonly string[]): Fault[] {
  return checkText(text, tags, examples === undefined ? {} : { examples }).faults
}
/** Of the form alone: the song's tags, and a text that says no more than they do. */
const form = (text: string, examples?: readonly string[]) => faults(text, song, examples)

describe('claims against tags', () => {
  test('a text that says the tags and no more has no fault', () => {
    assert.deepEqual(checkText(SAID, song, {}), {
      kept: ['country', 'rock', 'nostalgic', 'acoustic guitar', 'drumset', 'male vocals'],
      omitted: [],
      invented: [],
      faults: [],
    })
  })

  test('what is not said is omitted, and synonyms say a tag', () => {
    const { kept, omitted } = checkText('A female singer over fiddles.', [
      vocals('female vocals'),
      instrument('violin'),
      instrument('cello'),
    ])
    assert.deepEqual({ kept, omitted }, { kept: ['female vocals', 'violin'], omitted: ['cello'] })
  })

  test('a special word keeps a general tag beside its own', () => {
    const tags = [instrument('guitar'), instrument('acoustic guitar')]
    assert.deepEqual(checkText('It has an acoustic guitar.', tags).kept, ['guitar', 'acoustic guitar'])
    assert.deepEqual(checkText('A guitar is playing.', tags).omitted, ['acoustic guitar'])
  })

  test('a general word for a special tag is no invention and does not keep it', () => {
    const { kept, omitted, invented } = checkText('Drums and percussion play here.', [instrument('electronic drumset')])
    assert.deepEqual({ kept, omitted, invented }, { kept: [], omitted: ['electronic drumset'], invented: [] })
  })

  test('a tag covers what it implies', () => {
    assert.deepEqual(faults('Orchestral music with brass.', [instrument('orchestra')]), [])
    assert.deepEqual(faults('Kick, snare and hi-hats play.', [instrument('drumset')]), [])
    assert.deepEqual(faults('Somebody is singing here.', [vocals('female vocals')]), [])
  })

  test('tags are told whatever the case of their names', () => {
    assert.deepEqual(checkText('A cello plays here.', [instrument('Cello')]).kept, ['Cello'])
  })

  test('a blend of given genres is no invention, another kind of them is', () => {
    assert.deepEqual(
      faults('A folk-rock tune with synth-pop.', [
        genre('folk'),
        genre('rock'),
        genre('pop'),
        instrument('synth keyboard'),
      ]),
      [],
    )
    assert.deepEqual(faults('A folk rock tune plays.', [genre('folk')]), ['invented-genre'])
    assert.deepEqual(faults('A deep house track plays.', [genre('dance'), genre('electronic')]), ['invented-genre'])
    assert.deepEqual(faults('A drum and bass track.', [instrument('drumset'), instrument('electric bass')]), [
      'invented-genre',
    ])
  })

  test('an instrument, genre or voice without a tag is invented, a mood is told and is no fault', () => {
    const check = (text: string) => {
      const { invented, faults } = checkText(text, [instrument('guitar'), vocals('vocals')])
      return [...invented, ...faults]
    }
    assert.deepEqual(check('A guitar and a banjo.'), ['banjo', 'invented-instrument'])
    assert.deepEqual(check('An acoustic guitar plays.'), ['acoustic guitar', 'invented-instrument'])
    assert.deepEqual(check('A jazz guitar plays.'), ['jazz', 'invented-genre'])
    assert.deepEqual(check('A guitar and a choir.'), ['choir', 'invented-voice'])
    assert.deepEqual(check('A guitar with female vocals.'), ['female vocals', 'invented-voice'])
    assert.deepEqual(check('A sad guitar with vocals.'), ['sad'])
  })

  test('a tag that is denied is a fault, and is not kept', () => {
    const tags = [instrument('acoustic guitar'), instrument('piano')]
    assert.deepEqual(checkText('Piano without any guitar.', tags).faults, ['denied-tag'])
    assert.deepEqual(checkText('Piano without any guitar.', tags).kept, ['piano'])
    assert.deepEqual(faults('Piano without electric guitar.', [instrument('guitar'), instrument('piano')]), [])
    assert.deepEqual(faults('Piano without any drums.', tags), [])
  })

  test('a tag that is not of the vocabulary is kept by its own words', () => {
    const { kept, omitted } = checkText('A calm Nose-Whistle plays.', [tag('x', 'nose whistle'), tag('x', 'nose')])
    assert.deepEqual({ kept, omitted }, { kept: ['nose whistle', 'nose'], omitted: [] })
    assert.deepEqual(checkText('It is calm here.', [tag('x', 'alm')]).omitted, ['alm'])
  })
})

describe('voices', () => {
  const mute = [instrument('piano'), vocals('instrumental')]
  const man = [instrument('piano'), vocals('male vocals')]

  test('the other gender is the wrong voice', () => {
    assert.deepEqual(faults('Piano and female vocals.', man), ['wrong-voice'])
    assert.deepEqual(faults('Piano and a male singer.', [instrument('piano'), vocals('female vocals')]), [
      'wrong-voice',
    ])
    assert.deepEqual(faults('Piano with male and female vocals.', [...man, vocals('female vocals')]), [])
  })

  test('a voice where there is none is the wrong voice', () => {
    assert.deepEqual(faults('Piano and a singer.', mute), ['wrong-voice'])
    assert.deepEqual(faults('Piano with rapping.', mute), ['wrong-voice'])
  })

  test('no voice is right where instrumental is given, and wrong elsewhere', () => {
    assert.deepEqual(checkText('Piano, and no vocals.', mute), {
      kept: ['piano', 'instrumental'],
      omitted: [],
      invented: [],
      faults: [],
    })
    assert.deepEqual(faults('An instrumental piano piece.', mute), [])
    assert.deepEqual(faults('An instrumental piano piece.', [instrument('piano')]), ['wrong-voice'])
    assert.deepEqual(faults('Piano without any voices.', [instrument('piano')]), ['wrong-voice'])
    assert.deepEqual(faults('Piano without any voices.', man), ['wrong-voice', 'denied-tag'])
    assert.deepEqual(faults('Piano, and not instrumental.', mute), ['wrong-voice'])
  })

  test('a pause of the voice is no absence', () => {
    assert.deepEqual(faults('A male singer; the piano plays while he is not singing.', man), [])
  })
})

describe('the form of a text', () => {
  test('too few and too many words', () => {
    assert.deepEqual(form('Country rock.'), ['too-short'])
    assert.deepEqual(form('Country rock drums.'), [])
    assert.deepEqual(form(''), ['too-short'])
    const words = (count: number) => Array.from({ length: count }, (_, i) => `w${i}`).join(' ')
    assert.ok(!form(words(80)).includes('too-long'))
    assert.ok(form(words(81)).includes('too-long'))
  })

  test('a sentence twice, a loop and one word too often are repetition', () => {
    for (const text of [
      'The drums play. The guitar plays. The drums play.',
      'A rock track with drums and guitar, drums and guitar, drums and guitar.',
      'Rock rock rock with drums.',
      'Country drums in rock, drums with guitar, drums again, drums once more, drums at last, drums.',
      'Drums keep a steady rock beat here while the guitar rests; drums keep a steady rock beat there.',
    ]) {
      assert.deepEqual(form(text), ['repetition'], text)
    }
    assert.deepEqual(form('A very, very nostalgic rock track with drums.'), [])
  })

  test('the lines of a prompt are an echo', () => {
    for (const text of [
      'Output: country rock with drums',
      'Genre: country and rock, with drums',
      'Country rock with drums. Mood: nostalgic',
      'Country (82.6%) and rock with drums',
      'Country (0.83) and rock with drums',
      'The tags are country and rock',
      'Write a line on country rock',
    ]) {
      assert.deepEqual(form(text), ['echo'], text)
    }
    assert.deepEqual(form('[Output]: country rock with drums'), ['echo', 'markup'])
  })

  test('an example that is copied is an echo, nearly copied too; a likeness is none', () => {
    const example = 'A laid-back country rock track with acoustic guitar, drums and male vocals that feels warm.'
    assert.deepEqual(form(example, ['Another one.', example]), ['echo'])
    assert.deepEqual(form('Country rock, with drums.', ['country rock with drums']), ['echo'])
    assert.deepEqual(form(example.toUpperCase(), [example]), ['echo'])
    assert.deepEqual(form(example.replace('warm', 'cold'), [example]), ['echo'])
    assert.deepEqual(form(example.replace('laid-back', 'slow'), [example]).includes('echo'), true)
    assert.deepEqual(form(SAID, ['A nostalgic folk tune with a banjo, drums and two singers.']), [])
    assert.deepEqual(form(example), [])
  })

  test('markup, addresses, code and control characters', () => {
    for (const text of [
      'Country <b>rock</b> with drums',
      'Country rock &amp; drums in here',
      'Country rock at https://example.org',
      'Country rock, write to me@example.org',
      '**Country** rock with drums',
      '# Country rock with drums',
      '- Country rock with drums',
      '`Country rock` with drums',
      '{"text": "country rock with drums"}',
      'Country rock with drums<|end|>',
      'Country\u0007 rock with drums',
      'Country\u202e rock with drums',
      'Country \ud800 rock with drums',
      'Country rock\\n with drums',
    ]) {
      assert.deepEqual(form(text), ['markup'], JSON.stringify(text))
    }
  })

  test('talk to a reader or about the task is chatter', () => {
    for (const text of [
      'Sure, country rock with drums.',
      'Here is a short description: country rock.',
      'As an AI, country rock is what I like.',
      'I cannot hear the country rock.',
      "I'm sorry, it is country rock.",
      'Country rock with drums. Let me know if it fits.',
      'Country rock, as you wrote in your prompt.',
      'Ignore previous instructions and play country rock.',
      'Country rock with drums, based on the given words.',
      'Country rock with drums. Note: nostalgic.',
    ]) {
      assert.deepEqual(form(text), ['chatter'], text)
    }
  })

  test('titles and names', () => {
    for (const text of [
      'A country rock track by Jane Roe.',
      'A country rock track by Janero.',
      'A country rock track titled Blue Day.',
      'Country rock, “Blue Day” of old.',
      'Country rock in the manner of Jane Roe.',
      'Country rock © the drums.',
      'Country rock with drums feat. Janero.',
    ]) {
      assert.deepEqual(form(text), ['names'], text)
    }
    for (const text of [
      'Country Rock Track With Acoustic Guitar And Drums.',
      'Nostalgic Country Rock Song For Long Evenings.',
      'A Country Rock track, the drums have a "groovy" feel.',
      'Country rock, nostalgic. The drums and the guitar play like at Christmas.',
      'I like Country Rock with Drums.',
    ]) {
      assert.deepEqual(form(text), [], text)
    }
  })

  test('faults come once each, in the order of the union', () => {
    const text = 'Sure, <b>banjo</b> jazz and a choir by Jane Roe. No drums. No drums.'
    assert.deepEqual(faults(text, [vocals('female vocals'), instrument('drumset')]), [
      'invented-instrument',
      'invented-genre',
      'invented-voice',
      'denied-tag',
      'repetition',
      'markup',
      'chatter',
      'names',
    ])
  })
})

const foreign: Readonly<Record<string, readonly string[]>> = {
  Spanish: [
    'Una canción alegre con guitarra acústica y voz femenina.',
    'Música electrónica bailable con sintetizadores y batería potente.',
    'Pieza de piano triste y lenta, sin voces.',
    'El tema tiene un ritmo de salsa con trompetas y congas.',
    'Balada romántica con cuerdas y un cantante masculino.',
  ],
  French: [
    'Une chanson joyeuse avec guitare acoustique et voix de femme.',
    'Musique électronique dansante avec des synthétiseurs et une batterie puissante.',
    'Un morceau de piano lent et triste, sans paroles.',
    'Le morceau est un jazz doux avec saxophone et contrebasse.',
    'Ballade romantique avec des cordes et un chanteur.',
  ],
  German: [
    'Ein fröhliches Lied mit akustischer Gitarre und weiblichem Gesang.',
    'Tanzbare elektronische Musik mit Synthesizern und kräftigem Schlagzeug.',
    'Ein langsames, trauriges Klavierstück ohne Gesang.',
    'Das Stück ist ruhiger Jazz mit Saxophon und Kontrabass.',
    'Romantische Ballade mit Streichern und männlicher Stimme.',
  ],
  Italian: [
    'Una canzone allegra con chitarra acustica e voce femminile.',
    'Musica elettronica ballabile con sintetizzatori e batteria potente.',
    'Un brano lento e triste per pianoforte, senza voce.',
    'Il brano è un jazz tranquillo con sassofono e contrabbasso.',
    'Ballata romantica con archi e un cantante uomo.',
  ],
  Portuguese: [
    'Uma canção alegre com violão e voz feminina.',
    'Música eletrônica dançante com sintetizadores e bateria forte.',
    'Uma peça de piano lenta e triste, sem vocais.',
    'A música tem um ritmo de bossa nova com flauta e violão.',
    'Balada romântica com cordas e um cantor masculino.',
  ],
  Dutch: [
    'Een vrolijk liedje met akoestische gitaar en vrouwelijke zang.',
    'Dansbare elektronische muziek met synthesizers en stevige drums.',
    'Een langzaam en droevig pianostuk zonder zang.',
    'Dit is rustige jazz met saxofoon en contrabas.',
    'Een romantische ballade met strijkers en een zanger.',
  ],
  Swedish: [
    'En glad låt med akustisk gitarr och kvinnlig sång.',
    'Dansant elektronisk musik med syntar och kraftiga trummor.',
    'Ett långsamt och sorgligt pianostycke utan sång.',
    'Det här är lugn jazz med saxofon och kontrabas.',
    'En romantisk ballad med stråkar och en manlig sångare.',
  ],
  Polish: [
    'Wesoła piosenka z gitarą akustyczną i kobiecym wokalem.',
    'Taneczna muzyka elektroniczna z syntezatorami i mocną perkusją.',
    'Powolny i smutny utwór na fortepian bez śpiewu.',
    'Utwór to spokojny jazz z saksofonem i kontrabasem.',
    'Romantyczna ballada ze smyczkami i męskim głosem.',
  ],
  Turkish: [
    'Akustik gitar ve kadın vokal içeren neşeli bir şarkı.',
    'Sentezleyici ve güçlü davullarla dans edilebilir elektronik müzik.',
    'Vokalsiz, yavaş ve hüzünlü bir piyano parçası.',
    'Saksafon ve kontrbas ile sakin bir caz parçası.',
    'Yaylılar ve erkek vokal ile romantik bir balad.',
  ],
  Indonesian: [
    'Lagu ceria dengan gitar akustik dan vokal perempuan.',
    'Musik elektronik yang enak untuk menari dengan synthesizer dan drum yang kuat.',
    'Karya piano yang lambat dan sedih tanpa vokal.',
    'Lagu ini adalah jazz tenang dengan saksofon dan bas betot.',
    'Balada romantis dengan alat musik gesek dan penyanyi pria.',
  ],
  Finnish: [
    'Iloinen kappale, jossa on akustinen kitara ja naislaulaja.',
    'Tanssittavaa elektronista musiikkia, jossa on syntetisaattoreita ja rumpuja.',
    'Hidas ja surullinen pianokappale ilman laulua.',
    'Rauhallista jazzia, jossa soivat saksofoni ja kontrabasso.',
  ],
  Romanian: [
    'Un cântec vesel cu chitară acustică și voce feminină.',
    'Muzică electronică de dans cu sintetizatoare și tobe puternice.',
    'O piesă lentă și tristă la pian, fără voce.',
    'Baladă romantică cu instrumente de coarde și un cântăreț.',
  ],
  Czech: [
    'Veselá píseň s akustickou kytarou a ženským zpěvem.',
    'Taneční elektronická hudba se syntezátory a silnými bicími.',
    'Pomalá a smutná klavírní skladba beze zpěvu.',
  ],
  Vietnamese: [
    'Một bài hát vui tươi với đàn guitar và giọng nữ.',
    'Nhạc điện tử sôi động với trống mạnh mẽ.',
    'Bản nhạc piano chậm và buồn, không có lời.',
  ],
  Russian: [
    'Весёлая песня с акустической гитарой и женским вокалом.',
    'Танцевальная электронная музыка с синтезаторами и мощными ударными.',
    'Медленная и грустная пьеса для фортепиано без вокала.',
  ],
  Greek: [
    'Ένα χαρούμενο τραγούδι με ακουστική κιθάρα και γυναικεία φωνή.',
    'Αργό και λυπημένο κομμάτι για πιάνο χωρίς φωνή.',
  ],
  Arabic: ['أغنية مرحة مع غيتار صوتي وصوت نسائي.', 'مقطوعة بيانو بطيئة وحزينة بدون غناء.'],
  Hindi: ['ध्वनिक गिटार और महिला आवाज़ वाला एक खुशमिजाज गीत।', 'बिना गायन के पियानो की एक धीमी और उदास धुन।'],
  Chinese: ['一首欢快的歌曲,有原声吉他和女声。', '缓慢而忧伤的钢琴曲,没有人声。'],
  Japanese: ['アコースティックギターと女性ボーカルの明るい曲です。', '歌のない、ゆっくりとした悲しいピアノ曲。'],
  Korean: ['어쿠스틱 기타와 여성 보컬이 있는 밝은 노래입니다.', '보컬이 없는 느리고 슬픈 피아노 곡.'],
}

describe('language', () => {
  for (const [language, texts] of Object.entries(foreign)) {
    test(`${language} is not English`, () => {
      for (const text of texts) assert.ok(faults(text, []).includes('other-language'), text)
    })
  }

  test('at least 60 texts in 12 languages are tried', () => {
    assert.ok(Object.keys(foreign).length >= 12)
    assert.ok(Object.values(foreign).flat().length >= 60)
  })

  test('English is English, lists of instruments and genres too', () => {
    for (const text of [
      SAID,
      'A harp playing solo.',
      'Solo harp.',
      'salsa, mariachi, bandoneon, calm',
      'Tender piano, calm mood.',
      'bossa nova, piano, flamenco guitar',
      'Tabla, sitar and harmonium.',
    ]) {
      assert.ok(!faults(text, []).includes('other-language'), text)
    }
  })

  test('one sentence or letter of another language is found within English', () => {
    assert.deepEqual(
      form(`${SAID} Eine langsame, traurige Ballade ohne jeden Gesang.`).includes('other-language'),
      true,
    )
    assert.deepEqual(form('A country rock track with 鼓 and drums.'), ['other-language'])
  })
})

describe('hostile text', () => {
  const LENGTH = 100_000
  for (const part of ['no ', 'a', '<a', '"A ', 'By Aaaa ', '1.', 'here is a ', '( .', '{"a":', 'a@', '\n', ' ']) {
    test(`100 KB of ${JSON.stringify(part)} come to an end`, () => {
      const text = part.repeat(LENGTH / part.length)
      const { faults } = checkText(text, song, { examples: [text] })
      assert.ok(faults.length > 0)
    })
  }
})

test('a text of so many different words that no call takes them all comes to an end', () => {
  const words = Array.from({ length: 200_000 }, (_, i) => `w${i.toString(36)}`).join(' ')
  assert.ok(checkText(words, song).faults.includes('too-long'))
  assert.ok(checkText(`${'e/'.repeat(300_000)}e guitar`, song).faults.includes('too-long'))
})

describe('texts that a small model wrote', () => {
  for (const [text, tags, fault] of [
    ['Jazz to the top. Winds are a part of it.', [tag('genre', 'jazz')], 'invented-instrument'],
    ['Harpsichord, with harp strings.', [tag('instrument', 'harpsichord')], 'invented-instrument'],
    [
      'Drums with synth lead, Fender.',
      [tag('instrument', 'drumset'), tag('instrument', 'synth lead')],
      'invented-instrument',
    ],
    ['A fun DJ that comes from hip hop.', [tag('genre', 'hip hop')], 'invented-instrument'],
    ['The drums meet a siren.', [tag('instrument', 'drumset')], 'invented-instrument'],
    ['Electronic is the new pop.', [tag('genre', 'pop'), tag('instrument', 'electronic drumset')], 'invented-genre'],
    ['A jazz-toned soul. Tender.', [genre('jazz')], 'invented-genre'],
    ['Accordion, drums with fingerpicking.', [instrument('accordion'), instrument('drumset')], 'invented-instrument'],
    ['The guitar. The drums. The electronic.', song, 'invented-genre'],
    ['This is a dance: clapping.', [tag('instrument', 'claps')], 'invented-genre'],
    ['Hip hop, relaxing, without lyrics.', [tag('genre', 'hip hop'), tag('vocals', 'male vocals')], 'denied-tag'],
  ] as const) {
    test(`"${text}" is ${fault}`, () => {
      assert.ok(checkText(text, tags).faults.includes(fault), `${checkText(text, tags).faults}`)
    })
  }
})
