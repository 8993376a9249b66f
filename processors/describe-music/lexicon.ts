/**
 * Concepts of music that a text can name (lexicon.json), how they are said, and which say others with them.
 *
 * Concept: `words` name it anywhere. `weak` words are everyday words too ('house', 'she'): they name it only beside words
 * of music (find-claims.ts). `is`: what else one may call it; a violin is strings. `implies`: what a text may say of a
 * track that has it though it is not the same; an orchestra has brass. `tag`: the vocabulary's tag, where it is one; a tag
 * is as wide as the vocabulary's phrases for it, so a xylophone is marimba here.
 *
 * The words are our own. Plurals of instruments and voices, hyphens and closed compounds ('drum set', 'drum-sets',
 * 'drumset') are made here, so the data holds the open singular.
 */
import data from './lexicon.json' with { type: 'json' }
import { foldedWords } from './words.ts'

export type ClaimCategory = 'instrument' | 'genre' | 'vocals' | 'mood'

export interface Concept {
  readonly category: ClaimCategory
  readonly name: string
  readonly tag?: string
  readonly words: readonly string[]
  readonly weak: readonly string[]
  readonly is: readonly string[]
  readonly implies: readonly string[]
}

interface RawConcept {
  category: string
  name: string
  tag?: string
  words?: string[]
  weak?: string[]
  is?: string[]
  implies?: string[]
}

/** A way through the words of a term; what ends here is a term. */
export interface TermNode {
  readonly next: Map<string, TermNode>
  concept?: Concept
  weak?: Concept
  /** Words of music that mean something else here: 'rock solid', 'electrical hum'. */
  notMusic?: boolean
}

/** Every concept by its name. */
export const lexicon: ReadonlyMap<string, Concept> = new Map(
  (data.concepts as RawConcept[]).map((raw) => [
    raw.name,
    {
      category: raw.category as ClaimCategory,
      name: raw.name,
      ...(raw.tag === undefined ? {} : { tag: raw.tag }),
      words: raw.words ?? [],
      weak: raw.weak ?? [],
      is: raw.is ?? [],
      implies: raw.implies ?? [],
    },
  ]),
)

/** Words that show that a weak word beside them means a genre. */
export const besideGenre = {
  after: new Set(data.besideGenre.after),
  before: new Set(data.besideGenre.before),
  /** Before 'of': 'a blend of house …'. */
  of: new Set(data.besideGenre.of),
  /** Before 'is': 'the style is country'. */
  is: new Set(data.besideGenre.is),
}

/** All terms, to be matched longest first. */
export const terms: TermNode = termsOf(lexicon.values(), data.notMusic)

const byTag = new Map([...lexicon.values()].flatMap((concept) => (concept.tag ? [[keyOf(concept), concept]] : [])))

/** @returns undefined for a tag that is not of the vocabulary. */
export function conceptOfTag({ category, tag }: { category: string; tag: string }): Concept | undefined {
  return byTag.get(`${category}/${tag.toLowerCase()}`)
}

const named = new Map<string, ReadonlySet<string>>()

/** @returns the concept's name and all that it is, near and far. */
export function allThatIs(name: string): ReadonlySet<string> {
  const known = named.get(name)
  if (known !== undefined) return known
  const all = new Set([name])
  for (const each of all) for (const parent of lexicon.get(each)?.is ?? []) all.add(parent)
  named.set(name, all)
  return all
}

/** @returns what a text may say of a track that has the concept: all that it is, and what these imply. */
export function entailedBy(name: string): ReadonlySet<string> {
  const is = allThatIs(name)
  return new Set([...is, ...[...is].flatMap((each) => lexicon.get(each)?.implies ?? [])])
}

/** @returns the nearest concepts with a tag, itself first: 'fiddle' gives violin, 'deep house' gives dance and electronic. */
export function nearestTagged(concept: Concept): Concept[] {
  if (concept.tag !== undefined) return [concept]
  return [...new Set(concept.is.flatMap((parent) => nearestTagged(lexicon.get(parent)!)))]
}

const musicWords = new Set([...lexicon.values()].flatMap(({ words, weak }) => [...words, ...weak].flatMap(foldedWords)))

/** @returns whether some term holds the word; folded, plural or not. */
export function isMusicWord(word: string): boolean {
  return musicWords.has(word) || (word.endsWith('s') && musicWords.has(word.slice(0, -1)))
}

function keyOf({ category, tag }: Concept): string {
  return `${category}/${tag}`
}

function termsOf(concepts: Iterable<Concept>, notMusic: readonly string[]): TermNode {
  const root: TermNode = { next: new Map() }
  for (const concept of concepts) {
    for (const term of concept.words)
      for (const words of formsOf(term, concept)) nodeOf(root, words).concept ??= concept
    for (const term of concept.weak) for (const words of formsOf(term, concept)) nodeOf(root, words).weak ??= concept
  }
  for (const term of notMusic) nodeOf(root, foldedWords(term)).notMusic = true
  return root
}

/** The term, its plural, and both as closed compounds if they are of two words. */
function* formsOf(term: string, { category }: Concept): Generator<string[]> {
  const words = foldedWords(term)
  const forms = [words]
  if (category === 'instrument' || category === 'vocals') {
    for (const plural of pluralsOf(words.at(-1)!)) forms.push([...words.slice(0, -1), plural])
  }
  for (const form of forms) {
    yield form
    if (form.length === 2) yield [form.join('')]
  }
}

function pluralsOf(word: string): string[] {
  if (/(ch|sh|x|z|ss)$/.test(word)) return [`${word}es`]
  if (word.endsWith('s')) return []
  if (/[^aeiou]y$/.test(word)) return [`${word.slice(0, -1)}ies`]
  return [`${word}s`]
}

function nodeOf(root: TermNode, words: readonly string[]): TermNode {
  let node = root
  for (const word of words) {
    let next = node.next.get(word)
    if (next === undefined) {
      next = { next: new Map() }
      node.next.set(word, next)
    }
    node = next
  }
  return node
}
