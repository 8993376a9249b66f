/**
 * Tags to text with no training (method II of McKee et al. 2023, §3.1; Kasner & Dušek, ACL 2022):
 *
 *   facts, one a category ─▶ order ─▶ aggregate up to four neighbours ─▶ compress them into one sentence
 *
 * The steps are rules here: templates (sentences.ts) over words that know their grammar (grammar.ts). Two invariants:
 *
 *   1. Every tag given is in the text, lower-cased unless it is an acronym.
 *   2. The text names no other genre, mood, instrument or voice.
 */
import { pick } from '../../model/random.ts'
import type { Tag } from '../../schemas/types.ts'
import {
  article,
  capitalised,
  isAdjective,
  isGenreName,
  isGenreNoun,
  isPace,
  isPiece,
  joined,
  moodsBefore,
  nounForm,
  spoken,
  voiceName,
} from './grammar.ts'
import type { TagsByCategory } from './select-tags.ts'
import { moreSentences, sentences } from './sentences.ts'
import { compiled, filled, leastWorn, type Template } from './template.ts'

/** Names as they are spoken, of what one sentence tells. */
interface Facts {
  readonly genre: readonly string[]
  readonly mood: readonly string[]
  readonly instrument: readonly string[]
  readonly vocals: readonly string[]
}

/** How this text speaks, wherever it has the choice. */
interface Manner {
  readonly noun: string
  /** 'piano and cello', not 'a piano and a cello'. */
  readonly bare: boolean
  /** 'female vocals over a piano', not 'a piano and female vocals'. */
  readonly over: boolean
}

const compressed = compiled(sentences)
const more = compiled(moreSentences)

type Letter = 'g' | 'm' | 'i' | 'v' | 'n'

/** How many tags of a category one sentence bears. */
const BEARABLE = { genre: 3, mood: 4, instrument: 6, vocals: 4 } as const
/** How many tags one sentence bears in all. */
const BEARABLE_IN_ALL = 9

/** Ways through the facts that a listener would take; the first stand for most. */
const ORDERS = ['gmiv', 'gmiv', 'givm', 'givm', 'gvim', 'mgiv', 'ivmg', 'ivgm', 'imgv'] as const

/** @returns one sentence or more; '' for no tags. */
export function data2text(tags: TagsByCategory, random: () => number): string {
  const voices = names(tags.vocals)
  const sung = voices.filter((name) => name !== 'instrumental')
  const instrumental = sung.length < voices.length
  const parts = {
    genre: parted(names(tags.genre), BEARABLE.genre),
    mood: parted(names(tags.mood), BEARABLE.mood),
    instrument: parted(names(tags.instrument), BEARABLE.instrument),
    vocals: parted(sung, BEARABLE.vocals),
  }
  const facts: Facts = {
    genre: parts.genre[0] ?? [],
    mood: parts.mood[0] ?? [],
    instrument: parts.instrument[0] ?? [],
    vocals: parts.vocals[0] ?? [],
  }
  const manner = { noun: noun(facts, random), bare: random() < 0.4, over: random() < 0.5 }
  const counts = {
    g: facts.genre.length,
    m: facts.mood.length,
    i: facts.instrument.length,
    v: facts.vocals.length,
    n: instrumental && sung.length === 0 ? 1 : 0,
  }
  const order = [...pick(ORDERS, random)]
    .map((letter) => (letter === 'v' && counts.n > 0 ? 'n' : letter) as Letter)
    .filter((letter) => counts[letter] > 0)

  const said: string[] = []
  const say = (templates: readonly Template[], about: Facts) => {
    const slots = slotsOf(about, manner)
    const place = said.length === 0 ? 'first' : 'later'
    const fitting = templates.filter((template) => template[place] && template.slots.every((slot) => slots.has(slot)))
    const soFar = said.join(' ')
    const chosen = pick(leastWorn(fitting, `${soFar} ${about.mood.join(' ')}`), random)
    const text = capitalised(filled(chosen, slots, slots.has('plural')))
    said.push(HAS_SUBJECT.test(soFar) ? text : withSubject(text, manner))
  }
  for (const group of aggregated(order, counts, random)) {
    say(compressed[key(group)], {
      genre: group.includes('g') ? facts.genre : [],
      mood: group.includes('m') ? facts.mood : [],
      instrument: group.includes('i') ? facts.instrument : [],
      vocals: group.includes('v') ? facts.vocals : [],
    })
    if (group.includes('g')) for (const genre of parts.genre.slice(1)) say(more.g, { ...NOTHING, genre })
    if (group.includes('m')) for (const mood of parts.mood.slice(1)) say(more.m, { ...NOTHING, mood })
    if (group.includes('i')) {
      for (const instrument of parts.instrument.slice(1)) say(more.x, { ...NOTHING, instrument })
    }
    if (group.includes('v')) for (const vocals of parts.vocals.slice(1)) say(more.x, { ...NOTHING, vocals })
    if (group.includes('v') && instrumental) say(more.n, NOTHING)
  }
  return said.join(' ')
}

const HAS_SUBJECT = /\b(?:track|piece|song|soundtrack|music)\b/

/** 'It' needs something that it stands for. */
function withSubject(text: string, { noun }: Manner): string {
  return text.replace(/^It is (?=an? |.* music)/, 'This is ').replace(/^It /, `The ${noun} `)
}

const NOTHING: Facts = { genre: [], mood: [], instrument: [], vocals: [] }

function names(tags: readonly Tag[]): string[] {
  return [...new Set(tags.map(({ tag }) => spoken(tag)))]
}

