/**
 * What a tagger can hear of the vocabulary, and by which of its labels: a mapping made ready for one tagger.
 *
 *     vocabulary ─┐
 *     mapping ────┼──▶ Hearing ──▶ hearMusic, columns of music.features.v1, zero-shot release
 *     labels ─────┘
 *
 * A tag can be heard when the mapping has evidence for it or when it is a mood, which has a place on the circumplex. The
 * others are words of the vocabulary without a confidence.
 */
import { createHash } from 'node:crypto'
import type { MusicEncoder } from '../../ports/encoder.ts'
import { SetupError } from '../../ports/errors.ts'
import { labelsByName } from './labels-by-name.ts'
import {
  type ByNameMapping,
  type Clause,
  type Evidence,
  type EvidenceMapping,
  parseMapping,
  type Thresholds,
} from './mapping.ts'
import byName from './mappings/by-name.json' with { type: 'json' }
import mtgJamendo from './mappings/mtg-jamendo.json' with { type: 'json' }
import musicnn from './mappings/musicnn.json' with { type: 'json' }
import { type VocabularyTag, vocabulary, vocabularySha256 } from './vocabulary.ts'

/** Mappings that come with the product, by the name that a profile gives. */
export const MAPPINGS: Readonly<Record<string, unknown>> = { musicnn, 'mtg-jamendo': mtgJamendo, 'by-name': byName }

export interface AudibleTag extends VocabularyTag {
  /** Empty for a mood that no label speaks for: it rests on its place alone. */
  readonly evidence: Evidence
}

export interface Hearing {
  /** Tags that can be heard, in the order of the tag columns of music features. */
  readonly tags: readonly AudibleTag[]
  /** Of the tagger, in the order of its confidences. */
  readonly labels: readonly string[]
  /** Base rates of the labels that any tag or hint rests on. */
  readonly rates: ReadonlyMap<string, number>
  /** What the labels say of mood, from their own places on the circumplex. */
  readonly hints: { readonly arousal: Clause; readonly valence: Clause }
  readonly moodLabelWeight: number
  readonly thresholds: Thresholds
  /**
   * Over the vocabulary and everything of the mapping that makes confidences: features of another one cannot be compared.
   * Thresholds are not part of it; they travel with the tags, and a new calibration asks for no new hearing.
   */
  readonly sha256: string
}

/** @throws SetupError 'unknown-mapping' | 'bad-mapping' */
export function hearingOf({ labels, mapping: source }: Pick<MusicEncoder, 'labels' | 'mapping'>): Hearing {
  const [value, origin] = typeof source === 'string' ? [named(source), `"${source}"`] : [source.value, source.origin]
  const mapping = parseMapping(value, labels, origin)
  return mapping.kind === 'by-name' ? hearingByName(mapping, labels, origin) : hearingByEvidence(mapping, labels)
}

function named(name: string): unknown {
  if (Object.hasOwn(MAPPINGS, name)) return MAPPINGS[name]
  const names = Object.keys(MAPPINGS).join(', ')
  throw new SetupError(
    'unknown-mapping',
    `There is no mapping "${name}". There are ${names}, or a file of the profile.`,
  )
}

function hearingByEvidence(mapping: EvidenceMapping, labels: readonly string[]): Hearing {
  const has = new Set(labels)
  const heard = (clause: Clause): Clause => Object.fromEntries(Object.entries(clause).filter(([name]) => has.has(name)))
  const rated = new Map(
    labels.flatMap((label, i) => {
      const rate = mapping.rates.byLabel[label] ?? rateByRank(mapping.rates.byRank, label, i, labels)
      return rate === undefined ? [] : [[label, rate] as const]
    }),
  )
  const places = Object.entries(mapping.places).filter(([label]) => has.has(label))
  return assemble({
    labels,
    evidenceOf: ({ category, tag }) => {
      const clauses = (mapping.evidence[category][tag] ?? []).map((clause) => [clause, heard(clause)] as const)
      // A clause cannot be met where the tagger has no label of it, or none of those that speak for it.
      const speaks = (clause: Clause) => Object.values(clause).some((weight) => weight > 0)
      const canBeMet = clauses.every(([full, own]) => Object.keys(own).length > 0 && (speaks(own) || !speaks(full)))
      return canBeMet ? clauses.map(([, own]) => own) : []
    },
    rated,
    hints: {
      arousal: Object.fromEntries(places.map(([label, [, arousal]]) => [label, arousal])),
      valence: Object.fromEntries(places.map(([label, [valence]]) => [label, valence])),
    },
    mapping,
  })
}

function rateByRank(
  sets: EvidenceMapping['rates']['byRank'],
  label: string,
  index: number,
  labels: readonly string[],
): number | undefined {
  const set = sets.find(({ prefix }) => label.startsWith(prefix))
  if (set === undefined) return undefined
  const rank = index - labels.findIndex((other) => other.startsWith(set.prefix)) + 1
  return set.head * rank ** -set.exponent
}

/** The labels are said to be tags themselves; their places are those of the tags, so they give no hints besides. */
function hearingByName(mapping: ByNameMapping, labels: readonly string[], origin: string): Hearing {
  const byTag = labelsByName(labels, vocabulary)
  if (byTag.size === 0) {
    const message = `The mapping ${origin} takes labels by name, and none of the tagger's ${labels.length} labels is a word of the vocabulary`
    throw new SetupError('bad-mapping', `${message}: ${labels.slice(0, 5).join(', ')} …`)
  }
  return assemble({
    labels,
    evidenceOf: (tag) => {
      const names = byTag.get(tag)
      return names === undefined ? [] : [Object.fromEntries(names.map((name) => [name, 1]))]
    },
    rated: new Map(labels.map((label) => [label, mapping.rate])),
    hints: { arousal: {}, valence: {} },
    mapping,
  })
}

function assemble({
  labels,
  evidenceOf,
  rated,
  hints,
  mapping: { moodLabelWeight, thresholds },
}: {
  labels: readonly string[]
  evidenceOf: (tag: VocabularyTag) => Evidence
  rated: ReadonlyMap<string, number>
  hints: Hearing['hints']
  mapping: EvidenceMapping | ByNameMapping
}): Hearing {
  const tags = vocabulary
    .map((tag): AudibleTag => ({ ...tag, evidence: evidenceOf(tag) }))
    .filter(({ evidence, circumplex }) => evidence.length > 0 || circumplex !== undefined)
  const used = new Set([...tags.flatMap(({ evidence }) => evidence), hints.arousal].flatMap(Object.keys))
  const rates = new Map([...rated].filter(([label]) => used.has(label)))
  const evidence = tags.map((tag) => [tag.category, tag.tag, tag.evidence])
  const sha256 = createHash('sha256')
    .update(JSON.stringify([vocabularySha256, evidence, [...rates], hints, moodLabelWeight]))
    .digest('hex')
  return { tags, labels, rates, hints, moodLabelWeight, thresholds, sha256 }
}
