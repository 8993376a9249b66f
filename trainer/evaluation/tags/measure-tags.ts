/** What is claimed of music, category by category, beside what musicians name: the figures of `cuestream evaluate tags`. */
import {
  type BaseRate,
  baseRateInterval,
  bestScore,
  claimCounts,
  claimCurve,
  claimedOf,
  type LabelledTrack,
  type LabelScore,
  labelCurve,
  labelScore,
  matchBaseRate,
  mean,
  reconcile,
} from './thresholds.ts'

export interface TagColumn {
  readonly category: string
  readonly tag: string
}

export interface HeardTrack {
  readonly name: string
  /** Where it comes from, such as its package. */
  readonly group: string
  /** Of the whole track, and of what a musician would be given of it. */
  readonly whole: Float32Array
  readonly clips: Readonly<Record<string, Float32Array>>
  /** Tags of a category that are right; a category that is absent is not labelled. */
  readonly labels?: ReadonlyMap<string, { readonly right: ReadonlySet<string>; readonly either: ReadonlySet<string> }>
}

export interface TagsInput {
  /** Tags that can be heard, in the order of confidences. */
  readonly columns: readonly TagColumn[]
  readonly tracks: readonly HeardTrack[]
  /** Measured at the thresholds found, with no say in them. */
  readonly heldOut: readonly HeardTrack[]
  /** Tags named by description. */
  readonly named: readonly (readonly TagColumn[])[]
  /** Claimed from this confidence on today. */
  readonly before: Readonly<Record<string, number>>
}

export interface MeasuredTag {
  readonly tag: string
  /** Shares of descriptions and of tracks. */
  readonly named: number
  readonly claimed: number
}

export interface MeasuredCategory {
  readonly category: string
  readonly tags: number
  /** Tags a description. */
  readonly named: number
  /** Tags a track by threshold of GRID. */
  readonly claims: readonly number[]
  readonly baseRate: BaseRate
  readonly interval: readonly [low: number, high: number]
  readonly labelled: number
  readonly scores: readonly LabelScore[] | undefined
  readonly best: LabelScore | undefined
  readonly threshold: number
  /** At the threshold: tags a track, of clips by their name, and before. */
  readonly claimed: number
  readonly claimedOfClips: Readonly<Record<string, number>>
  readonly claimedBefore: number
  /** Shares of tracks of which nothing is claimed, and of descriptions that name nothing. */
  readonly none: number
  readonly noneNamed: number
  readonly atThreshold: LabelScore | undefined
  readonly heldOut: { readonly tracks: number; readonly claimed: number; readonly score: LabelScore | undefined }
  readonly byTag: readonly MeasuredTag[]
}

/** @returns one row a category, in the order of the columns. */
export function measureTags(input: TagsInput): MeasuredCategory[] {
  return [...new Set(input.columns.map(({ category }) => category))].map((category) => measureCategory(category, input))
}

function measureCategory(category: string, { columns, tracks, heldOut, named, before }: TagsInput): MeasuredCategory {
  const own = columns.flatMap((column, i) => (column.category === category ? [i] : []))
  const names = new Map(own.map((i) => [columns[i]!.tag, i]))
  const namedColumns = named.map((tags) => namedOf(tags, category, names))
  const counts = tracks.map(({ whole }) => claimCounts(whole, own))
  const claims = claimCurve(counts)
  const namedMean = mean(namedColumns.map(({ size }) => size))
  const baseRate = matchBaseRate(claims, namedMean)
  const labelled = labelledOf(tracks, category, names)
  const scores = labelled.length === 0 ? undefined : labelCurve(labelled, own)
  const best = scores === undefined ? undefined : bestScore(scores)
  const threshold = reconcile(baseRate.threshold, best?.threshold, labelled.length)
  const claimedOfAll = (rows: readonly Float32Array[], at: number) => mean(rows.map((row) => claimedOf(row, own, at)))
  const whole = tracks.map((track) => track.whole)
  const clips = [...new Set(tracks.flatMap((track) => Object.keys(track.clips)))]
  const heldOutLabelled = labelledOf(heldOut, category, names)
  const share = (rows: readonly unknown[], count: number) => (rows.length === 0 ? 0 : count / rows.length)
  return {
    category,
    tags: own.length,
    named: namedMean,
    claims,
    baseRate,
    interval: baseRateInterval(
      counts,
      namedColumns.map(({ size }) => size),
    ),
    labelled: labelled.length,
    scores,
    best,
    threshold,
    claimed: claimedOfAll(whole, threshold),
    claimedOfClips: Object.fromEntries(
      clips.map((clip) => [
        clip,
        claimedOfAll(
          tracks.map((track) => track.clips[clip]!),
          threshold,
        ),
      ]),
    ),
    claimedBefore: claimedOfAll(whole, before[category] ?? threshold),
    none: share(tracks, whole.filter((row) => claimedOf(row, own, threshold) === 0).length),
    noneNamed: share(named, namedColumns.filter(({ size }) => size === 0).length),
    atThreshold: labelled.length === 0 ? undefined : labelScore(labelled, own, threshold),
    heldOut: {
      tracks: heldOut.length,
      claimed: claimedOfAll(
        heldOut.map((track) => track.whole),
        threshold,
      ),
      score: heldOutLabelled.length === 0 ? undefined : labelScore(heldOutLabelled, own, threshold),
    },
    byTag: own.map((column) => ({
      tag: columns[column]!.tag,
      named: share(named, namedColumns.filter((set) => set.has(column)).length),
      claimed: share(tracks, whole.filter((row) => row[column]! >= threshold).length),
    })),
  }
}

/** A special tag names its general one too, as a tagger that hears an acoustic guitar hears a guitar. */
function namedOf(
  tags: readonly TagColumn[],
  category: string,
  columns: ReadonlyMap<string, number>,
): ReadonlySet<number> {
  const named = tags.filter((tag) => tag.category === category).map(({ tag }) => tag)
  const said = (tag: string) => named.some((one) => one === tag || one.endsWith(` ${tag}`))
  return new Set([...columns].filter(([tag]) => said(tag)).map(([, column]) => column))
}

function labelledOf(
  tracks: readonly HeardTrack[],
  category: string,
  columns: ReadonlyMap<string, number>,
): LabelledTrack[] {
  const columnsOf = (tags: ReadonlySet<string>) =>
    namedOf(
      [...tags].map((tag) => ({ category, tag })),
      category,
      columns,
    )
  return tracks.flatMap(({ whole, labels }) => {
    const given = labels?.get(category)
    if (given === undefined) return []
    return [{ confidences: whole, right: columnsOf(given.right), either: columnsOf(given.either) }]
  })
}
