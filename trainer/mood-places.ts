/**
 * Finds the places on the circumplex that vocabulary.json holds: of moods, and of the taggers' labels.
 *
 *     node --import tsx trainer/mood-places.ts musiccaps-public.csv Ratings_Warriner_et_al.csv
 *
 * MusicCaps (CC BY-SA 4.0) and the norms of Warriner et al. are the operator's to bring; only the places are kept here.
 * processors/analyse-music/mood.ts says what is done. Prints { moods, labels }: [valence, arousal] by word.
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
}
/** Labels that describe no sound, or repeat another. */
const NO_SOUND: Words = ['00s', '90s', '80s', '70s', '60s', 'oldies', 'female vocalist']
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

function main(musicCapsPath: string, normsPath: string): void {
  const clips = readCsv(readFileSync(musicCapsPath, 'utf8')).map(({ aspect_list, caption }) =>
    `${aspect_list} ${caption}`.toLowerCase(),
  )
  const norms = new Map(readCsv(readFileSync(normsPath, 'utf8')).map((row) => [row.Word!, row]))
  const file = (path: string) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
  const { tags } = file('../processors/analyse-music/vocabulary.json') as {
    tags: { category: string; tag: string }[]
  }
  const labels = file('../models/embedded/musicnn_labels.json') as Record<string, string[]>

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
  const round = (value: number) => Math.round(value * 100) / 100
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
    labels: Object.fromEntries(
      Object.entries(labels).flatMap(([set, names]) =>
        names
          .filter((name) => !NO_SOUND.includes(name))
          .map((name) => ({
            name,
            usage: usageOf(LABEL_STEMS[name] ?? name.toLowerCase(), clips),
          }))
          .filter(({ usage }) => usage.clips >= LEAST_CLIPS)
          .map(({ name, usage }) => [
            `${set}:${name}`,
            [round(shrink(usage.valence, 0, usage.clips)), round(shrink(usage.arousal, 0, usage.clips))],
          ]),
      ),
    ),
  }
  process.stdout.write(`${JSON.stringify(places)}\n`)
}

const [, script, musicCaps, norms] = process.argv
if (script !== undefined && import.meta.url === pathToFileURL(script).href) main(musicCaps!, norms!)
