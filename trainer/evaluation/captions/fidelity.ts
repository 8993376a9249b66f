/**
 * How true texts are to the tags that they were written from.
 *
 *   precision   of the tags that the texts speak of, the share that was given
 *   recall      of the tags given, the share that the texts speak of
 *
 * Micro: over all tags of all texts. Intervals are by bootstrap over the tracks. A share of nothing is undefined.
 */
import { type BootstrapOptions, bootstrapItems, type Interval } from '../bootstrap.ts'

/** Of one text. A tag that stands twice counts once. */
export interface TagRow {
  readonly given: readonly string[]
  /** Of those given. */
  readonly kept: readonly string[]
  /** Spoken of, and not given. */
  readonly invented: readonly string[]
}

export interface PrecisionRecall {
  readonly precision: Interval | undefined
  readonly recall: Interval | undefined
}

export interface Fidelity extends PrecisionRecall {
  readonly byCategory: readonly (PrecisionRecall & { readonly category: string; readonly given: number })[]
  /** Share of the texts that invent nothing. */
  readonly noInvention: Interval | undefined
  /** Share of its tags that a text keeps, mean over the texts that were given any. */
  readonly keptShare: Interval | undefined
  /** Share of the texts that keep every tag. */
  readonly keepAll: Interval | undefined
}

export interface FidelityOptions extends BootstrapOptions {
  readonly categories: readonly string[]
  /** @returns one of the categories; tags of another count in the whole alone. */
  categoryOf(tag: string): string
}

export function fidelity(rows: readonly TagRow[], { categories, categoryOf, ...options }: FidelityOptions): Fidelity {
  const sums: Sums[] = [sumsOf(rows), ...categories.map((name) => sumsOf(rows, (tag) => categoryOf(tag) === name))]
  const shares: Share[] = [
    ...sums.flatMap(({ given, kept, spoken }) => [
      { part: kept, of: spoken },
      { part: kept, of: given },
    ]),
    ...wholeTexts(sums[0]!),
  ]
  const whole = shares.map((share) => weighed(share))
  const statistic = (weights?: Uint32Array) =>
    shares.map((share, i) => {
      const value = weights === undefined ? whole[i]! : weighed(share, weights)
      return Number.isNaN(value) ? whole[i]! : value // a draw without any such tag says nothing
    })
  const everyone = Array.from(rows, (_, row) => row)
  const intervals = bootstrapItems(everyone, statistic, options).map((interval, i) =>
    Number.isNaN(whole[i]!) ? undefined : interval,
  )
  const pairOf = (place: number): PrecisionRecall => ({
    precision: intervals[2 * place],
    recall: intervals[2 * place + 1],
  })
  const [noInvention, keptShare, keepAll] = intervals.slice(2 * sums.length)
  return {
    ...pairOf(0),
    byCategory: categories.map((category, i) => ({
      category,
      given: sums[i + 1]!.given.reduce((sum, count) => sum + count, 0),
      ...pairOf(i + 1),
    })),
    noInvention,
    keptShare,
    keepAll,
  }
}

/** Counts of tags by text. */
interface Sums {
  readonly given: Float64Array
  readonly kept: Float64Array
  readonly spoken: Float64Array
}

function sumsOf(rows: readonly TagRow[], counts: (tag: string) => boolean = () => true): Sums {
  const of = (tags: readonly string[]) => [...new Set(tags)].filter(counts).length
  const kept = Float64Array.from(rows, (row) => of(row.kept))
  return {
    given: Float64Array.from(rows, (row) => of(row.given)),
    kept,
    spoken: Float64Array.from(rows, (row, i) => kept[i]! + of(row.invented)),
  }
}

/** A share is the one sum divided by the other, over the texts. */
interface Share {
  readonly part: Float64Array
  readonly of: Float64Array
}

function wholeTexts({ given, kept, spoken }: Sums): Share[] {
  const ones = given.map(() => 1)
  const asked = given.map((count) => (count > 0 ? 1 : 0))
  return [
    { part: spoken.map((count, i) => (count === kept[i] ? 1 : 0)), of: ones },
    { part: kept.map((count, i) => (given[i]! > 0 ? count / given[i]! : 0)), of: asked },
    { part: kept.map((count, i) => (given[i]! > 0 && count === given[i] ? 1 : 0)), of: asked },
  ]
}

/** @returns NaN where there is nothing to take a share of. */
function weighed({ part, of }: Share, weights?: Uint32Array): number {
  let [above, below] = [0, 0]
  for (let i = 0; i < of.length; i++) {
    const weight = weights === undefined ? 1 : weights[i]!
    above += weight * part[i]!
    below += weight * of[i]!
  }
  return above / below
}
