/**
 * Pairs from the shards of a sync: each video with its own soundtrack and the text about that, in the order of their ids.
 *
 * A triplet's track is its media file, not its id: the same file under two ids is one pair, the first id's. Only features
 * of the same encoders can be trained on together; others are left out and counted.
 */
import { unpackFloats } from '../../model/features.ts'
import type { TextEncoder } from '../../ports/encoder.ts'
import { SetupError } from '../../ports/errors.ts'
import type { FeatureSequence, TripletMaterialized } from '../../schemas/types.ts'
import { tripletsMaterialized } from '../../topics/topics.ts'
import { encodeTexts } from './encode-texts.ts'
import { checkPairs, type Pairs, type RaggedSequences, type Texts } from './pairs.ts'
import type { ShardRow } from './shard-manifest.ts'
import { topicRows } from './shard-topic.ts'
import { textsFolder } from './triplet-shards.ts'

/** Ids of the frozen encoders that made the features. */
export interface FeatureEncoders {
  readonly video: string
  readonly music: string
}

export interface PairsFromTripletsOptions {
  /** Without one, texts have no vectors. */
  readonly textEncoder?: TextEncoder | undefined
  /** Whose rows are taken; those of most rows if absent. */
  readonly encoders?: FeatureEncoders | undefined
  /** Texts encoded. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

export interface TripletPairs {
  readonly pairs: Pairs
  readonly encoders: FeatureEncoders
  /** How many pairs have their text by each method. */
  readonly methods: Readonly<Record<string, number>>
  readonly leftOut: {
    /** Features of other encoders. */
    readonly otherEncoders: number
    /** The same media under another id. */
    readonly sameMedia: number
    /** Features that are not what they say, or not finite. */
    readonly unusable: number
  }
}

/** What is known of a triplet before its features are read again. */
interface Triplet {
  readonly id: string
  readonly at: number
  readonly media: string
  readonly artist: string
  readonly text: string
  readonly method: string
  readonly video: Side
  readonly music: Side
}

type Side = Pick<FeatureSequence, 'segments' | 'dims'> & { readonly encoder: string }

/** @throws SetupError 'no-triplets' | InvalidRecordError 'damaged-shard' */
export async function pairsFromTriplets(folder: string, options: PairsFromTripletsOptions = {}): Promise<TripletPairs> {
  const { triplets, unusable } = await surveyed(folder)
  const fitting = ofOneKind(triplets, options.encoders)
  const chosen = oneOfEachMedia(fitting)
  const numbers = new Map(chosen.map((triplet, pair) => [triplet.id, { pair, at: triplet.at }]))
  const video = emptySequences(chosen.map((triplet) => triplet.video))
  const music = emptySequences(chosen.map((triplet) => triplet.music))
  for await (const { row, value } of topicRows(folder, tripletsMaterialized)) {
    const known = numbers.get(row.id)
    if (known?.at !== row.at) continue
    fill(video, known.pair, value.video)
    fill(music, known.pair, value.music)
  }
  const pairs: Pairs = {
    count: chosen.length,
    video,
    music,
    texts: await textsOf(folder, chosen, options),
    videoIds: chosen.map(({ id }) => id),
    trackIds: chosen.map(({ media }) => media),
    artists: chosen.map(({ artist }) => artistKey(artist)),
    weights: new Float32Array(chosen.length).fill(1),
  }
  checkPairs(pairs)
  const methods: Record<string, number> = {}
  for (const { method } of chosen) methods[method] = (methods[method] ?? 0) + 1
  return {
    pairs,
    encoders: { video: chosen[0]!.video.encoder, music: chosen[0]!.music.encoder },
    methods,
    leftOut: {
      otherEncoders: triplets.length - fitting.length,
      sameMedia: fitting.length - chosen.length,
      unusable,
    },
  }
}

