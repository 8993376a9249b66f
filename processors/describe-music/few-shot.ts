/**
 * The pool of prompt2text: pairs of tags and what a person wrote for them (McKee et al. 2023, §3.1: 1,000 descriptions of
 * training clips), and the choice of those that a prompt shows.
 *
 * Files: JSON `{ licence?, about?, pairs: [{ tags, text }] }`, JSON Lines of pairs, or CSV with the columns `text` and
 * `tags`. Tags are a line, `genre: jazz (71.2%), blues; mood: calm`, or in JSON a list of { category, tag, confidence }. A
 * pair without tags gets those that its text names; a text that names none is left out.
 */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { CsvError, parse } from 'csv-parse/sync'
import { SetupError } from '../../ports/errors.ts'
import type { Tag } from '../../schemas/types.ts'
import data from './few-shot.json' with { type: 'json' }
import { isTagCategory, isTagName, spokenTags } from './select-tags.ts'
import { indexPairs, mostSimilar, type PairIndex } from './similar-pairs.ts'

export interface FewShotPair {
  readonly tags: readonly Tag[]
  readonly text: string
}

export interface FewShotPool {
  readonly pairs: readonly FewShotPair[]
  /** Of the file. */
  readonly sha256: string
  readonly licence?: string
  /** How many texts were left out because neither they nor the file name a tag. */
  readonly untagged?: number
}

/**
 * 'similar': of tags like the track's; 'random': any, as in the paper; 'fixed': any, the same for all tracks, so that
 * prompts share their beginning, which many endpoints then read but once.
 */
export type PairChoice = 'similar' | 'random' | 'fixed'

const MOST_BYTES = 10 * 2 ** 20
const MOST_PAIRS = 20_000
const MOST_CHARACTERS = 600
/** How many bad rows a message lists. */
const MOST_LISTED = 100

let written: FewShotPool | undefined

/** The pairs that come with Cuestream (few-shot.json). */
export function defaultPool(): FewShotPool {
  written ??= {
    pairs: data.pairs.map(({ tags, text }) => ({ tags: spokenTags(parseTags(tags)), text })),
    sha256: sha256(JSON.stringify(data)),
    licence: data.licence,
  }
  return written
}

/**
 * @param atLeast how many pairs a prompt shows.
 * @throws SetupError 'bad-few-shot-pool' with every bad row and what is wrong with it.
 */
export async function readPool(path: string, atLeast = 1): Promise<FewShotPool> {
  const bytes = await contents(path)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw bad(path, 'is not UTF-8', cause)
  }
  const { rows, licence } = rowsOf(path, text)
  if (rows.length > MOST_PAIRS) throw bad(path, `has ${rows.length} pairs, more than ${MOST_PAIRS}`)
  // The lexicon is large, and the pool that comes with Cuestream has its tags.
  const { tagsOfAspects } = await import('./aspects.ts')
  const faults: string[] = []
  const pairs: FewShotPair[] = []
  let untagged = 0
  for (const row of rows) {
    const { pair, reasons } = readPair(row.value, tagsOfAspects)
    if (reasons.length > 0) faults.push(`${row.place}: ${reasons.join('; ')}`)
    else if (pair === undefined) untagged++
    else pairs.push(pair)
  }
  if (faults.length > 0) {
    const listed = faults.slice(0, MOST_LISTED).map((fault) => `\n  ${fault}`)
    const unlisted = faults.length > MOST_LISTED ? `\n  and ${faults.length - MOST_LISTED} more` : ''
    throw bad(path, `has ${faults.length} bad ${faults.length === 1 ? 'row' : 'rows'}:${listed.join('')}${unlisted}`)
  }
  if (pairs.length < atLeast) {
    const left = untagged === 0 ? '' : `, and ${untagged} texts that name no tag`
    throw bad(path, `has ${pairs.length} pairs with tags${left}: ${atLeast} are needed`)
  }
  return { pairs, sha256: sha256(bytes), untagged, ...(licence === undefined ? {} : { licence }) }
}

