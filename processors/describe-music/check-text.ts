/**
 * Whether a text says what the tags say, no more, and as a description of music.
 *
 *     text ─┬─▶ claims (find-claims.ts) against the tags ─▶ kept, omitted, invented ─┐
 *           └─▶ language (language.ts), form (text-form.ts) ────────────────────────┴─▶ faults
 *
 * A claim is covered by a tag that is its concept, is a kind of it ('guitar' by acoustic guitar), or implies it ('brass'
 * by orchestra), and a blend by tags for its parts ('country rock'). A tag is kept by a claim of its concept or of a kind of it: 'drums' keeps drumset, not electronic drumset.
 */
import type { Tag } from '../../schemas/types.ts'
import { type Claim, findClaims } from './find-claims.ts'
import { isOtherLanguage } from './language.ts'
import { allThatIs, conceptOfTag, entailedBy, terms } from './lexicon.ts'
import { type FormFault, formFaults } from './text-form.ts'
import { foldedWords } from './words.ts'

export type Fault =
  /** An instrument that no tag covers. */
  | 'invented-instrument'
  /** A genre that no tag covers. */
  | 'invented-genre'
  /** A voice that no tag covers: a choir, rap. */
  | 'invented-voice'
  /** The other gender; a voice where 'instrumental' is given; no voice where it is not. */
  | 'wrong-voice'
  /** A given tag is said to be absent. */
  | 'denied-tag'
  /** The text, or a sentence of it, is not English. */
  | 'other-language'
  | FormFault

export interface TextCheck {
  /** Names of the given tags that the text says. */
  readonly kept: string[]
  /** Those that it does not say. */
  readonly omitted: string[]
  /** Concepts claimed that no given tag covers, moods as well: a mood is no fault. */
  readonly invented: string[]
  /** Each once, in the order of the union. */
  readonly faults: Fault[]
}

const INVENTED = { instrument: 'invented-instrument', genre: 'invented-genre', vocals: 'invented-voice' } as const
const OTHER_GENDER: Readonly<Record<string, string>> = {
  'female vocals': 'male vocals',
  'male vocals': 'female vocals',
}
/** They sing words: 'without lyrics' denies them, and not a choir. */
const SINGERS = ['male vocals', 'female vocals']
const NO_VOICE = 'instrumental'
const VOICE = 'vocals'

/**
 * @param options.examples texts that were shown to who wrote this one; a copy of them is an echo.
 * Linear in the lengths of text and examples.
 */
export function checkText(
  text: string,
  tags: readonly Tag[],
  { examples = [] }: { examples?: readonly string[] } = {},
): TextCheck {
  const claims = withoutVoices(findClaims(text))
  const said = claims.filter(({ negated }) => !negated)
  const covered = new Set(tags.flatMap((tag) => [...entailedBy(nameOf(tag))]))
  const isCovered = (claim: Claim) => covered.has(claim.concept) || isBlendOf(claim, covered)
  const invented = new Map(said.filter((claim) => !isCovered(claim)).map((claim) => [claim.concept, claim]))
  const wrong = wrongVoices(said, tags)

  const faults = [...invented.values()].flatMap(({ concept, category }): Fault[] =>
    category === 'mood' || wrong.has(concept) ? [] : [INVENTED[category]],
  )
  if (wrong.size > 0) faults.push('wrong-voice')
  if (isDenied(claims, tags)) faults.push('denied-tag')
  if (isOtherLanguage(text)) faults.push('other-language')
  faults.push(...formFaults(text, examples))
  return {
    ...keptOf(text, said, tags),
    invented: [...invented.keys()],
    faults: FAULTS.filter((f) => faults.includes(f)),
  }
}

const FAULTS: readonly Fault[] = [
  'invented-instrument',
  'invented-genre',
  'invented-voice',
  'wrong-voice',
  'denied-tag',
  'other-language',
  'too-short',
  'too-long',
  'repetition',
  'echo',
  'markup',
  'chatter',
  'names',
]

/** 'country rock' of country and rock, 'synth-pop' of a synth and pop: each word names what is covered. */
function isBlendOf({ category, words }: Claim, covered: ReadonlySet<string>): boolean {
  if (category !== 'genre') return false
  const parts = foldedWords(words).map((word) => terms.next.get(word)?.concept ?? terms.next.get(word)?.weak)
  return parts.every((part) => part && covered.has(part.name))
}

/** Pauses of a voice are no absence: 'while the singer is not singing'. */
const SINGS = new Set(['sing', 'sings', 'singing', 'sang', 'sung'])

function withoutVoices(claims: readonly Claim[]): Claim[] {
  const hasVoice = claims.some(({ concept, negated }) => !negated && allThatIs(concept).has(VOICE))
  return claims
    .filter(({ negated, words }) => !(hasVoice && negated && SINGS.has(words.toLowerCase())))
    .map(withoutVoice)
}

/** 'no vocals' says instrumental, 'not instrumental' says vocals. */
function withoutVoice(claim: Claim): Claim {
  if (!claim.negated || (claim.concept !== VOICE && claim.concept !== NO_VOICE)) return claim
  const other = claim.concept === VOICE ? NO_VOICE : VOICE
  return { ...claim, concept: other, tag: other, negated: false }
}

/** A tag that is not of the vocabulary is its own name. */
function nameOf(tag: Tag): string {
  return conceptOfTag(tag)?.name ?? tag.tag
}

function keptOf(text: string, said: readonly Claim[], tags: readonly Tag[]): { kept: string[]; omitted: string[] } {
  const named = new Set(said.flatMap(({ concept }) => [...allThatIs(concept)]))
  const words = tags.every((tag) => conceptOfTag(tag)) ? '' : ` ${foldedWords(text).join(' ')} `
  const isKept = (tag: Tag) => {
    const concept = conceptOfTag(tag)
    return concept ? named.has(concept.name) : words.includes(` ${foldedWords(tag.tag).join(' ')} `)
  }
  const kept = new Set(tags.filter(isKept).map(({ tag }) => tag))
  const omitted = new Set(tags.map(({ tag }) => tag).filter((tag) => !kept.has(tag)))
  return { kept: [...kept], omitted: [...omitted] }
}

/** @returns the voices claimed that contradict the tags. Where tags contradict each other, either is right. */
function wrongVoices(said: readonly Claim[], tags: readonly Tag[]): Set<string> {
  const given = new Set(tags.filter(({ category }) => category === 'vocals').map(nameOf))
  const voices = said.filter(({ category }) => category === 'vocals').map(({ concept }) => concept)
  const isVoice = (concept: string) => allThatIs(concept).has(VOICE)
  const mute = given.has(NO_VOICE) && ![...given].some(isVoice)
  return new Set(
    voices.filter((concept) => {
      if (concept === NO_VOICE) return !given.has(NO_VOICE)
      if (mute) return isVoice(concept)
      return given.has(OTHER_GENDER[concept] ?? '') && !given.has(concept)
    }),
  )
}

/** 'no guitar' denies acoustic guitar too. */
function isDenied(claims: readonly Claim[], tags: readonly Tag[]): boolean {
  const denied = new Set(claims.filter(({ negated }) => negated).map(({ concept }) => concept))
  const mute = claims.some(({ concept, negated }) => concept === NO_VOICE && !negated)
  if (mute && !tags.some((tag) => tag.category === 'vocals' && tag.tag === NO_VOICE)) denied.add(VOICE)
  if (denied.has('lyrics')) for (const singer of SINGERS) denied.add(singer)
  return tags.some((tag) => [...allThatIs(nameOf(tag))].some((concept) => denied.has(concept)))
}
