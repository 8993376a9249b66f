/**
 * Whether a text is English.
 *
 * Letters of another script are not; else n-grams tell (eld). Names of instruments and genres belong to many languages,
 * so a text of which half the words are English or music is let pass: 'solo harp'.
 */
import { eld } from 'eld/extrasmall'
import { isMusicWord } from './lexicon.ts'
import { foldedWords } from './words.ts'

/** English is ruled out below this share of the best language's score. */
const CLOSE = 0.8
const KNOWN = 0.5
/** Shorter ones tell too little by themselves. */
const SENTENCE_WORDS = 5
/** More is not read: a text of that length is no description. */
const READ = 2000
const OTHER_SCRIPT = /[^\P{L}\p{Script=Latin}\p{Script=Common}\p{Script=Inherited}]/u
const ENGLISH = new Set(
  (
    'a about after again all along also an and any are as at background be beat been before being bit both but by can could ' +
    'does down each end ends fast features featuring feel few first for from full fullness gives good great groovy has ' +
    'have he heavy her high his hear heard i if in into is it its just kind like little loud low main makes many medium ' +
    'melody more most much music new no not of off old on one only or other out over piece playing plays quality quick ' +
    'recording rhythm rich section she simple slow so soft solo some someone song sound sounds steady strong style tempo ' +
    'that the their them then there these they this through to together tones track tune two under up very warm was way ' +
    'when where which while who will with without would you'
  ).split(' '),
)

export function isOtherLanguage(text: string): boolean {
  const read = text.slice(0, READ)
  if (OTHER_SCRIPT.test(read)) return true
  const sentences = read.split(/[.!?\n]/).filter((each) => foldedWords(each).length >= SENTENCE_WORDS)
  return [read, ...(sentences.length > 1 ? sentences : [])].some(isForeign)
}

function isForeign(text: string): boolean {
  const scores = eld.detect(text).getScores()
  const best = Math.max(0, ...Object.values(scores))
  return (scores.en ?? 0) < CLOSE * best && knownShare(foldedWords(text)) < KNOWN
}

function knownShare(words: readonly string[]): number {
  const known = words.filter((word) => ENGLISH.has(word) || isMusicWord(word))
  return words.length === 0 ? 1 : known.length / words.length
}
