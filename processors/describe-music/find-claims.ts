/**
 * What a text claims about the music.
 *
 *     text ─▶ words ─▶ terms, longest first ─▶ weak terms kept beside music words ─▶ shared nouns ─▶ negation ─▶ claims
 *
 * Weak terms are everyday words: 'house' is a genre in 'a house track', 'she' a voice in 'she sings'. A noun may be shared:
 * 'acoustic and electric guitars' claims both. Linear in the text's length, whatever it holds.
 */
import { besideGenre, type ClaimCategory, type Concept, type TermNode, terms } from './lexicon.ts'
import { negationsOf, type Term } from './negation.ts'
import { joins, type Word, wordsOf } from './words.ts'

export interface Claim {
  readonly concept: string
  readonly category: ClaimCategory
  /** The vocabulary's tag, where the concept is one. */
  readonly tag?: string
  /** As the text has it. */
  readonly words: string
  /** Offset in the text, in UTF-16 units. */
  readonly at: number
  /** 'no drums', 'vocal-free', 'the piano is absent' */
  readonly negated: boolean
}

/** A voice is sought so many words after 'she' or 'man', and before. */
const VOICE_AFTER = 6
const VOICE_BEFORE = 3
/** 'guitar-like' and 'a flute like sound' claim no guitar and no flute. */
const LIKENESS = new Set(['like', 'esque', 'ish', 'sounding', 'type'])
const SOUNDS = new Set(['sound', 'sounds', 'tone', 'tones', 'instrument', 'melody', 'timbre', 'quality', 'effect'])
/** 'beatless': what ends so and is a term before it is negated. */
const WITHOUT = 'less'

/** @returns the claims in the order of the text; what is said to be nothing more ('no other instruments') is no claim. */
export function findClaims(text: string): Claim[] {
  const words = wordsOf(text)
  const affixed = new Map<number, Term>()
  const found = withSharedNouns(words, beyondDoubt(words, termsIn(words, affixed)))
  const negated = negationsOf(words, found)
  return found
    .filter((term) => negated.get(term) !== 'nothing more' && !isLikeness(words, term))
    .map((term) => {
      const { at } = words[term.from]!
      const { category, name, tag } = term.concept
      return {
        concept: name,
        category,
        ...(tag === undefined ? {} : { tag }),
        words: text.slice(at, words[term.to - 1]!.end),
        at,
        negated: negated.has(term) || affixed.get(term.from) === term,
      }
    })
}

/** Longest first, none within another; `affixed` gets what a word denies of itself ('drumless', 'nonvocal'). */
function termsIn(words: readonly Word[], affixed: Map<number, Term>): Term[] {
  const found: Term[] = []
  for (let i = 0; i < words.length; ) {
    const reach = reachFrom(words, i, words.length)
    const term = reach.term ?? deniedBySelf(words[i]!.word, i)
    if (term === undefined) {
      i = Math.max(reach.to, i + 1)
      continue
    }
    if (reach.term === undefined) affixed.set(i, term)
    found.push(term)
    i = term.to
  }
  return found
}

/** @returns the longest term from a word on, or only how far words go that are no music. */
function reachFrom(words: readonly Word[], from: number, limit: number): { term?: Term; to: number } {
  let node: TermNode | undefined = terms
  let best: { term?: Term; to: number } = { to: from }
  for (let i = from; i < limit && (i === from || joins(words[i]!.gap)); i++) {
    node = node.next.get(words[i]!.word)
    if (node === undefined) break
    const concept = node.concept ?? node.weak
    if (node.notMusic) best = { to: i + 1 }
    else if (concept) best = { term: { concept, weak: node.concept === undefined, from, to: i + 1 }, to: i + 1 }
  }
  return best
}

function deniedBySelf(word: string, at: number): Term | undefined {
  const bare = word.endsWith(WITHOUT) ? word.slice(0, -WITHOUT.length) : word.startsWith('non') ? word.slice(3) : ''
  const concept = bare === '' ? undefined : terms.next.get(bare)?.concept
  return concept && { concept, weak: false, from: at, to: at + 1 }
}

/** Weak terms without a music word beside them give way to shorter terms within them. */
function beyondDoubt(words: readonly Word[], found: readonly Term[]): Term[] {
  if (!found.some(({ weak }) => weak)) return [...found]
  const sure = found.map(({ weak }) => !weak)
  const voices = found.flatMap((term, i) => (sure[i] && isVoice(term.concept) ? [term] : []))
  let next = voices.length
  for (let i = found.length - 1; i >= 0; i--) {
    const term = found[i]!
    while (next > 0 && voices[next - 1]!.from >= term.to) next--
    if (sure[i]) continue
    sure[i] =
      term.concept.category === 'vocals'
        ? isBesideVoice(words, term, voices[next - 1], voices[next])
        : isBesideGenre(words, term) || (sure[i + 1] === true && areOneGenre(words, term, found[i + 1]!))
  }
  for (let i = 1; i < found.length; i++)
    sure[i] ||= sure[i - 1] === true && areOneGenre(words, found[i - 1]!, found[i]!)
  return found.flatMap((term, i) => (sure[i] ? [term] : shorterWithin(words, term)))
}

