/**
 * Prompts of prompt2text: analogies A : A' :: B : B' of tag lines and human descriptions (McKee et al. 2023, §3.1), and
 * what comes back of them.
 *
 *     [Input]: Genre: Electronic (82.6%), Dance (63.9%); Mood: Dynamic (46.8%); Instrument: Synth keyboard (81.9%)
 *     [Output]: High energy synth line …
 *
 * Only tags, descriptions of the pool and sentences of ours go into a prompt: no title, no owner, no words of an upload.
 */
import type { Prompt } from '../../ports/text-generator.ts'
import type { FewShotPair } from './few-shot.ts'
import { byConfidence, type TagsByCategory, tagsByCategory } from './select-tags.ts'

export type PromptKind = 'instruct' | 'base'

/** Changes whenever the same tags and pairs would give another prompt. */
export const PROMPT_VERSION = 'analogy@1'

/** A text that failed the checks. */
export interface FailedText {
  readonly text: string
  /** What it names though the tags do not have it. */
  readonly invented: readonly string[]
}

const INPUT = '[Input]'
const OUTPUT = '[Output]'

const TASK = [
  'You describe music for people who search for it.',
  `Each ${INPUT} lists what was heard in ten seconds of music, with confidences in percent; each ${OUTPUT} describes it.`,
  'Write the last description: one or two sentences of plain English, in the manner of the others.',
  'Name only instruments, genres and voices that its own list has.',
  "'No vocals' means that nobody sings: then mention no singer, or call the music instrumental.",
  'Give no confidences, no titles and no names of people. Answer with the description and nothing else.',
].join(' ')

const REWRITE = [
  'You join short sentences about music into fluent ones.',
  'Say the same in one or two fluent sentences of plain English.',
  'Keep every fact and add none. Keep the words of the list as they are written.',
  'Answer with the sentences and nothing else.',
].join(' ')

/** For models that only go on with a text. */
const REWRITTEN = [
  [
    'This is country and rock music. The soundtrack has an acoustic guitar, a drumset and male vocals. It feels happy.',
    'This happy country and rock track has male vocals over an acoustic guitar and a drumset.',
  ],
  [
    'The music feels calm and tender. One can hear piano and cello. The genre is classical. It is instrumental.',
    'A calm and tender classical piece for piano and cello, instrumental throughout.',
  ],
  [
    'This is a dark track. Synth pad and drum machine can be heard. The style is electronic music with female vocals.',
    'Dark electronic music in which female vocals are heard over a synth pad and a drum machine.',
  ],
] as const

/**
 * The tags of a prompt, as the paper writes them: genre, mood, instrument, the highest first. Kinds of vocals stand among
 * the instruments, as in the paper's 'Male vocals (49.7%)'. An instrumental track has 'No vocals' there: 'Instrumental'
 * under 'Instrument' could be read as a heading, and a model that is told nothing likes to add a singer.
 */
export function tagLine({ genre, mood, instrument, vocals }: TagsByCategory): string {
  const voices = vocals.map((tag) => ({ ...tag, tag: VOICES.get(tag.tag.toLowerCase()) ?? tag.tag }))
  const lists = { Genre: genre, Mood: mood, Instrument: [...instrument, ...voices] }
  return Object.entries(lists)
    .filter(([, tags]) => tags.length > 0)
    .map(([category, tags]) => {
      const sorted = [...tags].sort(byConfidence)
      return `${category}: ${sorted.map(({ tag, confidence }) => `${titled(tag)} (${percent(confidence)})`).join(', ')}`
    })
    .join('; ')
}

/** Where the tag alone would be no instrument and no voice. */
const VOICES: ReadonlyMap<string, string> = new Map([
  ['instrumental', 'no vocals'],
  ['opera', 'opera singing'],
])

/** @param pairs in the order in which they are shown. */
export function analogyPrompt(tags: TagsByCategory, pairs: readonly FewShotPair[], kind: PromptKind): Prompt {
  const shown = pairs.map((pair) => analogy(tagLine(tagsByCategory(pair.tags)), pair.text))
  const user = [...shown, question(tagLine(tags))].join('\n\n')
  return kind === 'base' ? { user, stop: ['\n', INPUT] } : { system: TASK, user, stop: [INPUT] }
}

