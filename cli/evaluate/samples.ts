/**
 * Measures the zero-shot release on the labelled samples through the product's own stages, with no broker: decoder,
 * encoders, DSP, tags, towers. Prints the tables of docs/evaluation.md.
 */
import { createReadStream } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ffmpegDecoder } from '../../adapters/media/ffmpeg-decoder.ts'
import { openFileMediaStore } from '../../adapters/media/file-media-store.ts'
import { findFfmpeg } from '../../adapters/media/find-ffmpeg.ts'
import { openFileModelStore } from '../../adapters/model-store/file.ts'
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import { loadTowers } from '../../adapters/onnx/towers.ts'
import { unpackFloats } from '../../model/features.ts'
import { dot } from '../../model/vector.ts'
import type { FeatureSequence, ReleaseTowers } from '../../ports/encoder.ts'
import type { MediaDecoder, MediaStore } from '../../ports/media.ts'
import { analyseMusic } from '../../processors/analyse-music/analyse-music.ts'
import { hearingOf } from '../../processors/analyse-music/hearing.ts'
import { analyseVideo } from '../../processors/analyse-video/analyse-video.ts'
import type { InputRecord } from '../../runtime/define-processor.ts'
import type { MusicFeatures, MusicTagged, UploadReceived, VideoFeatures } from '../../schemas/types.ts'
import { musicTagged, uploadsReceived } from '../../topics/topics.ts'
import {
  meanDiscordance,
  PARAPHRASES,
  QUERIES,
  type RetrievalScore,
  readLabels,
  sameKey,
  scoreRetrieval,
  type TrackLabels,
  tempoVerdict,
} from '../../trainer/sample-evaluation.ts'
import type { OpenContext } from '../context.ts'
import { repository } from '../paths.ts'
import { buildZeroShotOf } from '../profile-releases.ts'
import { progressBar, say } from '../terminal.ts'
import { openProfile } from './profile.ts'

/** @param open for the profile, the decoder and the data folder. */
export async function evaluateSamples(open: OpenContext): Promise<void> {
  const { config } = open({ logLevel: 'warn' })
  const folder = await mkdtemp(join(tmpdir(), 'cuestream-evaluate-'))
  const profile = await openProfile(config)
  try {
    const mediaStore = await openFileMediaStore({ folder: join(folder, 'media'), maxBytes: 2 ** 30 })
    const binaries = await findFfmpeg({
      ffmpegPath: config.ffmpeg,
      ffprobePath: config.ffprobe,
      searchPath: process.env.PATH ?? '',
      cacheFolder: join(folder, 'cache'),
    })
    await measureSamples({ folder, profile, mediaStore, decoder: ffmpegDecoder(binaries) })
  } finally {
    await profile.dispose()
    await rm(folder, { recursive: true, force: true })
  }
}

interface Tools {
  readonly folder: string
  readonly profile: LoadedProfile
  readonly mediaStore: MediaStore
  readonly decoder: MediaDecoder
}

interface HeardTrack {
  readonly tagged: MusicTagged
  readonly vector: Float32Array
}

async function measureSamples(tools: Tools): Promise<void> {
  const samples = join(repository, 'samples')
  const labels = readLabels(await readFile(join(samples, 'music', 'LICENSE'), 'utf8'))
  const towers = await zeroShotTowers(tools)
  try {
    const clips = (await readdir(join(samples, 'video'))).filter((name) => name.endsWith('.mp4')).sort()
    const progress = progressBar('Samples analysed', labels.size + clips.length)
    const tracks = new Map<string, HeardTrack>()
    for (const name of labels.keys()) {
      const { tagged, features } = await hear(join(samples, 'music', `${name}.opus`), name, tools)
      tracks.set(name, { tagged, vector: (await towers.music(sequence(features))).whole })
      progress.update(tracks.size, name)
    }
    const videos = new Map<string, FeatureSequence>()
    for (const name of clips) {
      videos.set(name, sequence(await watch(join(samples, 'video', name), name, tools)))
      progress.update(labels.size + videos.size, name)
    }
    progress.stop()
    await report({ labels, tracks, videos, towers, profile: tools.profile })
  } finally {
    await towers.dispose()
  }
}

async function zeroShotTowers({ folder, profile }: Tools) {
  const bundle = join(folder, 'bundle')
  const manifest = await buildZeroShotOf(profile, { directory: bundle, createdAt: new Date(0).toISOString() })
  const store = openFileModelStore({ folder: join(folder, 'releases') })
  await store.publish(manifest, bundle)
  return loadTowers(store, manifest.release)
}

async function hear(
  path: string,
  id: string,
  { mediaStore, decoder, profile }: Tools,
): Promise<{ tagged: MusicTagged; features: MusicFeatures }> {
  const { musicEncoder } = profile
  const hearing = hearingOf(musicEncoder)
  const deps = { mediaStore, decoder, musicEncoder, hearing, takenDownAt: never, now: () => 0 }
  const outputs = await analyseMusic.handle(await upload(path, id, 'track', mediaStore), deps, context())
  const tagged = outputs.find(({ topic }) => topic === musicTagged.name)?.value as MusicTagged
  const features = outputs.find(({ topic }) => topic !== musicTagged.name)?.value as MusicFeatures
  return { tagged, features }
}

async function watch(path: string, id: string, { mediaStore, decoder, profile }: Tools): Promise<VideoFeatures> {
  const deps = { mediaStore, decoder, imageEncoder: profile.imageEncoder, takenDownAt: never, now: () => 0 }
  const [output] = await analyseVideo.handle(await upload(path, id, 'video', mediaStore), deps, context())
  return output!.value as VideoFeatures
}

