/**
 * Tags to text with no training (method II of McKee et al. 2023, §3.1; Kasner & Dušek, ACL 2022):
 *
 *   templates, one sentence a category ─▶ order ─▶ aggregate neighbours ─▶ compress them into one sentence
 *
 * The three last steps are rules here. Every tag given is kept, none is added.
 */
import { pick } from '../../model/random.ts'
import type { TagsByCategory } from './select-tags.ts'

type Category = keyof TagsByCategory
type Facts = Partial<Record<Category, string>>

/** Said of a list of tags, e.g. 'piano, drums and strings'. */
const templates: Record<Category, readonly string[]> = {
  genre: ['This is {} music.', 'The genre of this track is {}.', 'This track is {}.', 'The style is {}.'],
  mood: ['The mood is {}.', 'The music feels {}.', 'Its mood is {}.', 'It sounds {}.'],
  instrument: ['The soundtrack has {}.', 'The song features {}.', 'One hears {}.', 'It is played on {}.'],
  vocals: ['The song has {}.', 'It comes with {}.', 'There are {}.'],
}

/** Two neighbouring facts in one sentence; {0} and {1} in the order of the name. */
const compressed: Record<string, readonly string[]> = {
  'genre+mood': ['This is {1} {0} music.', 'The style is {0}, and the mood is {1}.'],
  'genre+instrument': ['This is {0} music with {1}.', 'This {0} track features {1}.'],
  'instrument+mood': ['The soundtrack has {0}, and its mood is {1}.', 'It features {0}, which makes it feel {1}.'],
  'instrument+vocals': ['The song features {0} and {1}.', 'It has {0}, with {1}.'],
  'vocals+mood': ['It has {0} and feels {1}.', 'With {0}, it sounds {1}.'],
}

const orders: readonly (readonly Category[])[] = [
  ['genre', 'instrument', 'vocals', 'mood'],
  ['genre', 'mood', 'instrument', 'vocals'],
  ['instrument', 'vocals', 'mood', 'genre'],
]

/** @returns one to four sentences; '' for no tags. */
export function data2text(tags: TagsByCategory, random: () => number): string {
  const facts: Facts = {}
  for (const category of Object.keys(templates) as Category[]) {
    if (tags[category].length > 0) facts[category] = joinWords(tags[category].map(({ tag }) => spoken(tag)))
  }
  const order = pick(orders, random).filter((category) => facts[category] !== undefined)
  const sentences: string[] = []
  for (let i = 0; i < order.length; i++) {
    const category = order[i]!
    const forms = compressed[`${category}+${order[i + 1]}`]
    const plain = isInstrumental(facts, category) || isInstrumental(facts, order[i + 1])
    if (forms !== undefined && !plain && random() < 0.6) {
      sentences.push(pick(forms, random).replace('{0}', facts[category]!).replace('{1}', facts[order[++i]!]!))
    } else {
      sentences.push(sentence(category, facts, random))
    }
  }
  return sentences.map(capitalised).join(' ')
}

function sentence(category: Category, facts: Facts, random: () => number): string {
  if (isInstrumental(facts, category)) return pick(['It is instrumental.', 'The track is instrumental.'], random)
  return pick(templates[category], random).replace('{}', facts[category]!)
}

function isInstrumental(facts: Facts, category: Category | undefined): boolean {
  return category === 'vocals' && facts.vocals === 'instrumental'
}

/** 'a, b and c' */
function joinWords(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}

/** Tags are common nouns and adjectives in running text. */
function spoken(tag: string): string {
  return /^[A-Z0-9&]+$/.test(tag) ? tag : tag.toLowerCase()
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
