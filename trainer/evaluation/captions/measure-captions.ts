/** Everything that is measured of texts beside people's captions, by writer. */
import { type CaptionedTrack, type CaptionSet, tally, textsOf } from './caption-set.ts'
import { type CaptionRetrieval, type Closeness, closenessTo, retrieveCaptions, type TextVectors } from './closeness.ts'
import { type Diversity, diversity, equalWordsOf } from './diversity.ts'
import { type Fidelity, fidelity } from './fidelity.ts'

export interface CaptionsToMeasure {
  readonly tracks: readonly CaptionedTrack[]
  readonly people: CaptionSet
  /** One without any text is left out. */
  readonly sets: readonly CaptionSet[]
  /** Of the vocabulary, in the order in which they are shown. */
  readonly categories: readonly string[]
  categoryOf(tag: string): string
  /** @returns (texts.length, dims) row-major, unit rows. */
  encode(texts: readonly string[]): Promise<Float32Array>
  readonly dims: number
  readonly poolSizes: readonly number[]
  readonly seed: number
  readonly onProgress?: (done: number, of: number, note: string) => void
}

export interface MeasuredSet {
  readonly set: CaptionSet
  readonly diversity: Diversity
  readonly fidelity: Fidelity
  /** None with too few texts; of people, the floor. */
  readonly closeness: Closeness | undefined
  readonly retrieval: readonly CaptionRetrieval[]
  readonly faults: readonly [kind: string, count: number][]
  /** Of those where another method stood in: how many, by why, by what was wrong. */
  readonly fallbacks: Fallbacks
}

export interface Fallbacks {
  readonly count: number
  readonly codes: readonly [code: string, count: number][]
  readonly faults: readonly [kind: string, count: number][]
}

export interface MeasuredCaptions {
  readonly tracks: readonly CaptionedTrack[]
  readonly categories: readonly string[]
  readonly dims: number
  /** People first. */
  readonly rows: readonly MeasuredSet[]
  readonly poolSizes: readonly number[]
  /** Sizes that the tracks do not fill. */
  readonly leftOut: readonly number[]
  readonly seed: number
  /** Of each row. */
  readonly vectors: readonly TextVectors[]
}

/** Fewer have no halves. */
const LEAST_FOR_CLOSENESS = 4

export async function measureCaptions(input: CaptionsToMeasure): Promise<MeasuredCaptions> {
  const { tracks, people, sets, categories, categoryOf, poolSizes, seed, dims, onProgress } = input
  const all = [people, ...sets.filter((set) => textsOf(set).length > 0)]
  const vectors = await vectorsOf(all, input)
  const peoplesVectors = vectors[0]!.map((vector) => vector!)
  const captions = people.texts.map((text) => text!.text)
  const equalWords = equalWordsOf(all.map((set) => textsOf(set).map(({ text }) => text)))
  const meter = tracks.length < LEAST_FOR_CLOSENESS ? undefined : closenessTo(peoplesVectors, { seed })
  const rows: MeasuredSet[] = []
  for (const [i, set] of all.entries()) {
    onProgress?.(i, all.length, set.label)
    await new Promise(setImmediate) // lets the progress be drawn
    const texts = textsOf(set)
    const isPeople = set.kind === 'people'
    rows.push({
      set,
      diversity: diversity(
        texts.map(({ text }) => text),
        { equalWords, seed },
      ),
      fidelity: fidelity(
        set.texts.flatMap((text, track) =>
          text === undefined ? [] : [{ given: tracks[track]!.tags, kept: text.kept, invented: text.invented }],
        ),
        { categories, categoryOf, seed },
      ),
      closeness: isPeople ? meter?.floor : meter?.of(vectors[i]!),
      retrieval: isPeople ? [] : retrieveCaptions(vectors[i]!, peoplesVectors, captions, { sizes: poolSizes, seed }),
      faults: tally(texts.flatMap(({ faults }) => [...new Set(faults)])),
      fallbacks: fallbacksOf(set),
    })
  }
  onProgress?.(all.length, all.length, '')
  const fits = (size: number) => size <= tracks.length
  return {
    tracks,
    categories,
    dims,
    rows,
    poolSizes: poolSizes.filter(fits),
    leftOut: poolSizes.filter((size) => !fits(size)),
    seed,
    vectors,
  }
}

function fallbacksOf(set: CaptionSet): Fallbacks {
  const fallbacks = textsOf(set).flatMap(({ fallback }) => fallback ?? [])
  return {
    count: fallbacks.length,
    codes: tally(fallbacks.map(({ code }) => code)),
    faults: tally(fallbacks.flatMap(({ faults }) => [...new Set(faults)])),
  }
}

/** Each different text is encoded once. */
async function vectorsOf(
  sets: readonly CaptionSet[],
  { encode, dims }: Pick<CaptionsToMeasure, 'encode' | 'dims'>,
): Promise<TextVectors[]> {
  const texts = [...new Set(sets.flatMap((set) => textsOf(set).map(({ text }) => text)))]
  const values = await encode(texts)
  const rowOf = new Map(texts.map((text, row) => [text, values.subarray(row * dims, (row + 1) * dims)]))
  return sets.map((set) => set.texts.map((text) => (text === undefined ? undefined : rowOf.get(text.text)!)))
}