const never = async () => undefined
const context = () => ({ signal: new AbortController().signal, attempt: 1 })

/** The record that an upload would put on the topic. */
async function upload(
  path: string,
  id: string,
  kind: 'track' | 'video',
  mediaStore: MediaStore,
): Promise<InputRecord<typeof uploadsReceived.name, UploadReceived>> {
  const media = await mediaStore.put(createReadStream(path))
  const { value } = uploadsReceived.record(id, {
    uploadId: id,
    kind,
    media,
    title: null,
    artist: null,
    owner: null,
    rights: { licence: null, territories: [], explicit: false },
    receivedAt: 0,
  })
  return {
    topic: uploadsReceived.name,
    partition: 0,
    offset: 0,
    key: id,
    value: value as UploadReceived,
    headers: {},
    timestamp: 0,
  }
}

function sequence(features: MusicFeatures | VideoFeatures): FeatureSequence {
  return { values: unpackFloats(features.values), segments: features.segments, dims: features.dims }
}

async function report(heard: {
  labels: ReadonlyMap<string, TrackLabels>
  tracks: ReadonlyMap<string, HeardTrack>
  videos: ReadonlyMap<string, FeatureSequence>
  towers: ReleaseTowers
  profile: LoadedProfile
}): Promise<void> {
  const { labels, tracks, videos, towers, profile } = heard
  const texts = [...QUERIES, ...PARAPHRASES].map(({ text }) => text)
  const rows = await profile.textEncoder.encode(texts)
  const { dims } = profile.textEncoder
  const words = new Map(texts.map((text, i) => [text, rows.slice(i * dims, (i + 1) * dims)]))
  const rank = (query: Float32Array) =>
    [...tracks]
      .map(([name, { vector }]) => ({ name, score: dot(query, vector) }))
      .sort((a, b) => b.score - a.score)
      .map(({ name }) => name)
  const byText = new Map<string, string[]>()
  for (const [text, vector] of words) byText.set(text, rank(await towers.query({ text: vector })))

  say(`Release ${towers.release}, encoders ${Object.values(towers.encoders).join(', ')}`)
  sayRetrieval(
    'Ten queries, top 3',
    scoreRetrieval(QUERIES, (text) => byText.get(text)!, labels),
  )
  sayRetrieval(
    'Twenty paraphrases, top 3',
    scoreRetrieval(PARAPHRASES, (text) => byText.get(text)!, labels),
  )
  sayTempoAndKey(labels, tracks)

  const both: string[][][] = [] // by video, by words
  for (const video of videos.values()) {
    const rankings: string[][] = []
    for (const { text } of QUERIES) rankings.push(rank(await towers.query({ video, text: words.get(text) })))
    both.push(rankings)
  }
  const alone: string[][] = []
  for (const video of videos.values()) alone.push(rank(await towers.query({ video })))
  sayFusion(both, alone)
}

function sayRetrieval(title: string, { rows, places, style, mood, chance }: RetrievalScore): void {
  say(`\n### ${title}\n`)
  sayTable(
    ['query', 'style', 'mood', 'tracks'],
    rows.map((row) => [row.query.text, `${row.style}`, `${row.mood}`, row.top.join(', ')]),
  )
  const expected = `chance ${chance.style.toFixed(1)} and ${chance.mood.toFixed(1)}`
  say(`\nStyle right in ${style} of ${places} places, mood in ${mood} (${expected}).`)
}

function sayTempoAndKey(labels: ReadonlyMap<string, TrackLabels>, tracks: ReadonlyMap<string, HeardTrack>): void {
  const rows = [...labels].map(([name, truth]) => {
    const { tempo, key } = tracks.get(name)!.tagged
    return { name, truth, tempo, key, verdict: tempoVerdict(tempo.bpm, truth.bpm), keyRight: sameKey(key, truth) }
  })
  say('\n### Tempo and key\n')
  sayTable(
    ['track', 'bpm', 'heard', 'tempo', 'key', 'heard', 'right'],
    rows.map(({ name, truth, tempo, key, verdict, keyRight }) => [
      name,
      `${truth.bpm}`,
      tempo.bpm.toFixed(1),
      verdict,
      `${truth.tonic} ${truth.mode}`,
      `${key.tonic} ${key.mode}`,
      keyRight ? 'yes' : '',
    ]),
  )
  const exact = rows.filter(({ verdict }) => verdict === 'exact').length
  const octave = rows.filter(({ verdict }) => verdict !== 'wrong').length
  const keys = rows.filter(({ keyRight }) => keyRight).length
  say(`\nTempo within 4 %: ${octave} of ${rows.length} with octaves allowed, ${exact} without. Key: ${keys}.`)
}

/** @param both rankings by video and words. */
function sayFusion(both: readonly (readonly string[][])[], alone: readonly string[][]): void {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const otherVideo = QUERIES.map((_, words) => meanDiscordance(both.map((byWords) => byWords[words]!)))
  const otherWords = both.map((byWords) => meanDiscordance(byWords))
  say('\n### Pictures and words\n')
  sayTable(
    ['what changes', 'pairs of tracks that change places'],
    [
      ['the video, same words', percent(mean(otherVideo))],
      ['the words, same video', percent(mean(otherWords))],
      ['the video, no words', percent(meanDiscordance(alone))],
    ],
  )
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`

function sayTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  for (const row of [head, head.map(() => '---'), ...rows]) say(`| ${row.join(' | ')} |`)
}
