/**
 * Pairs from the shards of a sync: first each video with its own soundtrack and the text about that, in the order of
 * their ids, then each with the tracks that users chose for it, weighed by what they did (feedback-weights.ts).
 *
 * A track is its media file, not its id: the same video and track under two ids are one pair, the first id's. Only
 * features of the same encoders can be trained on together; others are left out and counted.
 */
import { unpackFloats } from '../../model/features.ts'
import type { TextEncoder } from '../../ports/encoder.ts'
import { SetupError } from '../../ports/errors.ts'
import { musicFeatures, tripletsMaterialized, videoFeatures } from '../../topics/topics.ts'
import { encodeTexts } from './encode-texts.ts'
import { checkPairs, type Pairs, type RaggedSequences, type Texts } from './pairs.ts'
import { topicRows } from './shard-topic.ts'
import { textsFolder } from './triplet-shards.ts'
import { type Candidate, type Media, rowKey, type Side, surveyed } from './triplet-survey.ts'

/** Ids of the frozen encoders that made the features. */
export interface FeatureEncoders {
  readonly video: string
  readonly music: string
}

export interface PairsFromTripletsOptions {
  /** Without one, texts have no vectors. */
  readonly textEncoder?: TextEncoder | undefined
  /** Whose features are taken; those of most pairs if absent. */
  readonly encoders?: FeatureEncoders | undefined
  /** Texts encoded. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

export interface TripletPairs {
  readonly pairs: Pairs
  /** How many of the pairs, from the first, are videos with their own soundtrack. */
  readonly soundtracks: number
  /** The file of each pair's video. */
  readonly videoMedia: readonly Media[]
  readonly encoders: FeatureEncoders
  /** How many pairs have their text by each method. */
  readonly methods: Readonly<Record<string, number>>
  readonly leftOut: {
    /** Pairs of features of other encoders. */
    readonly otherEncoders: number
    /** Pairs of the same media under another id. */
    readonly sameMedia: number
    /** Features that are not what they say, or not finite. */
    readonly unusable: number
  }
}

/** @throws SetupError 'no-triplets' | InvalidRecordError 'damaged-shard' */
export async function pairsFromTriplets(folder: string, options: PairsFromTripletsOptions = {}): Promise<TripletPairs> {
  const { candidates, unusable } = await surveyed(folder)
  const fitting = ofOneKind(candidates, options.encoders)
  const chosen = oneOfEachMedia(fitting)
  const pairs: Pairs = {
    count: chosen.length,
    ...(await featuresOf(folder, chosen)),
    texts: await textsOf(folder, chosen, options),
    videoIds: chosen.map(({ videoId }) => videoId),
    trackIds: chosen.map(({ trackMedia }) => trackMedia.media),
    artists: chosen.map(({ trackMedia }) => artistKey(trackMedia.artist)),
    weights: Float32Array.from(chosen, ({ weight }) => weight),
  }
  checkPairs(pairs)
  const methods: Record<string, number> = {}
  for (const { method } of chosen) methods[method] = (methods[method] ?? 0) + 1
  return {
    pairs,
    soundtracks: chosen.filter(({ own }) => own).length,
    videoMedia: chosen.map(({ videoMedia }) => ({ ...videoMedia, artist: artistKey(videoMedia.artist) })),
    encoders: { video: chosen[0]!.video.encoder, music: chosen[0]!.music.encoder },
    methods,
    leftOut: {
      otherEncoders: candidates.length - fitting.length,
      sameMedia: fitting.length - chosen.length,
      unusable,
    },
  }
}

