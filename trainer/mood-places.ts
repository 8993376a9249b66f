/**
 * Finds the places on the circumplex: of moods, which vocabulary.json holds, and of labels, which a tagger's mapping holds.
 *
 *     node --import tsx trainer/mood-places.ts musiccaps-public.csv Ratings_Warriner_et_al.csv
 *     node --import tsx trainer/mood-places.ts musiccaps-public.csv labels mtg-jamendo
 *
 * MusicCaps (CC BY-SA 4.0) and the norms of Warriner et al. are the operator's to bring; only the places are kept here.
 * processors/analyse-music/mood.ts says what is done. Prints { moods, labels }: [valence, arousal] by word; the second way
 * those of the labels that a mapping has base rates for, alone.
 */
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { readCsv } from './data/csv.ts'

export interface Usage {
  readonly clips: number
  readonly valence: number
  readonly arousal: number
}

type Words = readonly string[]

/** Sets of words that a description may use; each matches from the start of a word. */
const FAST: Words = ['fast tempo', 'uptempo', 'up-tempo', 'fast paced', 'fast-paced', 'upbeat', 'high tempo']
const SLOW: Words = ['slow tempo', 'slow paced', 'slow-paced', 'slower tempo', 'very slow', 'downtempo']
/** Half of each set is quiet and half is excited, so that the balance of the two says nothing of arousal. */
const PLEASANT: Words = 'happy cheerful joyful uplifting playful relax calm peaceful pleasant hopeful romantic'.split(
  ' ',
)
const UNPLEASANT: Words = 'angry aggressive scary frantic intense sad melanchol gloomy dark sorrow haunting'.split(' ')

/** How descriptions say a mood or a label, where they do not use the word itself. */
const MOOD_STEMS: Readonly<Record<string, string>> = {
  melancholic: 'melanchol',
  nostalgic: 'nostalg',
  relaxing: 'relax',
  tender: 'tender\\b|gentle',
  dynamic: 'dynamic\\b',
  slow: 'slow tempo',
  scary: 'scary|spooky|eerie',
  angry: 'angry|aggressive',
  frantic: 'frantic|chaotic|manic',
}
const LABEL_STEMS: Readonly<Record<string, string>> = {
  'Hip-Hop': 'hip.?hop',
  rnb: 'r&b|rnb',
  beat: 'beats?\\b',
  'no vocals': 'no vocals?|instrumental',
  'female vocalists': 'female (voca|sing|voice)',
  'male vocalists': '(?<!fe)male (voca|sing|voice)',
  chillout: 'chillout|chill-out|chill out',
  electronica: 'electronica|electronic',
  // Of MTG-Jamendo, which writes its labels as one word.
  hiphop: 'hip.?hop',
  rap: 'rap\\b|rapp',
  newage: 'new age',
  easylistening: 'easy listening',
  punkrock: 'punk',
  hardrock: 'hard rock',
  heavymetal: 'heavy metal',
  poprock: 'pop.?rock',
  popfolk: 'folk pop|pop folk',
  instrumentalpop: 'instrumental pop',
  instrumentalrock: 'instrumental rock',
  alternativerock: 'alternative rock',
  classicrock: 'classic rock',
  rocknroll: 'rock.?(and|n|&).?roll',
  bluesrock: 'blues.?rock',
  ethnicrock: 'ethnic rock',
  postrock: 'post.?rock',
  singersongwriter: 'singer.?songwriter',
  jazzfunk: 'jazz.?funk',
  jazzfusion: 'jazz.?fusion',
  acidjazz: 'acid jazz',
  bossanova: 'bossa.?nova',
  worldfusion: 'world fusion',
  darkambient: 'dark ambient',
  deephouse: 'deep house',
  drumnbass: 'drum.?(and|n|&).?bass',
  triphop: 'trip.?hop',
  synthpop: 'synth.?pop',
  electropop: 'electro.?pop',
  newwave: 'new wave',
  bass: 'bass\\b|bassline',
  acousticguitar: 'acoustic guitar',
  electricguitar: 'electric guitar|e-guitar',
  classicalguitar: 'classical guitar',
  acousticbassguitar: 'acoustic bass',
  doublebass: 'double bass|upright bass',
  drummachine: 'drum machine',
  electricpiano: 'electric piano',
  pipeorgan: 'pipe organ|church organ',
  fun: 'fun\\b',
  love: 'love\\b|love song',
  dream: 'dreamy|dreamlike|dream\\b',
  sad: 'sad\\b|sadness',
}
/** Labels that describe no sound, or repeat another. */
const NO_SOUND: Words = [
  ...['00s', '90s', '80s', '70s', '60s', 'oldies', 'female vocalist'],
  ...'advertising background commercial corporate documentary film movie travel computer hard cool deep'.split(' '),
]
/** Clips that the expectation counts for. */
const PSEUDO_CLIPS = 30
const LEAST_CLIPS = 10

const starting = (words: Words) => new RegExp(`\\b(${words.join('|')})`)