/** @returns parts of nearly equal length, `most` at most. */
function parted(all: readonly string[], most: number): string[][] {
  const size = Math.ceil(all.length / Math.ceil(all.length / most))
  const result: string[][] = []
  for (let start = 0; start < all.length; start += size) result.push(all.slice(start, start + size))
  return result
}

/** Music is a song where somebody sings it, and a piece where its genre calls it so. */
function noun({ genre, vocals }: Facts, random: () => number): string {
  const song = vocals.some((name) => name.endsWith('vocals'))
  const piece = !song && (genre.length === 0 || genre.some(isPiece))
  return pick(['track', song ? 'song' : piece ? 'piece' : 'track'], random)
}

/** @returns neighbours that are told in one sentence: mostly two or three. */
function aggregated(
  order: readonly Letter[],
  counts: Readonly<Record<Letter, number>>,
  random: () => number,
): Letter[][] {
  const groups: Letter[][] = []
  for (let start = 0; start < order.length; ) {
    const draw = random()
    let size = draw < 0.2 ? 1 : draw < 0.65 ? 2 : draw < 0.93 ? 3 : 4
    const group = order.slice(start, start + size)
    while (size > 1 && group.reduce((sum, letter) => sum + counts[letter], 0) > BEARABLE_IN_ALL) {
      group.pop()
      size--
    }
    groups.push(group)
    start += group.length
  }
  return groups
}

/** @returns the name of the templates for these facts in `sentences`. */
function key(group: readonly Letter[]): keyof typeof sentences {
  const has = (letter: Letter) => group.includes(letter)
  const told = [...'gmivn'].filter((letter) => has(letter as Letter)).join('')
  const alone = told.length === 1 || told === 'iv' || has('n')
  return (alone ? told : told.replace('iv', 'x').replace(/[iv]/, 'x')) as keyof typeof sentences
}

/** @returns the words for each slot that can be said of these facts. */
function slotsOf({ genre, mood, instrument, vocals }: Facts, { noun, bare, over }: Manner): Map<string, string> {
  const slots = new Map([['noun', noun]])
  const withArticle = (slot: string, text: string) => slots.set(slot, text).set(`a ${slot}`, `${article(text)} ${text}`)
  if (genre.length > 0) {
    const music = genreMusic(genre)
    withArticle('genre', joined(genreAttributes(genre)))
    slots.set('genre music', music)
    const nouns = genre.filter(isGenreNoun).length
    const alike = genre.every(isGenreName) && (nouns === 0 || nouns === genre.length)
    const name = alike ? joined(genre) : music
    slots.set('genre name', name)
    if (genre.length === 1) slots.set('one genre', name)
    if (genre.length > 1) slots.set('genre blend', genre.every(isGenreNoun) ? joined(genre) : music)
  }
  if (mood.length > 0) {
    const list = joined(mood)
    withArticle('feel', list)
    const before = moodsBefore(genreAttributes(genre)[0] ?? '', mood)
    if (mood.length < 4 && before !== undefined) withArticle('feels', before.join(', '))
    if (!mood.some(isPace)) withArticle('mood', list)
    if (mood.every(isAdjective)) slots.set('adjectives', list)
    else slots.delete('mood')
  }
  if (instrument.length + vocals.length > 0) {
    const voices = vocals.map(voiceName)
    const all = [...instrument, ...voices]
    const form = nounForm(all[0]!)
    const sound = listed(all, bare)
    const plural = all.length > 1 || form.number === 'plural'
    slots.set('sound', sound)
    if (plural) slots.set('plural', '')
    // 'there is a piano', 'there are drums and a piano', but not 'there are a piano and drums'
    if (all.length === 1 || form.number === 'plural') {
      const verb = plural ? 'are' : 'is'
      slots.set('sound is', `${verb} ${listed(all, false)}`)
      slots.set('sound also is', `${verb} also ${listed(all, false)}`)
    }
    if (vocals.length === 0 && instrument.every((name) => nounForm(name).played)) {
      slots.set('played', playedOn(instrument))
    }
    if (instrument.length > 0 && vocals.length > 0) {
      slots.set('voice', listed(voices, bare))
      slots.set('instruments', listed(instrument, bare))
      slots.set('voice over', `${listed(voices, bare)} over ${listed(instrument, bare)}`)
    }
    slots.set('sound or over', (over ? slots.get('voice over') : undefined) ?? sound)
  }
  return slots
}

/** 'a piano, strings and brass'; where `bare`, a list of several goes without articles. */
function listed(all: readonly string[], bare: boolean): string {
  if (bare && all.length > 1) return joined(all)
  return joined(all.map((name) => (nounForm(name).number === 'count' ? `${article(name)} ${name}` : name)))
}

/** 'played on piano', 'on a drumset', 'on piano and drumset' */
function playedOn(all: readonly string[]): string {
  return listed(all, true).replace(/^an? /, (an) => (nounForm(all[0]!).bare ? '' : an))
}

/** 'folk and world music', where a genre is music by its own name too. */
function genreMusic(genre: readonly string[]): string {
  const list = joined(musicLast(genre))
  return isMusic(list) ? list : `${list} music`
}

/** What stands before a noun: 'a folk and world music piece', for the world is no kind of piece. */
function genreAttributes(genre: readonly string[]): string[] {
  return musicLast(genre.map((name) => (name === 'world' ? 'world music' : name)))
}

function musicLast(genre: readonly string[]): string[] {
  return [...genre.filter((name) => !isMusic(name)), ...genre.filter(isMusic)]
}

function isMusic(genre: string): boolean {
  return /\bmusic$/.test(genre)
}