async function contents(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path)
    if (size > MOST_BYTES) throw bad(path, `is of ${size} bytes, more than ${MOST_BYTES}`)
    return await readFile(path)
  } catch (cause) {
    if (cause instanceof SetupError) throw cause
    throw bad(path, 'cannot be read', cause)
  }
}

const indexes = new WeakMap<FewShotPool, PairIndex>()

/**
 * @returns k pairs, the same for the same seed; of similar ones the most similar last, where it is next to the question.
 * @param random of the track, or of all tracks where the choice is fixed.
 * @throws SetupError 'small-few-shot-pool' where the pool has fewer.
 */
export function choosePairs(
  pool: FewShotPool,
  tags: readonly Tag[],
  { k, choice, random }: { readonly k: number; readonly choice: PairChoice; readonly random: () => number },
): readonly FewShotPair[] {
  const { pairs } = pool
  if (k > pairs.length) {
    throw new SetupError('small-few-shot-pool', `A prompt shows ${k} pairs, and the few-shot pool has ${pairs.length}`)
  }
  if (choice !== 'similar') return drawn(pairs.length, k, random).map((place) => pairs[place]!)
  let index = indexes.get(pool)
  if (index === undefined) {
    index = indexPairs(pairs.map((pair) => pair.tags))
    indexes.set(pool, index)
  }
  return mostSimilar(index, spokenTags(tags), k, random).map((place) => pairs[place]!)
}

/** @returns k different places of n: the first k of a Fisher–Yates shuffle. */
function drawn(n: number, k: number, random: () => number): number[] {
  const moved = new Map<number, number>()
  return Array.from({ length: k }, (_, i) => {
    const j = i + Math.floor(random() * (n - i))
    const place = moved.get(j) ?? j
    moved.set(j, moved.get(i) ?? i)
    return place
  })
}

interface Row {
  /** 'line 7', or 'pair 7' in JSON. */
  readonly place: string
  /** undefined where the row itself cannot be read. */
  readonly value: unknown
}

function rowsOf(path: string, text: string): { rows: Row[]; licence?: string } {
  const kind = /\.(json|jsonl|ndjson|csv)$/i.exec(path)?.[1]?.toLowerCase()
  if (kind === 'json') return jsonRows(path, text)
  if (kind === 'csv') return { rows: csvRows(path, text) }
  if (kind === undefined) throw bad(path, 'is no .json, .jsonl or .csv')
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  const rows = lines.map((line, i) => ({ place: `line ${i + 1}`, line })).filter(({ line }) => line.trim() !== '')
  return { rows: rows.map(({ place, line }) => ({ place, value: parsed(line) })) }
}

function jsonRows(path: string, text: string): { rows: Row[]; licence?: string } {
  const pool = parsed(text.replace(/^\uFEFF/, ''))
  if (!isRecord(pool) || !Array.isArray(pool.pairs)) throw bad(path, 'is no JSON of { "pairs": [{ "tags", "text" }] }')
  const rows = pool.pairs.map((value: unknown, i) => ({ place: `pair ${i + 1}`, value }))
  return { rows, ...(typeof pool.licence === 'string' ? { licence: pool.licence } : {}) }
}

function csvRows(path: string, text: string): Row[] {
  let records: { record: string[]; info: { lines: number } }[]
  try {
    records = parse(text, {
      bom: true,
      info: true,
      skip_empty_lines: true,
      relax_column_count: true,
      record_delimiter: ['\r\n', '\n', '\r'],
    }) as unknown as typeof records
  } catch (cause) {
    throw bad(path, cause instanceof CsvError ? `is no CSV: ${cause.message}` : 'is no CSV', cause)
  }
  const header = records[0]?.record.map((name) => name.trim().toLowerCase()) ?? []
  const [textAt, tagsAt] = [header.indexOf('text'), header.indexOf('tags')]
  if (textAt < 0) throw bad(path, "has no column 'text' in its first line")
  return records.slice(1).map(({ record, info }) => ({
    place: `line ${info.lines}`,
    value:
      record.length === header.length
        ? { text: record[textAt], ...(tagsAt < 0 ? {} : { tags: record[tagsAt] }) }
        : { columns: `${record.length} columns where the first line has ${header.length}` },
  }))
}