function shorterWithin(words: readonly Word[], { from, to }: Term): Term[] {
  const found: Term[] = []
  for (let i = from; i < to; ) {
    const { term, to: reached } = reachFrom(words, i, i === from ? to - 1 : to)
    if (term && !term.weak) found.push(term)
    i = Math.max(reached, i + 1)
  }
  return found
}

function isVoice({ category, name }: Concept): boolean {
  return category === 'vocals' && name !== 'instrumental' && name !== 'lyrics'
}

function isBesideVoice(words: readonly Word[], term: Term, before: Term | undefined, after: Term | undefined): boolean {
  if (term.to - term.from === words.length) return true
  if (words[term.from - 1]?.word === 'about' || words[term.from - 2]?.word === 'about') return false
  if (after && after.from - term.to < VOICE_AFTER && isOneClause(words, term.to, after.from)) return true
  return before !== undefined && term.from - before.to < VOICE_BEFORE && isOneClause(words, before.to, term.from)
}

/** From before one word to another, within VOICE_AFTER. */
function isOneClause(words: readonly Word[], from: number, to: number): boolean {
  for (let i = from; i <= to; i++) if (words[i]!.gap === 'stop') return false
  return true
}

/** 'country music', 'the genre is country', 'a blend of soul …', or one word that is an item of a list: 'jazz, soul', 'The drums. The electronic.' */
function isBesideGenre(words: readonly Word[], { from, to }: Term): boolean {
  const before = words[from - 1]
  const after = words[to]
  if (after && joins(after.gap) && besideGenre.after.has(after.word)) return true
  if (before && words[from]!.gap !== 'stop') {
    if (besideGenre.before.has(before.word)) return true
    const earlier = words[from - 2]?.word ?? ''
    if (before.word === 'of' && besideGenre.of.has(earlier)) return true
    if (before.word === 'is' && besideGenre.is.has(earlier)) return true
  }
  const first = before?.word === 'the' ? from - 1 : from
  return to - from === 1 && !joins(words[first]!.gap) && (after === undefined || !joins(after.gap))
}

/** 'folk/country', 'jazz, soul', 'rock and country', 'latin pop' */
function areOneGenre(words: readonly Word[], one: Term, other: Term): boolean {
  if (one.concept.category !== 'genre' || other.concept.category !== 'genre') return false
  const between = other.from - one.to
  if (between === 0) return words[other.from]!.gap !== 'stop'
  const joint = words[one.to]!
  return between === 1 && joint.gap !== 'stop' && (joint.word === 'and' || joint.word === 'or')
}

/** Adds 'acoustic guitar' for 'acoustic and electric guitars', 'string section' for 'string and brass section'. */
function withSharedNouns(words: readonly Word[], found: readonly Term[]): Term[] {
  const all: Term[] = []
  for (const term of found) {
    const noun = words[term.to - 1]!.word
    const free = all.at(-1)?.to ?? 0
    const shared: Term[] = []
    for (let first = term.from; term.to - term.from > 1; ) {
      const at = before(words, first)
      if (at === undefined || at < free) break
      const concept = terms.next.get(words[at]!.word)?.next.get(noun)?.concept
      if (concept?.category !== term.concept.category) break
      shared.push({ concept, weak: false, from: at, to: at + 1 })
      first = at
    }
    for (const one of shared.reverse()) all.push(one)
    all.push(term)
  }
  return all
}

/** @returns the item that is listed before another. */
function before(words: readonly Word[], at: number): number | undefined {
  const word = words[at - 1]?.word
  if (word === 'and' || word === 'or') return at - 2 >= 0 ? at - 2 : undefined
  return words[at]!.gap === 'comma' || words[at]!.gap === 'slash' ? at - 1 : undefined
}

function isLikeness(words: readonly Word[], { concept, to }: Term): boolean {
  const next = words[to]
  if (concept.category === 'genre' || concept.category === 'mood' || next === undefined) return false
  if (next.gap === 'hyphen') return LIKENESS.has(next.word)
  return next.gap === 'space' && next.word === 'like' && SOUNDS.has(words[to + 1]?.word ?? '')
}
