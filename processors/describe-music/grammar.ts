/**
 * How the words of tags behave in an English sentence: number and article of instruments and voices, which genres are
 * nouns, which moods are adjectives. The vocabulary's words and others that taggers and people use are in the tables; what
 * is not is judged by its ending, and gets a form that fits any word.
 */

export interface NounForm {
  /** count: 'a piano'; mass: 'percussion'; plural: 'strings'. */
  readonly number: 'count' | 'mass' | 'plural'
  /** It may go without its article: 'played on piano', but 'on a drumset'. */
  readonly bare: boolean
  /** One says that music is played on it. */
  readonly played: boolean
}

const words = (list: string): ReadonlySet<string> => new Set(list.split(/,\s*/))

/** Countable, played, and used without an article too. */
const PLAYED =
  words(`accordion, banjo, bass, bassoon, bouzouki, cello, clarinet, clavichord, clavinet, concertina, cornet,
didgeridoo, dulcimer, euphonium, fiddle, flugelhorn, flute, glockenspiel, guitar, harmonica, harmonium, harp,
harpsichord, horn, kalimba, kazoo, keyboard, koto, lute, lyre, mandolin, marimba, melodica, oboe, organ, oud, piano,
piccolo, recorder, rhodes, sax, saxophone, sitar, theremin, trombone, trumpet, tuba, ukulele, vibraphone, viola, violin,
whistle, xylophone, zither`)
/** Countable and played, with an article. */
const PLAYED_WITH_ARTICLE = words('cajon, djembe, drum, drumset, drum kit, synth, synthesizer, tabla, tambourine')
const PLAYED_PLURALS = words('bagpipes, bongos, congas, drums, timpani')
/** Countable, with an article, and nothing that music is played on. */
const WITH_ARTICLE =
  words(`band, beat, bell, choir, chorus, crowd, drum machine, duet, duo, ensemble, lead, loop, machine,
orchestra, pad, quartet, sample, sampler, section, sequencer, shaker, singer, soprano, synth bass, sub bass, tenor, trio,
turntable, vocal, vocalist, vocoder, voice`)
const MASSES = words('brass, percussion, noise, feedback, distortion, falsetto, rap, speech, spoken word')

/** @returns the form of an instrument or a voice: of the name as a whole, else of its last word. */
export function nounForm(name: string): NounForm {
  const last = lastWord(name)
  const known = tabled(name) ?? tabled(last)
  if (known !== undefined) return known
  if (/[^siu]s$/.test(last)) return { number: 'plural', bare: true, played: false }
  return { number: 'mass', bare: true, played: false }
}

function tabled(name: string): NounForm | undefined {
  if (WITH_ARTICLE.has(name)) return { number: 'count', bare: false, played: false }
  if (MASSES.has(name)) return { number: 'mass', bare: true, played: false }
  if (PLAYED.has(name)) return { number: 'count', bare: true, played: true }
  if (PLAYED_WITH_ARTICLE.has(name)) return { number: 'count', bare: false, played: true }
  if (PLAYED_PLURALS.has(name)) return { number: 'plural', bare: true, played: true }
  return undefined
}

const VOICES: Readonly<Record<string, string>> = {
  opera: 'opera singing',
  operatic: 'operatic singing',
  female: 'female vocals',
  male: 'male vocals',
}

/** How a kind of vocals is said where its tag alone would be no voice. */
export function voiceName(name: string): string {
  return Object.hasOwn(VOICES, name) ? VOICES[name]! : name
}

/** Nouns: 'this is a blend of jazz and funk'. */
const GENRE_NOUNS = words(`bluegrass, blues, breakbeat, country, disco, drum and bass, dub, dubstep, edm, electronica,
flamenco, folk, funk, garage, gospel, grime, grunge, hardcore, hip hop, hip-hop, idm, jazz, metal, pop, punk, r&b, ragtime,
rap, reggae, reggaeton, rnb, rock, salsa, samba, ska, soul, swing, tango, techno, trip hop, trip-hop`)
/** 'The genre is …' needs no more than the word. */
const GENRE_NAMES =
  words(`acoustic, alternative, ambient, baroque, bossa nova, celtic, classical, electronic, experimental,
indie, latin, new age, trance`)
/** Music of these is rather a piece than a track. */
const PIECES = words('ambient, baroque, celtic, chamber, classical, folk, jazz, latin, new age, world')

/** 'jazz', 'indie rock' and 'synth-pop', not 'electronic'. */
export function isGenreNoun(name: string): boolean {
  const lower = name.toLowerCase()
  return GENRE_NOUNS.has(lower) || GENRE_NOUNS.has(lastWord(lower))
}

