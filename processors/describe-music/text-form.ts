/**
 * What makes a text no description of music, whatever it claims: what models write instead of one, or around it.
 *
 * Every test is linear: no expression repeats within a repetition, and no pattern is sought without bound from each place.
 */
import { isMusicWord } from './lexicon.ts'
import { foldedWords, wordsOf } from './words.ts'

export type FormFault =
  /** Fewer than 3 words. */
  | 'too-short'
  /** More than 80 words. */
  | 'too-long'
  /** A sentence twice, words in a loop, or one word too often. */
  | 'repetition'
  /** Lines of the prompt: '[Output]:', 'Genre:', confidences, or an example copied, word by word or nearly. */
  | 'echo'
  /** HTML, Markdown, addresses, code, JSON, or control characters. */
  | 'markup'
  /** Talk to a reader or about the task: 'Sure, here is', 'As an AI', 'ignore previous instructions'. */
  | 'chatter'
  /**
   * A title or name. Told by how it is written alone: quoted titles, 'by Some Name', two capitalised words in a row that are
   * no music words. A name in lower case, or one word without 'by', 'like' or such before it, passes.
   */
  | 'names'

const FEWEST_WORDS = 3
const MOST_WORDS = 80

export function formFaults(text: string, examples: readonly string[]): FormFault[] {
  const words = foldedWords(text)
  const faults: FormFault[] = []
  if (words.length < FEWEST_WORDS) faults.push('too-short')
  if (words.length > MOST_WORDS) faults.push('too-long')
  if (repeats(text, words)) faults.push('repetition')
  if (ECHO.some((pattern) => pattern.test(text)) || examples.some((each) => isCopy(words, foldedWords(each)))) {
    faults.push('echo')
  }
  if (MARKUP.some((pattern) => pattern.test(text))) faults.push('markup')
  if (isChatter(text, words)) faults.push('chatter')
  if (namesSomebody(text)) faults.push('names')
  return faults
}

const LONGEST_LOOP = 12
/** 'very, very': a loop of one or two words is one from the third time on. */
const ONCE_MORE = 3
const PHRASE = 6
const OFTEN_FROM = 12
const TOO_OFTEN = 0.3
const COMMON = set('a an and are as at by for from in is it its of on or that the there this to with')

function repeats(text: string, words: readonly string[]): boolean {
  const sentences = text
    .split(/[.!?\n]+/)
    .map((each) => foldedWords(each).join(' '))
    .filter((each) => each.includes(' '))
  if (new Set(sentences).size < sentences.length) return true
  for (let period = 1; period <= LONGEST_LOOP; period++) if (loops(words, period)) return true
  return hasPhraseTwice(words) || hasOneWordTooOften(words)
}

function loops(words: readonly string[], period: number): boolean {
  const times = period < ONCE_MORE ? ONCE_MORE : 2
  let same = 0
  for (let i = period; i < words.length; i++) {
    same = words[i] === words[i - period] ? same + 1 : 0
    if (same >= period * (times - 1)) return true
  }
  return false
}

function hasPhraseTwice(words: readonly string[]): boolean {
  const seen = new Set<string>()
  for (let i = 0; i + PHRASE <= words.length; i++) {
    const phrase = words.slice(i, i + PHRASE).join(' ')
    if (seen.has(phrase)) return true
    seen.add(phrase)
  }
  return false
}

function hasOneWordTooOften(words: readonly string[]): boolean {
  if (words.length < OFTEN_FROM) return false
  const times = new Map<string, number>()
  for (const word of words) if (!COMMON.has(word)) times.set(word, (times.get(word) ?? 0) + 1)
  let most = 0
  for (const count of times.values()) most = Math.max(most, count)
  return most > TOO_OFTEN * words.length
}

const ECHO = [
  /\[\s?(input|output|description|tags?|instruction)s?\s?\]/i,
  /^\s{0,9}(input|output|genres?|moods?|instruments?|vocals?|tags?|description|text|caption|answer)\s?:/im,
  /[.;|]\s{0,9}(genres?|moods?|instruments?|vocals?|tags?)\s?:/i,
  /\d\s?(%|percent\b)/i,
  /\(\s?[01]?\.\d+\s?\)/,
  /\btags?\b|\bconfidence (of|score|level|value)|\b(in|out)put:|\bkeywords?\b/i,
  /\b(write|generate|complete|rewrite|describe) (a|an|one|the|this|these|following)\b/i,
]

/** Words from a copy on: an example this short may be met by chance. */
const COPY_FROM = 8
const GRAM = 3
const COPIED = 0.65
const COPIED_RUN = 9

/** Equal, most of its three-word runs taken over, or nine words in a row of the example. */
function isCopy(words: readonly string[], example: readonly string[]): boolean {
  if (words.length > 0 && words.join(' ') === example.join(' ')) return true
  if (words.length < COPY_FROM || example.length < COPY_FROM) return false
  const own = gramsOf(words, GRAM)
  const shown = new Set(gramsOf(example, GRAM))
  if (own.filter((gram) => shown.has(gram)).length >= COPIED * own.length) return true
  const runs = new Set(gramsOf(example, COPIED_RUN))
  return gramsOf(words, COPIED_RUN).some((run) => runs.has(run))
}