/** How a word is used beside fast, slow, pleasant and unpleasant words; the word is no witness for itself. */
export function usageOf(stem: string, clips: readonly string[]): Usage {
  const word = new RegExp(`\\b(${stem})`)
  const using = clips.filter((clip) => word.test(clip))
  const logOdds = (towards: Words, against: Words) => {
    const others = (words: Words) => {
      const left = words.filter((one) => !word.test(one))
      return starting(left.length > 0 ? left : words)
    }
    const ratio = (some: readonly string[], one: number) => {
      const count = (words: Words) => some.filter((clip) => others(words).test(clip)).length
      return Math.log((count(towards) + one) / (count(against) + one))
    }
    return ratio(using, 1) - ratio(clips, 1)
  }
  return {
    clips: using.length,
    valence: Math.tanh(logOdds(PLEASANT, UNPLEASANT) / 2),
    arousal: Math.tanh(logOdds(FAST, SLOW) / 2),
  }
}

/** Shrinks what was seen in `clips` clips to what was expected. */
export function shrink(seen: number, expected: number, clips: number): number {
  const trust = clips / (clips + PSEUDO_CLIPS)
  return Math.max(-1, Math.min(1, trust * seen + (1 - trust) * expected))
}

/** Weighted least squares. @returns y = offset + slope · x. */
export function fitLine(points: readonly { x: number; y: number; weight: number }[]): (x: number) => number {
  const total = points.reduce((sum, { weight }) => sum + weight, 0)
  const mean = (of: 'x' | 'y') => points.reduce((sum, point) => sum + point.weight * point[of], 0) / total
  const [x, y] = [mean('x'), mean('y')]
  const slope =
    points.reduce((sum, point) => sum + point.weight * (point.x - x) * (point.y - y), 0) /
    points.reduce((sum, point) => sum + point.weight * (point.x - x) ** 2, 0)
  return (at) => y + slope * (at - x)
}

/** @param labels as a tagger has them: `<set><separator><name>`. @returns places of those that are said often enough. */
export function labelPlaces(
  labels: readonly string[],
  clips: readonly string[],
): Record<string, readonly [valence: number, arousal: number]> {
  return Object.fromEntries(
    labels
      .map((label) => ({ label, name: label.replace(/^.*?(:|---)/, '') }))
      .filter(({ name }) => !NO_SOUND.includes(name))
      .map(({ label, name }) => ({ label, usage: usageOf(LABEL_STEMS[name] ?? name.toLowerCase(), clips) }))
      .filter(({ usage }) => usage.clips >= LEAST_CLIPS)
      .map(({ label, usage }) => [
        label,
        [round(shrink(usage.valence, 0, usage.clips)), round(shrink(usage.arousal, 0, usage.clips))],
      ]),
  )
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

function clipsOf(musicCapsPath: string): string[] {
  return readCsv(readFileSync(musicCapsPath, 'utf8')).map(({ aspect_list, caption }) =>
    `${aspect_list} ${caption}`.toLowerCase(),
  )
}

const json = (path: string) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))

function printLabels(musicCapsPath: string, mapping: string): void {
  const { rates } = json(`../processors/analyse-music/mappings/${mapping}.json`) as {
    rates: { byLabel: Record<string, number> }
  }
  process.stdout.write(`${JSON.stringify(labelPlaces(Object.keys(rates.byLabel), clipsOf(musicCapsPath)))}\n`)
}

function main(musicCapsPath: string, normsPath: string): void {
  const clips = clipsOf(musicCapsPath)
  const norms = new Map(readCsv(readFileSync(normsPath, 'utf8')).map((row) => [row.Word!, row]))
  const { tags } = json('../processors/analyse-music/vocabulary.json') as {
    tags: { category: string; tag: string }[]
  }
  const labels = json('../models/embedded/musicnn_labels.json') as Record<string, string[]>

  const moods = tags
    .filter(({ category }) => category === 'mood')
    .map(({ tag }) => {
      const norm = norms.get(tag) ?? norms.get(tag === 'melancholic' ? 'melancholy' : tag)!
      const usage = usageOf(MOOD_STEMS[tag] ?? tag, clips)
      const weight = usage.clips / (usage.clips + PSEUDO_CLIPS)
      return { tag, usage, weight, norm: { valence: Number(norm['V.Mean.Sum']), arousal: Number(norm['A.Mean.Sum']) } }
    })
  const expected = (axis: 'valence' | 'arousal') =>
    fitLine(moods.map(({ norm, usage, weight }) => ({ x: norm[axis], y: usage[axis], weight })))
  const [valence, arousal] = [expected('valence'), expected('arousal')]
  const places = {
    moods: Object.fromEntries(
      moods.map(({ tag, usage, norm }) => [
        tag,
        [
          round(shrink(usage.valence, valence(norm.valence), usage.clips)),
          round(shrink(usage.arousal, arousal(norm.arousal), usage.clips)),
        ],
      ]),
    ),
    labels: labelPlaces(
      Object.entries(labels).flatMap(([set, names]) => names.map((name) => `${set}:${name}`)),
      clips,
    ),
  }
  process.stdout.write(`${JSON.stringify(places)}\n`)
}

const [, script, musicCaps, norms, mapping] = process.argv
if (script !== undefined && import.meta.url === pathToFileURL(script).href) {
  if (norms === 'labels') printLabels(musicCaps!, mapping!)
  else main(musicCaps!, norms!)
}