/** 'The genre is classical', not 'the genre is dance'. */
export function isGenreName(name: string): boolean {
  return isGenreNoun(name) || GENRE_NAMES.has(name)
}

export function isPiece(genre: string): boolean {
  return PIECES.has(genre)
}

const ADJECTIVES = words(`aggressive, angry, anxious, atmospheric, bittersweet, bouncy, bright, calm, catchy, chaotic,
cheerful, chill, chilled, cold, cool, dark, deep, delicate, dramatic, driving, dreamy, dynamic, eerie, energetic, epic,
ethereal, exciting, fast, feel-good, frantic, funky, funny, furious, gentle, gloomy, groovy, happy, hard, haunting, heavy,
hopeful, hypnotic, inspiring, intense, intimate, joyful, laid back, laid-back, light, lively, loud, meditative,
melancholic, mellow, melodic, moody, mysterious, nostalgic, ominous, optimistic, passionate, peaceful, playful, positive,
powerful, quiet, quirky, raw, reflective, relaxed, relaxing, retro, romantic, rough, sad, scary, sensual, sentimental,
serene, serious, sexy, slow, smooth, soft, solemn, somber, sombre, soothing, spiritual, spooky, strange, strong, sunny,
suspenseful, sweet, tender, tense, tranquil, upbeat, uplifting, warm, weird, whimsical, wistful`)
const NOUNS_IN_ING = words('evening, morning, spring, string, swing, wedding')
/** Of the pace or the loudness: music is slow, its mood is not. */
const PACES = words('fast, loud, quiet, slow, soft, upbeat')

/** Genres of their own: a track that is dark and ambient need not be dark ambient. */
const GENRES_WITH_MOODS = words('dark ambient, dark wave, happy hardcore, slow blues, uplifting trance')

/** @returns moods before a genre, in an order that makes no other genre of them; undefined where there is none. */
export function moodsBefore(genre: string, moods: readonly string[]): readonly string[] | undefined {
  const isApart = (mood: string) => !GENRES_WITH_MOODS.has(`${mood} ${/^\S+/.exec(genre)?.[0]}`)
  const last = moods.findLastIndex(isApart)
  return last < 0 ? undefined : [...moods.filter((_, i) => i !== last), moods[last]!]
}

/** 'It feels calm', but 'it has a summer feel'. */
export function isAdjective(mood: string): boolean {
  if (ADJECTIVES.has(mood)) return true
  return !NOUNS_IN_ING.has(mood) && /^[^ ]+(?:able|ible|ful|ous|ive|ing|less|ish|ed)$/.test(mood)
}

export function isPace(mood: string): boolean {
  return PACES.has(mood)
}

/** @returns 'a' or 'an', by the sound that follows. */
export function article(phrase: string): 'a' | 'an' {
  if (/^(?!rnb)[b-df-gj-np-tv-z][a-z]/.test(phrase)) return 'a'
  const word = /^[^\s,]+/.exec(phrase)?.[0] ?? ''
  // letters that are spelled: 'an R&B track', 'a UK garage track'
  if (/^(?:\p{Lu}[\p{Lu}\p{N}&]*|\p{L}&\p{L}|rnb|edm|idm)$/u.test(word))
    return /^[aefhilmnorsx]/i.test(word) ? 'an' : 'a'
  if (/^\d/.test(word)) return /^(?:8|11(?!\d)|18(?!\d))/.test(word) ? 'an' : 'a'
  if (/^(?:uk|uni|use|usu|ubi|uto|eu|one\b|once)/i.test(word)) return 'a'
  return /^(?:[aeiouàáâäåèéêëìíîïòóôöùúûü]|hon|hour|heir)/i.test(word) ? 'an' : 'a'
}

/** 'a, b and c'; a name with an 'and' of its own stands last: 'jazz and drum and bass'. */
export function joined(names: readonly string[]): string {
  if (names.length < 2) return names[0] ?? ''
  const isPair = (name: string) => / (?:and|&) /.test(name)
  const ordered = [...names.filter((name) => !isPair(name)), ...names.filter(isPair)]
  return `${ordered.slice(0, -1).join(', ')} and ${ordered.at(-1)}`
}

/** Tags are common nouns and adjectives in running text; acronyms stay: 'R&B', 'UK garage'. */
export function spoken(tag: string): string {
  const lower = tag.toLowerCase()
  if (lower === tag) return tag
  const shouted = tag === tag.toUpperCase()
  return tag
    .split(' ')
    .map((word) => (/^[\p{Lu}\p{N}&]{2,5}$/u.test(word) && (!shouted || tag.length <= 5) ? word : word.toLowerCase()))
    .join(' ')
}

export function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function lastWord(name: string): string {
  return /[^\s/-]+$/.exec(name)?.[0] ?? name
}
