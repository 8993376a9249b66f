/**
 * Which terms a text denies.
 *
 * A negator ('no', 'without', 'lacks') denies the terms after it, up to the end of its clause: a stop, 'but', 'only', and
 * once it has denied something also a verb, 'with', or a comma, unless the comma is of a list that 'or' or 'nor' ends.
 * 'and' carries it on to a term of the same category alone: 'no drums and guitar', but 'no vocals and soft piano'.
 * Words after a term deny it too: 'drums are absent', 'vocal-free'.
 */
import type { Concept } from './lexicon.ts'
import { joins, type Word } from './words.ts'

/** A term in the text, from one word to before another. */
export interface Term {
  readonly concept: Concept
  readonly weak: boolean
  readonly from: number
  readonly to: number
}

/** 'nothing more': 'no other drums' tells of no drums that there are, nor that there are none. */
export type Negation = 'denied' | 'nothing more'

const set = (words: string) => new Set(words.split(' '))

const NEGATORS = set(
  'no not non without lack lacks lacking lacked never neither nor nobody none zero sans minus absence absent missing ' +
    'devoid omits omit omitting excludes excluding exclude avoids avoiding avoid isnt arent doesnt dont didnt hasnt ' +
    'havent wasnt werent cannot cant wont unlike nothing hardly',
)
/** Negators of two words; a verb after them tells of no thing: 'rather than being sung'. */
const PAIRED = new Map([
  ['free', set('of from')],
  ['instead', set('of')],
  ['rather', set('than')],
  ['opposed', set('to')],
])
/** After a negator these undo it: 'not only', 'no doubt', 'nothing but', 'never without'. */
const UNDONE = set(
  'only just merely simply solely doubt matter wonder but less least mention lack lacking shortage without end stranger ' +
    'frills nonsense devoid absent missing sure clear certain know tell overpower overpowers overpowering overshadow ' +
    'overshadowing overshadows interfere interfering distract distracting drown drowning dominate dominating overwhelm ' +
    'overwhelming free',
)
const MORE = set('other others additional further extra more else another')
/** End a negation. */
const ENDS = set(
  'by with but only except besides however although though yet while whereas because instead just apart aside until unless ' +
    'overpower overpowering overpowers overshadow overshadowing overshadows overwhelming dominating drowning',
)
/** End a negation that has denied something. */
const ENDS_AFTER = set(
  'has have having is are was were features feature featuring includes include including contains contain ' +
    'containing plays play playing played over accompanied this it its there the that which who where when so then ' +
    'consists made makes making driven led as to gives giving creates creating in on at from a an some',
)
/** So many words without a term end it as well. */
const REACH = 10
/** A list is looked through so far for its 'or'. */
const LIST = 20

const BE = set('is are was were being remain remains seem seems')
const NOT_BE = set('isnt arent wasnt werent')
const ADVERBS = set('completely entirely totally notably fully conspicuously also both all mostly otherwise')
const GONE = set('absent missing omitted lacking nowhere nonexistent excluded')
const THERE = set('present heard used featured included there audible part involved played in detected')

/** @returns the denied terms; linear, for every look ahead or back is bounded. */
export function negationsOf(words: readonly Word[], terms: readonly Term[]): Map<Term, Negation> {
  const negated = new Map<Term, Negation>()
  let scope: { how: Negation; denied: Term | undefined; since: number } | undefined
  let next = 0
  for (let i = 0; i < words.length; ) {
    const { word, gap } = words[i]!
    if (gap === 'stop' || (scope && i - scope.since > REACH)) scope = undefined
    if (gap === 'comma' && scope?.denied && !goesOnToOr(words, i)) scope = undefined
    while (terms[next] && terms[next]!.from < i) next++
    const term = terms[next]
    if (term?.from === i) {
      if (scope) {
        negated.set(term, scope.how)
        scope = { how: scope.how, denied: term, since: term.to }
      }
      if (isDeniedAfter(words, term)) denyWithListed(words, terms, next, negated)
      next++
      i = term.to
      continue
    }
    const opened = opens(words, i)
    if (opened !== undefined) {
      scope = opened.how === undefined ? undefined : { how: opened.how, denied: undefined, since: opened.to }
      if (word === 'non' && !(term?.from === i + 1)) scope = undefined
      i = opened.to
      continue
    }
    if (ENDS.has(word)) scope = undefined
    else if (
      scope?.denied &&
      !isOr(words[i - 1]) &&
      (ENDS_AFTER.has(word) || (word === 'and' && !isOfKind(term, i + 1, scope.denied)))
    ) {
      scope = undefined
    }
    i++
  }
  return negated
}

/** @returns what a negator opens and where its words end; without `how` if it is undone. */
function opens(words: readonly Word[], i: number): { how?: Negation; to: number } | undefined {
  const { word } = words[i]!
  const after = words[i + 1]
  const follows = after && joins(after.gap) ? after.word : ''
  if (PAIRED.get(word)?.has(follows))
    return words[i + 2]?.word.endsWith('ing') ? { to: i + 2 } : { how: 'denied', to: i + 2 }
  if (!NEGATORS.has(word)) return undefined
  if (MORE.has(follows)) return { how: 'nothing more', to: i + 2 }
  if (UNDONE.has(follows)) return { to: i + 2 }
  return { how: 'denied', to: i + 1 }
}

function isOfKind(term: Term | undefined, at: number, denied: Term): boolean {
  return term?.from === at && term.concept.category === denied.concept.category
}

function goesOnToOr(words: readonly Word[], from: number): boolean {
  for (let i = from; i < words.length && i < from + LIST; i++) {
    const { word, gap } = words[i]!
    if (word === 'or' || word === 'nor') return true
    if ((i > from && gap === 'stop') || ENDS.has(word) || ENDS_AFTER.has(word) || NEGATORS.has(word)) return false
  }
  return false
}

/** 'no drums or a piano' denies both. */
function isOr(word: Word | undefined): boolean {
  return word?.word === 'or' || word?.word === 'nor'
}

/** '-free', 'is absent', 'are not present', 'cannot be heard' */
function isDeniedAfter(words: readonly Word[], { to, concept }: Term): boolean {
  const next = words[to]
  if (next === undefined || !joins(next.gap)) return false
  if (next.word === 'free') return next.gap === 'hyphen' || concept.category === 'vocals'
  const said: string[] = []
  for (let i = to; i < words.length && i < to + 6 && joins(words[i]!.gap); i++) {
    if (!ADVERBS.has(words[i]!.word)) said.push(words[i]!.word)
  }
  const [verb = '', second = '', third = ''] = said
  if (GONE.has(verb)) return true
  if (BE.has(verb)) return GONE.has(second) || (second === 'not' && THERE.has(third))
  if (NOT_BE.has(verb)) return THERE.has(second)
  return (verb === 'cannot' || verb === 'cant') && second === 'be' && THERE.has(third)
}

/** 'drums and bass are absent' denies both. */
function denyWithListed(
  words: readonly Word[],
  terms: readonly Term[],
  at: number,
  negated: Map<Term, Negation>,
): void {
  negated.set(terms[at]!, 'denied')
  for (let i = at; i > 0; i--) {
    const between = words.slice(terms[i - 1]!.to, terms[i]!.from)
    const joint = between.length === 1 && (between[0]!.word === 'and' || between[0]!.word === 'or')
    const listed = i < at && between.length === 0 && words[terms[i]!.from]!.gap === 'comma'
    if (!(joint || listed) || negated.has(terms[i - 1]!)) return
    negated.set(terms[i - 1]!, 'denied')
  }
}