function gramsOf(words: readonly string[], size: number): string[] {
  return Array.from({ length: Math.max(0, words.length - size + 1) }, (_, i) => words.slice(i, i + size).join(' '))
}

const MARKUP = [
  /<\/?[a-z!][^<>]*>|<\||\|>|&(#\d+|[a-z]{2,6});/i,
  /\b(https?|ftp):|\bwww\.|[a-z0-9]\.(com|org|net|io|co)\b|[a-z0-9]@[a-z0-9]/i,
  /[`{}\\]|\*\*|__|~~|^\s{0,9}#|^\s{0,9}([-*•]|\d{1,2}[.)])\s|\]\(|[[\]]|\|.*\||={2,}|=>|--\s?>/m,
  /["']\s?:\s?["[\d]|\b(function|const|import|return|select|console)\b\s?[({*]/i,
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd]/,
  /\p{Cs}/u,
]

const CHATTER = [
  /^\W{0,3}(sure|certainly|of course|okay|ok|absolutely|great|yes|no problem|alright|hello|hi)\s?[,!.:]/i,
  /\bhere('s|’s| is| are) (a|an|the|your|my|one|some)\b.{0,40}\b(description|text|sentence|caption|version|answer|summary)/i,
  /\bas an? (ai|artificial|language|large|assistant)\b|\b(language model|chatbot|openai|chatgpt|assistant)\b/i,
  /\bi('m|’m| am| do| was| will|'ll|’ll| would|'d|’d)? ?(cannot|can't|can’t|can not|sorry|apologi[sz]e|unable|afraid|don't|don’t|not able|happy to|glad to|hope|am here)\b/i,
  /\b(let me know|feel free|please|thank you|thanks for|would you like|do you want|if you (need|want|would)|hope this)\b/i,
  /\byour? (request|prompt|instructions?|task|question|input|description|ask(ed)?|provided|gave|want(ed)? me)\b/i,
  /\b(the|this|these|that|above|following|previous|prior|system|provided|all) (prompt|instructions?|task|request|user|template)\b/i,
  /\b(ignore|disregard|forget) (all|any|the|previous|prior|above|your|these|everything)\b/i,
  /\b(based on|according to|given|using) the (given|provided|above|following|information|data|details)\b|\bas requested\b/i,
  /(^|[.!?]\s)(note|explanation|disclaimer)( that|\s?:)/i,
]

function isChatter(text: string, words: readonly string[]): boolean {
  return words.length > 0 && CHATTER.some((pattern) => pattern.test(text))
}

const TITLED = /\b(titled|entitled|called|named|known as)\s{1,3}["'“‘«]?\p{Lu}/u
const QUOTED = /["“«‘](?=[^"”»\n]{1,80}["”»])\p{Lu}/u
const SIGNS = /[©®™]|\b(feat|ft)\.\s?\p{L}/iu
/** After these a capitalised word that is no music word names somebody. */
const POINTS = set('by feat ft featuring like singer artist band composer rapper producer dj called named')
/** Written with a capital though they name no one. */
const NO_NAME = set(
  'i christmas halloween easter god jesus english spanish french german italian portuguese brazilian mexican american african ' +
    'asian indian chinese japanese korean thai vietnamese arabic arabian turkish persian iranian greek russian balkan slavic ' +
    'celtic irish scottish british european eastern western middle northern southern north south east west latin latino ' +
    'cuban caribbean jamaican hawaiian polynesian andean native jewish hebrew hindi punjabi bengali tamil indonesian ' +
    'filipino pakistani nepali tibetan egyptian moroccan ethiopian nigerian ghanaian senegalese cajun creole new orleans ' +
    'nashville chicago detroit delta hawaii africa asia india china japan korea america europe spain mexico brazil cuba ' +
    'jamaica ireland scotland gregorian victorian baroque renaissance medieval romantic hollywood bollywood broadway disney ' +
    'tv fm dj mc vhs am pm uk us usa la ny bpm edm idm ebm rnb r b hi fi lo lofi diy',
)

/** Title case tells nothing; else a capital within a sentence does. */
function namesSomebody(text: string): boolean {
  if (TITLED.test(text) || SIGNS.test(text) || QUOTED.test(text)) return true
  const words = wordsOf(text)
  const isCapital = words.map(({ at, end }) => /^\p{Lu}\p{M}?[\p{Ll}'’]/u.test(text.slice(at, end)))
  const inner = words.map(({ gap }, i) => i > 0 && gap !== 'stop' && gap !== 'quote')
  const capitals = isCapital.filter((capital, i) => capital && inner[i]).length
  if (capitals > words.length / 2) return false
  const isName = words.map(({ word }, i) => isCapital[i]! && inner[i]! && !NO_NAME.has(word) && !isMusicWord(word))
  return isName.some((name, i) => name && (POINTS.has(words[i - 1]!.word) || isName[i - 1] === true))
}

function set(words: string): ReadonlySet<string> {
  return new Set(words.split(' '))
}
