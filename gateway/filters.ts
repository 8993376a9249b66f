/**
 * Filters of a query: the one table of what can be asked, how it is validated, and which attribute it becomes.
 * The index carries attributes of the same names: words as lower-case tags, `explicit` as 'yes' or 'no', `territory` as
 * country codes with WORLDWIDE where rights name none, `bpm` and `durationSeconds` as numbers.
 */
import { z } from 'zod'
import { InvalidRequestError } from '../ports/errors.ts'
import { WORLDWIDE } from '../ports/rights.ts'
import type { FilterCondition } from '../schemas/types.ts'
import { RefusedRequestError } from './problem.ts'

interface Field {
  readonly schema: z.ZodType
  /** Of a value that the schema has passed; all of them hold. */
  conditions(value: never): Condition[]
}

type Condition = Omit<FilterCondition, 'field'>

const MAX_WORDS = 50
const ANY: Condition = { anyOf: [], noneOf: [], min: null, max: null }

const lowerCase = z.string().trim().toLowerCase().min(1).max(64)

/** "rock", ["rock", "folk"], { "anyOf": […], "not": […] } */
function words(word: z.ZodType<string, string>, description: string): Field {
  const list = z.union([word, z.array(word).min(1).max(MAX_WORDS)])
  const schema = z
    .union([
      list,
      z
        .strictObject({ anyOf: list.optional(), not: list.optional() })
        .refine(({ anyOf, not }) => anyOf !== undefined || not !== undefined, 'needs anyOf, not or both'),
    ])
    .describe(`${description} One, any of several, or { anyOf, not }.`)
  return {
    schema,
    conditions(value: z.infer<typeof schema>) {
      if (typeof value === 'string' || Array.isArray(value)) return [{ ...ANY, anyOf: [value].flat() }]
      return [{ ...ANY, anyOf: [value.anyOf ?? []].flat(), noneOf: [value.not ?? []].flat() }]
    },
  }
}

function range(least: number, most: number, description: string): Field {
  const bound = z.number().min(least).max(most).optional()
  const schema = z
    .strictObject({ min: bound, max: bound })
    .refine(({ min, max }) => min !== undefined || max !== undefined, 'needs min, max or both')
    .refine(({ min = least, max = most }) => min <= max, 'min is above max')
    .describe(description)
  return {
    schema,
    conditions: ({ min, max }: z.infer<typeof schema>) => [{ ...ANY, min: min ?? null, max: max ?? null }],
  }
}

const PITCHES = ['C', 'C#', 'D', 'Eb', 'E', 'F', 'F#', 'G', 'Ab', 'A', 'Bb', 'B'] as const
const ENHARMONIC: Readonly<Record<string, string>> = { Db: 'C#', 'D#': 'Eb', Gb: 'F#', 'G#': 'Ab', 'A#': 'Bb' }

/** One spelling a pitch, that of the analysis: "bb" and "A#" are Bb. */
const tonic = z
  .string()
  .trim()
  .max(64)
  .overwrite((text) => {
    const pitch = `${text.slice(0, 1).toUpperCase()}${text.slice(1).replace('♯', '#').replace('♭', 'b').toLowerCase()}`
    return ENHARMONIC[pitch] ?? pitch
  })
  .refine((pitch) => (PITCHES as readonly string[]).includes(pitch), `is not one of ${PITCHES.join(', ')}`)

const territory = z
  .string()
  .trim()
  .toUpperCase()
  .regex(/^[A-Z]{2}$/, 'is not a country code of two letters')

const FIELDS: Readonly<Record<string, Field>> = {
  genre: words(lowerCase, 'Genre tags.'),
  mood: words(lowerCase, 'Mood tags.'),
  instrument: words(lowerCase, 'Instrument tags.'),
  vocals: words(lowerCase, 'Vocals tags.'),
  bpm: range(1, 1000, 'Tempo in beats per minute, bounds included.'),
  key: words(tonic, `Tonic: ${PITCHES.join(', ')} (other spellings are understood).`),
  mode: words(lowerCase.pipe(z.enum(['major', 'minor'])), 'major or minor.'),
  durationSeconds: range(0, 86_400, 'Length of the track, bounds included.'),
  explicit: {
    schema: z.boolean().describe('false leaves out tracks marked explicit.'),
    conditions: (value: boolean) => [{ ...ANY, anyOf: [value ? 'yes' : 'no'] }],
  },
  licence: words(z.string().trim().min(1).max(128), 'Licence, as the upload gave it.'),
  territory: {
    schema: z
      .union([territory, z.array(territory).min(1).max(MAX_WORDS)])
      .describe('Where the music will be used, ISO 3166-1 alpha-2; rights must cover all that are named.'),
    conditions: (value: string | string[]) => [value].flat().map((code) => ({ ...ANY, anyOf: [code, WORLDWIDE] })),
  },
}

/** For documents; `toFilterConditions` is what validates. */
export const filtersSchema = z.strictObject(
  Object.fromEntries(Object.entries(FIELDS).map(([name, { schema }]) => [name, schema.optional()])),
)

/** @throws InvalidRequestError 'unknown-filter' | 'invalid-filter', naming the filter. */
export function toFilterConditions(filters: unknown): FilterCondition[] {
  if (filters === undefined || filters === null) return []
  if (typeof filters !== 'object' || Array.isArray(filters)) {
    throw new InvalidRequestError('invalid-filter', 'filters is an object, such as { "genre": "folk" }')
  }
  return Object.entries(filters).flatMap(([name, value]) => {
    const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined
    if (field === undefined) {
      const known = Object.keys(FIELDS)
      const message = `There is no filter ${JSON.stringify(name.slice(0, 64))}; known: ${known.join(', ')}`
      throw new RefusedRequestError('unknown-filter', message, { members: { filter: name.slice(0, 64), known } })
    }
    const parsed = field.schema.safeParse(value)
    if (!parsed.success) {
      const message = `Filter ${name}: ${z.prettifyError(parsed.error).replace(/\s*\n\s*/g, ' ')}`
      throw new RefusedRequestError('invalid-filter', message, { members: { filter: name } })
    }
    return field.conditions(parsed.data as never).map((condition) => ({ field: name, ...condition }))
  })
}
