/**
 * How well answers fit music whose mood, style, tempo and key are known: the measures, without files or models.
 * The queries were written before anything was measured; nothing of the product is tuned to the labelled tracks.
 */
export interface TrackLabels {
  readonly mood: string
  readonly style: string
  readonly bpm: number
  readonly tonic: string
  readonly mode: string
}

export interface LabelledQuery {
  readonly text: string
  readonly mood: string
  readonly style: string
}

const MOODS = ['calm', 'energetic', 'happy', 'nostalgic', 'tender'] as const
const STYLES = { acoustic: 'acoustic guitar music', electronic: 'electronic music' } as const

/** "<mood> <style> music", the ten of the acceptance test. */
export const QUERIES: readonly LabelledQuery[] = Object.entries(STYLES).flatMap(([style, words]) =>
  MOODS.map((mood) => ({ text: `${mood} ${words}`, mood, style })),
)

/** The same wishes in other words. */
export const PARAPHRASES: readonly LabelledQuery[] = Object.entries({
  'calm acoustic': ['peaceful unplugged fingerpicking', 'serene folk guitar to relax'],
  'calm electronic': ['soothing ambient synth pads', 'a relaxing chillout soundscape'],
  'energetic acoustic': ['driving fast strummed guitars', 'an intense, high energy folk tune'],
  'energetic electronic': ['pumping club techno', 'powerful high-tempo synth track for sports'],
  'happy acoustic': ['a cheerful ukulele and guitar song', 'sunny upbeat folk'],
  'happy electronic': ['joyful dance pop', 'bright, feel-good synth music'],
  'nostalgic acoustic': ['wistful guitar ballad about the past', 'melancholic, sentimental folk'],
  'nostalgic electronic': ['bittersweet retro synths', 'a longing, melancholic electronic piece'],
  'tender acoustic': ['gentle, loving guitar lullaby', 'warm intimate acoustic song'],
  'tender electronic': ['soft romantic electronica', 'delicate, affectionate synth melody'],
}).flatMap(([wish, texts]) => {
  const [mood, style] = wish.split(' ') as [string, string]
  return texts.map((text) => ({ text, mood, style }))
})

/**
 * Reads lines such as `calm_acoustic_1.opus   68 bpm  C major   seed 101  [acoustic]`; the name begins with the mood.
 * @returns labels by track name, without extension.
 */
export function readLabels(licence: string): Map<string, TrackLabels> {
  const labels = new Map<string, TrackLabels>()
  for (const line of licence.split('\n')) {
    const [, name, bpm, tonic, mode, style] =
      /^\s*(\w+)\.\w+\s+(\d+) bpm\s+([A-G][b#]?) (major|minor)\b.*\[(\w+)\]/.exec(line) ?? []
    if (name === undefined) continue
    labels.set(name, { mood: name.split('_')[0]!, style: style!, bpm: Number(bpm), tonic: tonic!, mode: mode! })
  }
  return labels
}

export interface RetrievalScore {
  readonly places: number
  readonly style: number
  readonly mood: number
  /** Expected of places filled at random. */
  readonly chance: { readonly style: number; readonly mood: number }
  readonly rows: readonly { query: LabelledQuery; style: number; mood: number; top: readonly string[] }[]
}

/** @param ranked names of the tracks, best first, by the query's text. */
export function scoreRetrieval(
  queries: readonly LabelledQuery[],
  ranked: (text: string) => readonly string[],
  labels: ReadonlyMap<string, TrackLabels>,
  depth = 3,
): RetrievalScore {
  const rows = queries.map((query) => {
    const top = ranked(query.text).slice(0, depth)
    const hits = (field: 'style' | 'mood') => top.filter((name) => labels.get(name)?.[field] === query[field]).length
    return { query, style: hits('style'), mood: hits('mood'), top }
  })
  const chance = (field: 'style' | 'mood') =>
    sum(
      queries.map((query) => {
        const right = [...labels.values()].filter((label) => label[field] === query[field]).length
        return (depth * right) / labels.size
      }),
    )
  return {
    places: queries.length * depth,
    style: sum(rows.map(({ style }) => style)),
    mood: sum(rows.map(({ mood }) => mood)),
    chance: { style: chance('style'), mood: chance('mood') },
    rows,
  }
}

/** 'octave': within 4 % of twice or half. */
export function tempoVerdict(bpm: number, truth: number): 'exact' | 'octave' | 'wrong' {
  const near = (factor: number) => Math.abs(bpm / (truth * factor) - 1) <= 0.04
  if (near(1)) return 'exact'
  return near(2) || near(0.5) ? 'octave' : 'wrong'
}

const PITCH_CLASSES: Readonly<Record<string, number>> = { C: 0, D: 2, E: 4, F: 5, G: 7, A: 9, B: 11 }

export function sameKey(a: { tonic: string; mode: string }, b: { tonic: string; mode: string }): boolean {
  return a.mode === b.mode && pitchClass(a.tonic) === pitchClass(b.tonic)
}

function pitchClass(tonic: string): number {
  const accidental = tonic.endsWith('#') ? 1 : tonic.endsWith('b') ? -1 : 0
  return (PITCH_CLASSES[tonic[0]!]! + accidental + 12) % 12
}

/** @returns the share of pairs that two rankings of the same names put in opposite order: 0 same, 0.5 unrelated, 1 reversed. */
export function discordance(a: readonly string[], b: readonly string[]): number {
  const place = new Map(b.map((name, index) => [name, index]))
  let [discordant, pairs] = [0, 0]
  for (let i = 0; i < a.length; i++) {
    for (let j = i + 1; j < a.length; j++) {
      pairs += 1
      if (place.get(a[i]!)! > place.get(a[j]!)!) discordant += 1
    }
  }
  return pairs === 0 ? 0 : discordant / pairs
}

/** @returns the mean discordance over all pairs of rankings. */
export function meanDiscordance(rankings: readonly (readonly string[])[]): number {
  const values = rankings.flatMap((a, i) => rankings.slice(i + 1).map((b) => discordance(a, b)))
  return values.length === 0 ? 0 : sum(values) / values.length
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