/** @throws SetupError 'no-triplets' */
function ofOneKind(candidates: readonly Candidate[], wanted: FeatureEncoders | undefined): Candidate[] {
  const kinds = new Map<string, Candidate[]>()
  for (const candidate of candidates) {
    const { video, music } = candidate
    if (wanted !== undefined && (video.encoder !== wanted.video || music.encoder !== wanted.music)) continue
    const kind = JSON.stringify([video.encoder, video.dims, music.encoder, music.dims])
    const others = kinds.get(kind)
    if (others === undefined) kinds.set(kind, [candidate])
    else others.push(candidate)
  }
  const [most] = [...kinds].sort(([a, those], [b, others]) => others.length - those.length || (a < b ? -1 : 1))
  if (most !== undefined) return most[1]
  const of = `None of ${candidates.length} pairs is of the encoders ${wanted?.video} and ${wanted?.music}`
  const none = candidates.length === 0 ? 'There are no triplets' : of
  throw new SetupError('no-triplets', `${none}; videos with sound make them: cuestream ingest`)
}

/** Soundtracks before what was chosen, each in the order of their ids. */
function oneOfEachMedia(candidates: readonly Candidate[]): Candidate[] {
  const ordered = candidates.toSorted(
    (a, b) => Number(b.own) - Number(a.own) || compare(a.videoId, b.videoId) || compare(a.trackId, b.trackId),
  )
  const first = new Map<string, Candidate>()
  for (const candidate of ordered) {
    const media = `${candidate.videoMedia.media}/${candidate.trackMedia.media}`
    if (!first.has(media)) first.set(media, candidate)
  }
  return [...first.values()]
}

/** Each side is allocated once and filled row by row, so that the data are in memory once. */
async function featuresOf(folder: string, chosen: readonly Candidate[]): Promise<Pick<Pairs, 'video' | 'music'>> {
  const videos = new Destinations(chosen.map(({ video }) => video))
  const musics = new Destinations(chosen.map(({ music }) => music))
  for await (const { row, value } of topicRows(folder, tripletsMaterialized)) {
    const key = rowKey(tripletsMaterialized, row)
    videos.fill(key, value.video.values)
    musics.fill(key, value.music.values)
  }
  for await (const { row, value } of topicRows(folder, videoFeatures)) {
    videos.fill(rowKey(videoFeatures, row), value.values)
  }
  for await (const { row, value } of topicRows(folder, musicFeatures)) {
    musics.fill(rowKey(musicFeatures, row), value.values)
  }
  return { video: videos.sequences, music: musics.sequences }
}

/** Sequences of known sizes, and which row each is filled from. */
class Destinations {
  readonly sequences: RaggedSequences
  readonly #pairs = new Map<string, number[]>()

  constructor(sides: readonly Side[]) {
    const { dims } = sides[0]!
    const offsets = new Uint32Array(sides.length + 1)
    for (const [pair, { segments, row }] of sides.entries()) {
      offsets[pair + 1] = offsets[pair]! + segments
      const others = this.#pairs.get(row)
      if (others === undefined) this.#pairs.set(row, [pair])
      else others.push(pair)
    }
    this.sequences = { values: new Float32Array(offsets.at(-1)! * dims), offsets, dims }
  }

  /** @param values float32, little endian. */
  fill(row: string, values: Uint8Array): void {
    const { offsets, dims } = this.sequences
    for (const pair of this.#pairs.get(row) ?? []) {
      this.sequences.values.set(unpackFloats(values), offsets[pair]! * dims)
    }
  }
}

async function textsOf(
  folder: string,
  chosen: readonly Candidate[],
  { textEncoder, onProgress }: PairsFromTripletsOptions,
): Promise<Texts> {
  const table = new Map([['', 0]])
  for (const { text } of chosen) if (!table.has(text)) table.set(text, table.size)
  const strings = [...table.keys()]
  const cacheFolder = textsFolder(folder)
  const vectors = textEncoder && (await encodeTexts(strings, textEncoder, { cacheFolder, onProgress }))
  const rows = Uint32Array.from(chosen, ({ text }) => table.get(text)!)
  return { strings, vectors: vectors ?? new Float32Array(), dims: textEncoder?.dims ?? 0, rows, variants: 1 }
}

/** Names that differ in case, width or spaces are one artist. */
function artistKey(artist: string): string {
  return artist.normalize('NFKC').trim().replace(/\s+/g, ' ').toLowerCase()
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
