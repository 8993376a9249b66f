/**
 * Where a piece lies on the circumplex of moods (Russell 1980), and how well each mood word fits there.
 *
 *     tempo, mode, density, loudness, timbre ─┐
 *     labels of the taggers ──────────────────┴──▶ (valence, arousal) ──▶ evidence for each mood
 *
 * The taggers' own mood words are weak, so mood rests first on the cues that listeners use. Their order of weight follows
 * the literature: arousal by tempo, then event density and loudness, then timbre; valence by mode first, then tempo
 * (Gabrielsson & Lindström 2010; Eerola, Friberg & Bresin 2013; Juslin & Lindström 2010). Valence is the less certain of
 * the two, as in every study of the field (Yang & Chen 2012).
 *
 * The place of a mood word is where musicians use it in the MusicCaps descriptions (Agostinelli et al. 2023): how much
 * oftener it stands beside fast than slow words, and beside pleasant than unpleasant ones (sets balanced in arousal), as
 * tanh of half the log odds against all clips; so 0 is music at large. It is shrunk, by 30 clips, to what the norm of the
 * word lets expect (Warriner, Kuperman & Brysbaert 2013, a regression over the 28 moods). A tagger's label has its place
 * in the same way, shrunk to 0. The places of moods are in vocabulary.json, those of labels in the tagger's mapping;
 * docs/evaluation.md has the regression.
 */
import type { MusicDescriptors, SegmentDescriptors } from './dsp/music-dsp.ts'

export interface CircumplexPlace {
  /** Unpleasant -1 … 1 pleasant. */
  readonly valence: number
  /** Quiet -1 … 1 excited. */
  readonly arousal: number
}

/** What the taggers hear that bears on mood, as natural-log odds against the labels' base rates. */
export interface MoodHints {
  /** Labels of fast music against labels of slow music. */
  readonly arousal: number
  /** Labels of pleasant music against labels of unpleasant music. */
  readonly valence: number
}

/** The cues of one stretch, each about -1 … 1 and 0 at a usual value or where unknown. */
export interface MoodCues {
  readonly tempo: number
  readonly tempoConfidence: number
  readonly majorness: number
  readonly loudness: number
  readonly dynamics: number
  readonly brightness: number
  readonly onsetRate: number
  readonly percussiveness: number
}

/** Usual values and spreads of the descriptors of recorded music, by which the cues are centred and scaled. */
const USUAL = {
  /** The centre of preferred tempi (Moelants 2002) and a spread of 1.35. */
  tempo: { bpm: 112, octaves: Math.log2(1.35) },
  loudness: { lufs: -17, spread: 5 },
  dynamics: { decibels: 14, spread: 8 },
  brightness: { hz: 1150, octaves: 0.6 },
  onsets: { perSecond: 2, octaves: 1.2 },
  percussiveness: { share: 0.15, spread: 0.12 },
} as const
/** Tempo confidence at which a tempo counts half. */
const HALF_TRUSTED_TEMPO = 0.15

/** Weights of the cues. Usual music comes to lie as widely spread as MUSIC_AT_LARGE and CUE_ERROR say together, or a little less. */
const AROUSAL = { tempo: 0.55, onsetRate: 0.2, loudness: 0.15, brightness: 0.1, percussiveness: 0.15, hint: 0.35 }
const VALENCE = { majorness: 0.85, tempo: 0.25, brightness: 0.1, hint: 0.35 }
/** A cue counts up to this many spreads. */
const MOST = 2

/** Spread of where music lies on each axis. */
const MUSIC_AT_LARGE = 0.5
/** Spread of the music that one mood word is said of. */
const MOOD_WIDTH = 0.3
/** How far cues miss: they explain about 0.45 of the variance of rated valence and 0.67 of arousal (Yang & Chen 2012). */
const CUE_ERROR = { valence: 0.55, arousal: 0.35 }

export function moodCues(track: MusicDescriptors, segment: SegmentDescriptors | undefined): MoodCues {
  const energy = segment ?? track.energy
  const { bpm, confidence } = track.tempo
  if (track.silent) return SILENT
  return {
    tempo: bpm > 0 ? clip(Math.log2(bpm / USUAL.tempo.bpm) / USUAL.tempo.octaves) : 0,
    tempoConfidence: bpm > 0 ? confidence / (confidence + HALF_TRUSTED_TEMPO) : 0,
    majorness: (track.key.mode === 'major' ? 1 : -1) * Math.sqrt(track.key.confidence),
    loudness: clip((track.loudness.integratedLufs - USUAL.loudness.lufs) / USUAL.loudness.spread),
    dynamics: clip((energy.dynamicsDb - USUAL.dynamics.decibels) / USUAL.dynamics.spread),
    brightness: clip(Math.log2(Math.max(energy.centroidHz, 1) / USUAL.brightness.hz) / USUAL.brightness.octaves),
    onsetRate: clip(Math.log2((0.25 + energy.onsetRateHz) / USUAL.onsets.perSecond) / USUAL.onsets.octaves),
    percussiveness: clip((energy.percussiveness - USUAL.percussiveness.share) / USUAL.percussiveness.spread),
  }
}

const SILENT: MoodCues = {
  tempo: 0,
  tempoConfidence: 0,
  majorness: 0,
  loudness: -MOST,
  dynamics: 0,
  brightness: 0,
  onsetRate: -MOST,
  percussiveness: 0,
}

/** @returns where the cues point, before their error is thought of. */
export function placeOnCircumplex(cues: MoodCues, hints: MoodHints): CircumplexPlace {
  const tempo = cues.tempo * cues.tempoConfidence
  return {
    arousal:
      AROUSAL.tempo * tempo +
      AROUSAL.onsetRate * cues.onsetRate +
      AROUSAL.loudness * cues.loudness +
      AROUSAL.brightness * cues.brightness +
      AROUSAL.percussiveness * cues.percussiveness +
      AROUSAL.hint * clip(hints.arousal),
    valence:
      VALENCE.majorness * cues.majorness +
      VALENCE.tempo * tempo +
      VALENCE.brightness * cues.brightness +
      VALENCE.hint * clip(hints.valence),
  }
}

/**
 * @returns the log likelihood ratio of the cues: music of this mood against music at large. 0 = says nothing.
 * Both are Gaussians on the circumplex, widened by the error of the cues; valence and arousal are taken as independent.
 */
export function moodEvidence(place: CircumplexPlace, mood: readonly [valence: number, arousal: number]): number {
  const axis = (value: number, center: number, error: number) =>
    logGaussian(value - center, MOOD_WIDTH ** 2 + error ** 2) - logGaussian(value, MUSIC_AT_LARGE ** 2 + error ** 2)
  return axis(place.valence, mood[0], CUE_ERROR.valence) + axis(place.arousal, mood[1], CUE_ERROR.arousal)
}

function logGaussian(distance: number, variance: number): number {
  return -(distance ** 2) / (2 * variance) - Math.log(variance) / 2
}

function clip(value: number): number {
  return Math.max(-MOST, Math.min(MOST, value))
}