/** @returns a pair, or why there is none; neither for a text that names no tag. */
function readPair(
  row: unknown,
  tagsOf: (texts: readonly string[]) => readonly Tag[],
): { pair?: FewShotPair; reasons: string[] } {
  if (!isRecord(row)) return { reasons: ['no pair of tags and text'] }
  if (typeof row.columns === 'string') return { reasons: [row.columns] }
  const reasons: string[] = []
  const text = typeof row.text === 'string' ? row.text.normalize('NFC').replace(/\s+/gu, ' ').trim() : ''
  if (text === '') reasons.push('no text')
  if (text.length > MOST_CHARACTERS) reasons.push(`a text of ${text.length} characters, more than ${MOST_CHARACTERS}`)
  if (/\p{Cc}/u.test(text)) reasons.push('a text with control characters')
  if (/\[(?:input|output)\]/i.test(text)) reasons.push('a text with [Input] or [Output], which part a prompt')

  let tags: readonly Tag[] = []
  try {
    if (row.tags !== undefined && row.tags !== null && row.tags !== '') tags = readTags(row.tags)
    else if (reasons.length === 0) tags = tagsOf([text])
  } catch (error) {
    reasons.push((error as Error).message)
  }
  if (reasons.length > 0) return { reasons }
  const spoken = spokenTags(tags)
  return spoken.length === 0 ? { reasons } : { reasons, pair: { tags: spoken, text } }
}

function readTags(value: unknown): Tag[] {
  if (typeof value === 'string') return parseTags(value)
  if (!Array.isArray(value)) throw new Error('tags that are neither a line nor a list')
  return value.map((tag: unknown) => {
    if (!isRecord(tag)) throw new Error('a tag that is no { category, tag, confidence }')
    return readTag(String(tag.category), String(tag.tag), tag.confidence ?? 1)
  })
}

/** Of `genre: jazz (71.2%), blues; mood: calm`; a tag without a confidence is certain. */
function parseTags(line: string): Tag[] {
  return line
    .split(';')
    .filter((part) => part.trim() !== '')
    .flatMap((part) => {
      const [, category, list] = /^([^:]*):(.*)$/su.exec(part) ?? []
      if (category === undefined || list === undefined) throw new Error(`tags without a category: '${shown(part)}'`)
      return list.split(',').map((one) => {
        const [, name, percent] = /^(.*?)(?:\(\s*([\d.]+)\s*%\s*\))?$/su.exec(one.trim())!
        return readTag(category, name!, percent === undefined ? 1 : Number(`${percent}e-2`))
      })
    })
}

function readTag(category: string, name: string, confidence: unknown): Tag {
  const tag = {
    category: category.trim().toLowerCase(),
    tag: name.normalize('NFC').trim(),
    confidence: Number(confidence),
  }
  if (!isTagCategory(tag.category)) throw new Error(`a category '${shown(category)}'`)
  if (!isTagName(tag.tag)) throw new Error(`a tag '${shown(name)}' that is no name of 40 characters at most`)
  if (!(tag.confidence >= 0 && tag.confidence <= 1)) throw new Error(`a confidence of '${shown(name)}' past 0 … 100%`)
  return tag
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function shown(text: string): string {
  const plain = text.replace(/[\p{C}\s]+/gu, ' ').trim()
  return plain.length > 40 ? `${plain.slice(0, 40)}…` : plain
}

function bad(path: string, what: string, cause?: unknown): SetupError {
  return new SetupError('bad-few-shot-pool', `The few-shot pool ${path} ${what}`, { cause })
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