/** The same prompt, told what was wrong with `failed`. A model that follows no instructions gets it as it was, for another seed. */
export function retryPrompt(prompt: Prompt, failed: FailedText, kind: PromptKind): Prompt {
  if (kind === 'base') return prompt
  const named = [...new Set(failed.invented.map(plain).filter((word) => word !== ''))]
  const wrong = named.length > 0 ? `Do not mention: ${named.join(', ')}.` : 'It broke the rules that you were given.'
  const last = plain(failed.text)
    .slice(0, 600)
    .replace(/[\ud800-\udbff]$/, '')
  const said = last === '' ? '' : `Your last description was not accepted: "${last}" `
  return { ...prompt, system: `${prompt.system ?? TASK} ${said}${wrong} Write another.` }
}

/** Has a model join the sentences of data2text (Kasner & Dušek, ACL 2022: paragraph compression). */
export function compressPrompt(text: string, tags: TagsByCategory, kind: PromptKind): Prompt {
  if (kind === 'base') {
    const shown = REWRITTEN.map(([sentences, fluent]) => analogy(sentences, fluent))
    return { user: [...shown, question(text)].join('\n\n'), stop: ['\n', INPUT] }
  }
  const words = Object.values(tags).flatMap((list) => list.map(({ tag }) => tag))
  return { system: REWRITE, user: `Sentences: ${text}\nWords to keep: ${words.join(', ')}\n${OUTPUT}:`, stop: [INPUT] }
}

export interface CleanOptions {
  /** Whether the model ended because it may write no more: what follows its last whole sentence is cut. */
  readonly truncated?: boolean
  /** Besides the marks of the prompt. */
  readonly stop?: readonly string[]
}

/** @returns the bare description: what stands around it is taken away, and what it says is left as it is. */
export function cleanCompletion(text: string, { truncated = false, stop = [] }: CleanOptions = {}): string {
  const unfenced = withoutFence(text.normalize('NFC').replace(/\r\n?/g, '\n').trim())
  const bare = unfenced.replace(/^\**\[?output\]?\**:\**\s*/i, '')
  const ends = [INPUT, OUTPUT, ...stop].map((mark) => bare.indexOf(mark)).filter((at) => at >= 0)
  const cut = ends.length > 0 ? bare.slice(0, Math.min(...ends)) : bare
  const unquoted = withoutQuotes(cut.replace(/\s+/gu, ' ').trim())
  return truncated && ends.length === 0 ? wholeSentences(unquoted) : unquoted
}

function withoutFence(text: string): string {
  const [, inside] = /^```[a-z]*\n?([^`]*)(?:```)?$/i.exec(text) ?? []
  return (inside ?? text).trim()
}

const QUOTES: readonly (readonly [string, string])[] = [
  ['"', '"'],
  ["'", "'"],
  ['“', '”'],
  ['‘', '’'],
  ['«', '»'],
  ['`', '`'],
]

/** Quotes around the whole, not those around a word at either end. */
function withoutQuotes(text: string): string {
  for (const [open, close] of QUOTES) {
    const inside = text.slice(1, -1)
    if (text.length > 1 && text.startsWith(open) && text.endsWith(close)) {
      const apart = close === "'" || close === '’' ? inside.replace(/(?<=\p{L})['’](?=\p{L})/gu, '') : inside
      if (!apart.includes(open) && !apart.includes(close)) return inside.trim()
    }
  }
  return text
}

function wholeSentences(text: string): string {
  const ends = [...text.matchAll(/[.!?…]["'”’)]*(?=\s|$)/gu)]
  const last = ends.at(-1)
  return last === undefined ? '' : text.slice(0, last.index + last[0].length)
}

function analogy(input: string, output: string): string {
  return `${INPUT}: ${input}\n${OUTPUT}: ${output}`
}

function question(input: string): string {
  return `${INPUT}: ${input}\n${OUTPUT}:`
}

function titled(tag: string): string {
  return tag.charAt(0).toUpperCase() + tag.slice(1)
}

function percent(confidence: number): string {
  return `${(confidence * 100).toFixed(1)}%`
}

/** What a model wrote is data in the next prompt: one line, with no mark of ours. */
function plain(text: string): string {
  return text
    .replace(/[\p{C}\s]+/gu, ' ')
    .replace(/[[\]"]/g, '')
    .trim()
}
