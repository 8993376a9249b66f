/**
 * Attributes and filters of the port in the words of the Query Engine.
 *
 * All tags of a row, whatever their field, are one TAG field of tokens `t_<field>__<value>`; each numeric field is a
 * NUMERIC field `n_<field>`. So fields are open-ended, one that is a number here and a tag there is two, and a row
 * without a field has no token of it. Outside ASCII letters and digits each byte of a name or value is written `_xx`:
 * no separator, quote, case, blank or script can be taken for syntax.
 */
import { createHash } from 'node:crypto'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { Attributes, Filter, FilterCondition } from '../../ports/vector-index.ts'
import { partitionForKey } from '../partitioner.ts'

/** Every row has it. */
export const ROW_TOKEN = 'row'
export const EVERY_ROW = `@tags:{${ROW_TOKEN}}`

/** One row of so many, by a hash of its id, has this token: what is counted among them holds for all. */
export const SAMPLED_OF = 256
export const SAMPLE_TOKEN = 'sample'

/** Longer ones are hashed: the engine cuts tags at 4,096 bytes. */
const MAX_TOKEN = 512

/** The hash fields of a row that hold its attributes. */
export function attributeFields(id: string, attributes: Attributes): string[] {
  const tokens = new Set([ROW_TOKEN])
  if (isSampled(id)) tokens.add(SAMPLE_TOKEN)
  const numbers: string[] = []
  for (const [field, value] of Object.entries(attributes)) {
    if (typeof value === 'number') numbers.push(numericField(field), String(value))
    else for (const tag of value) tokens.add(tagToken(field, tag))
  }
  return ['tags', [...tokens].join(','), ...numbers]
}

/** By another hash than the one that chooses a row's server, or the sample of a server would be none or all. */
function isSampled(id: string): boolean {
  return partitionForKey(`sample ${id}`, SAMPLED_OF) === 0
}

/** The NUMERIC fields that the schema must have before the row is written. */
export function numericFields(attributes: Attributes): string[] {
  return Object.keys(attributes)
    .filter((field) => typeof attributes[field] === 'number')
    .map(numericField)
}

export interface Query {
  /** DIALECT 2. */
  readonly text: string
  /** Must be in the schema for a row to match. */
  readonly numericFields: readonly string[]
}

/** @returns undefined when no row can match. @throws InvalidRequestError 'bad-filter' for a range of NaN */
export function filterQuery(filter: Filter): Query | undefined {
  const parts: string[] = []
  const without: string[] = []
  const numericFields: string[] = []
  let possible = true
  for (const condition of filter) {
    if ('anyOf' in condition) {
      if (condition.anyOf.length === 0) possible = false
      else parts.push(tagQuery(condition.field, condition.anyOf))
    } else if ('noneOf' in condition) {
      if (condition.noneOf.length > 0) without.push(`-${tagQuery(condition.field, condition.noneOf)}`)
    } else {
      const { min, max } = rangeOf(condition)
      if (min > max || min === Infinity || max === -Infinity) possible = false
      numericFields.push(numericField(condition.field))
      parts.push(`@${numericField(condition.field)}:[${bound(min)} ${bound(max)}]`)
    }
  }
  if (!possible) return undefined
  // The complement alone would walk all document ids ever given, which grow with every update (RediSearch#5212).
  if (parts.length === 0) parts.push(EVERY_ROW)
  return { text: [...parts, ...without].join(' '), numericFields }
}

function rangeOf({ field, min = -Infinity, max = Infinity }: Extract<FilterCondition, { min?: number }>) {
  if (Number.isNaN(min) || Number.isNaN(max)) {
    throw new InvalidRequestError('bad-filter', `The range of ${field} is not a number.`)
  }
  return { min, max }
}

function bound(value: number): string {
  return Number.isFinite(value) ? String(value) : value < 0 ? '-inf' : '+inf'
}

function tagQuery(field: string, tags: readonly string[]): string {
  return `@tags:{${[...new Set(tags.map((tag) => tagToken(field, tag)))].join('|')}}`
}

function tagToken(field: string, tag: string): string {
  return short(`t_${plain(field)}__${plain(tag)}`)
}

function numericField(field: string): string {
  return short(`n_${plain(field)}`)
}

function plain(text: string): string {
  return text.replace(/[^A-Za-z0-9]/gu, (char) =>
    [...Buffer.from(char)].map((byte) => `_${byte.toString(16).padStart(2, '0')}`).join(''),
  )
}

/** Keeps the two characters that say what it is. */
function short(token: string): string {
  if (token.length <= MAX_TOKEN) return token
  return `${token.slice(0, 2)}___${createHash('sha256').update(token).digest('hex')}`
}
