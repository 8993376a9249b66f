/**
 * Text as words: what is said, apart from case, accents, width of letters and kind of quote.
 *
 * Offsets are those of the text given, so that a claim can be shown where it stands.
 */

/** What stands before a word: 'comma', 'slash' and 'stop' part items and clauses; only 'space' and 'hyphen' join a term. */
export type Gap = 'start' | 'space' | 'hyphen' | 'slash' | 'comma' | 'quote' | 'stop'

export interface Word {
  /** Folded: 'Bandoneón' is 'bandoneon', "singer's" is 'singer', "isn't" is 'isnt', '&' is 'and'. */
  readonly word: string
  readonly gap: Gap
  readonly at: number
  readonly end: number
}

const WORD =
  /(?<![\p{L}\p{N}])(?:['’‘]n['’‘]?|n['’‘])(?![\p{L}\p{N}])|[\p{L}\p{N}\p{M}\u00ad\u200b-\u200d\u2060\ufeff]+(?:['’‘ʼ＇][\p{L}\p{N}\p{M}]+)*|[&＆+]/gu
const UNSEEN = /[\p{M}\u00ad\u200b-\u200d\u2060\ufeff]/gu
const BRITISH = /^(synthes|harmon|vocal)is(e|ed|er|ers|ing|ation|ations)$/
/** What is longer parts clauses; a bound keeps the tests of a gap linear. */
const LONGEST_GAP = 16
const PLAIN = /^[a-z0-9]+$/

/** @returns the words in order; linear in the text's length. */
export function wordsOf(text: string): Word[] {
  const words: Word[] = []
  let end = 0
  for (const match of text.matchAll(WORD)) {
    const word = fold(match[0])
    if (word === '') continue
    const gap = words.length === 0 ? 'start' : gapOf(text, end, match.index)
    end = match.index + match[0].length
    words.push({ word, gap, at: match.index, end })
  }
  return words
}

/** @returns the words of a phrase, folded. */
export function foldedWords(phrase: string): string[] {
  return wordsOf(phrase).map(({ word }) => word)
}

export function joins(gap: Gap): boolean {
  return gap === 'space' || gap === 'hyphen'
}

function fold(written: string): string {
  if (PLAIN.test(written)) return oneSpelling(written)
  const plain = written.toLowerCase().normalize('NFKD').replace(UNSEEN, '').toLowerCase()
  if (plain === '&' || plain === '+') return 'and'
  return oneSpelling(plain.replace(/['’‘ʼ]s$/, '').replace(/['’‘ʼ]/g, ''))
}

/** 'synthesised' and 'harmonised' as with z. */
function oneSpelling(word: string): string {
  const [, stem, end] = BRITISH.exec(word) ?? []
  return stem === undefined ? word : `${stem}iz${end}`
}

function gapOf(text: string, from: number, to: number): Gap {
  if (to === from || (to === from + 1 && text[from] === ' ')) return 'space'
  if (to - from > LONGEST_GAP) return 'stop'
  const between = text.slice(from, to)
  if (/^[-‐‑]$/.test(between)) return 'hyphen'
  if (/^[ \t]*[,،、，][ \t]*["'“”‘’]*[ \t]*$/.test(between)) return 'comma'
  if (/^ ?\/ ?$/.test(between)) return 'slash'
  if (/^[^\S\n]*\n?[^\S\n]*$/.test(between)) return 'space'
  return /^[\s"'“”‘’„«»]*$/.test(between) && !/\n\s*\n/.test(between) ? 'quote' : 'stop'
}