/** The features are read twice, so that they are in memory once: their sizes are known before anything is allocated. */
async function surveyed(folder: string): Promise<{ triplets: Triplet[]; unusable: number }> {
  const triplets: Triplet[] = []
  let unusable = 0
  for await (const { row, value } of topicRows(folder, tripletsMaterialized)) {
    if (isUsable(value.video) && isUsable(value.music)) triplets.push(tripletOf(row, value))
    else unusable++
  }
  return { triplets, unusable }
}

function isUsable({ segments, dims, values }: FeatureSequence): boolean {
  return (
    segments > 0 && dims > 0 && values.length === 4 * segments * dims && unpackFloats(values).every(Number.isFinite)
  )
}

function tripletOf({ id, at, upload }: ShardRow, { video, music, text, method }: TripletMaterialized): Triplet {
  const sideOf = ({ segments, dims, encoder }: FeatureSequence) => ({ segments, dims, encoder: encoder.id })
  return { id, at, text, method, ...upload!, video: sideOf(video), music: sideOf(music) }
}

/** @throws SetupError 'no-triplets' */
function ofOneKind(triplets: readonly Triplet[], wanted: FeatureEncoders | undefined): Triplet[] {
  const kinds = new Map<string, Triplet[]>()
  for (const triplet of triplets) {
    const { video, music } = triplet
    if (wanted !== undefined && (video.encoder !== wanted.video || music.encoder !== wanted.music)) continue
    const kind = JSON.stringify([video.encoder, video.dims, music.encoder, music.dims])
    const others = kinds.get(kind)
    if (others === undefined) kinds.set(kind, [triplet])
    else others.push(triplet)
  }
  const [most] = [...kinds].sort(([a, those], [b, others]) => others.length - those.length || (a < b ? -1 : 1))
  if (most !== undefined) return most[1]
  const of = `None of ${triplets.length} triplets is of the encoders ${wanted?.video} and ${wanted?.music}`
  const none = triplets.length === 0 ? 'There are no triplets' : of
  throw new SetupError('no-triplets', `${none}; videos with sound make them: cuestream ingest`)
}

function oneOfEachMedia(triplets: readonly Triplet[]): Triplet[] {
  const first = new Map<string, Triplet>()
  for (const triplet of triplets) {
    const other = first.get(triplet.media)
    const isFirst = other === undefined || triplet.id < other.id || (triplet.id === other.id && triplet.at > other.at)
    if (isFirst) first.set(triplet.media, triplet)
  }
  return [...first.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
}

function emptySequences(sides: readonly Side[]): RaggedSequences {
  const { dims } = sides[0]!
  const offsets = new Uint32Array(sides.length + 1)
  for (const [pair, { segments }] of sides.entries()) offsets[pair + 1] = offsets[pair]! + segments
  return { values: new Float32Array(offsets.at(-1)! * dims), offsets, dims }
}

function fill({ values, offsets, dims }: RaggedSequences, pair: number, given: FeatureSequence): void {
  values.set(unpackFloats(given.values), offsets[pair]! * dims)
}

async function textsOf(
  folder: string,
  triplets: readonly Triplet[],
  { textEncoder, onProgress }: PairsFromTripletsOptions,
): Promise<Texts> {
  const table = new Map([['', 0]])
  for (const { text } of triplets) if (!table.has(text)) table.set(text, table.size)
  const strings = [...table.keys()]
  const cacheFolder = textsFolder(folder)
  const vectors = textEncoder && (await encodeTexts(strings, textEncoder, { cacheFolder, onProgress }))
  const rows = Uint32Array.from(triplets, ({ text }) => table.get(text)!)
  return { strings, vectors: vectors ?? new Float32Array(), dims: textEncoder?.dims ?? 0, rows, variants: 1 }
}

/** Names that differ in case, width or spaces are one artist. */
function artistKey(artist: string): string {
  return artist.normalize('NFKC').trim().replace(/\s+/g, ' ').toLowerCase()
}
