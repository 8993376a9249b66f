/**
 * How the labels of one tagger become tags of the vocabulary: a file of evidence, or labels that are words of the
 * vocabulary already. Files of the product lie in mappings/; a profile may bring its own (docs/vocabulary.md).
 *
 * What a mapping says is checked against the vocabulary and against the labels that the tagger has; every fault is told
 * at once, with its path.
 */
import { z } from 'zod'
import { SetupError } from '../../ports/errors.ts'
import { CATEGORIES, type Category, vocabulary } from './vocabulary.ts'

/** Labels that say the same, with their weights; a negative weight speaks against. */
export type Clause = Readonly<Record<string, number>>
/** All clauses must hold: a tag is as certain as its weakest clause. */
export type Evidence = readonly Clause[]
export type Thresholds = Readonly<Record<Category, number>>

const openShare = z.number().gt(0, 'must lie between 0 and 1').lt(1, 'must lie between 0 and 1')
const coordinate = z.number().min(-1).max(1)
const common = {
  /** Which tagger, in words. */
  about: z.string(),
  /** What the labels for a mood's word count beside its place on the circumplex. */
  moodLabelWeight: z.number().min(0).max(1),
  /** Confidence from which a tag of the category is claimed. */
  thresholds: z.strictObject({ instrument: openShare, genre: openShare, mood: openShare, vocals: openShare }),
  /** On what the thresholds were calibrated; null where nothing was. */
  calibration: z.string().nullable(),
}

const byNameSchema = z.strictObject({
  kind: z.literal('by-name'),
  ...common,
  /** Confidence of a label that says nothing: 0.5 takes the tagger at its word. */
  rate: openShare,
})

const byRank = z.strictObject({
  /** Of the labels, which the tagger has in the order of frequency in its training set. */
  prefix: z.string(),
  /** rate(rank) = head · rank^-exponent, from rank 1. */
  head: openShare,
  exponent: z.number().min(0),
  source: z.string(),
})

/** @param check of a label's name. */
function evidenceSchema(check: (label: string) => string | undefined) {
  const label = z.string().superRefine((name, context) => {
    const fault = check(name)
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
  })
  const clause = z
    .record(label, z.number())
    .refine((weights) => Object.values(weights).some((weight) => weight !== 0), {
      message: 'has no label that weighs anything',
    })
  const clauses = z.array(clause).min(1)
  const tagsOf = (category: Category) =>
    z.strictObject(
      Object.fromEntries(
        vocabulary.filter((tag) => tag.category === category).map(({ tag }) => [tag, clauses.optional()] as const),
      ),
    )
  return z.strictObject({
    kind: z.literal('evidence'),
    ...common,
    /** Whether the tagger may have some of the labels in `rates.byLabel` only. */
    mayLackLabels: z.boolean(),
    /** How often each label is right in the tagger's training set. */
    rates: z.strictObject({ byRank: z.array(byRank), byLabel: z.record(label, openShare) }),
    evidence: z.strictObject({
      instrument: tagsOf('instrument'),
      genre: tagsOf('genre'),
      mood: tagsOf('mood'),
      vocals: tagsOf('vocals'),
    }),
    /** Where the music lies on the circumplex that a label is said of: valence and arousal (mood.ts). */
    places: z.record(label, z.tuple([coordinate, coordinate])),
  })
}

export type EvidenceMapping = z.infer<ReturnType<typeof evidenceSchema>>
export type ByNameMapping = z.infer<typeof byNameSchema>

/**
 * @param labels that the tagger has, in the order of its confidences.
 * @throws SetupError 'bad-mapping' listing every fault.
 */
export function parseMapping(
  value: unknown,
  labels: readonly string[],
  origin: string,
): EvidenceMapping | ByNameMapping {
  const { kind, mayLackLabels, declared, prefixes } = glance(value)
  const has = new Set(labels)
  const known = (label: string) => has.has(label) || (mayLackLabels && declared.has(label))
  const rated = (label: string) => declared.has(label) || prefixes.some((prefix) => label.startsWith(prefix))
  const check = (label: string) => {
    if (!known(label)) return 'the tagger has no such label'
    return rated(label) ? undefined : 'has no base rate in "rates"'
  }
  const faults: string[] = []
  const complain = (path: readonly PropertyKey[], message: string) =>
    faults.push(`  ${path.join('.') || '(whole)'}: ${message}`)

  const parsed = kind === 'by-name' ? byNameSchema.safeParse(value) : evidenceSchema(check).safeParse(value)
  for (const issue of parsed.error?.issues ?? []) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) complain([...issue.path, key], unknownKey(issue.path))
    } else if (issue.code === 'invalid_key') complain(issue.path, issue.issues[0]?.message ?? issue.message)
    else complain(issue.path, issue.message)
  }
  if (kind !== 'by-name') {
    for (const [i, prefix] of prefixes.entries()) {
      if (labels.some((label) => label.startsWith(prefix))) continue
      complain(['rates', 'byRank', i, 'prefix'], `no label of the tagger begins with "${prefix}"`)
    }
    if (mayLackLabels && !labels.some((label) => declared.has(label))) {
      complain(['rates', 'byLabel'], 'the tagger has none of these labels')
    }
  }
  if (parsed.success && faults.length === 0) return parsed.data
  throw new SetupError('bad-mapping', `The mapping ${origin} does not fit its tagger:\n${faults.join('\n')}`)
}

function unknownKey(path: readonly PropertyKey[]): string {
  const [first, category] = path
  if (first === 'evidence' && CATEGORIES.some((one) => one === category)) {
    return `is no ${String(category)} of the vocabulary`
  }
  return 'is not known here'
}

/** What the checks of labels need to know beforehand, as far as it can be read. */
function glance(value: unknown) {
  const nothing = { byRank: [], byLabel: {} }
  const parsed = z
    .object({
      kind: z.string().catch('evidence'),
      mayLackLabels: z.boolean().catch(false),
      rates: z
        .object({
          byRank: z.array(z.object({ prefix: z.string() })).catch([]),
          byLabel: z.record(z.string(), z.unknown()).catch({}),
        })
        .catch(nothing),
    })
    .catch({ kind: 'evidence', mayLackLabels: false, rates: nothing })
    .parse(value)
  return {
    kind: parsed.kind,
    mayLackLabels: parsed.mayLackLabels,
    declared: new Set(Object.keys(parsed.rates.byLabel)),
    prefixes: parsed.rates.byRank.map(({ prefix }) => prefix),
  }
}
