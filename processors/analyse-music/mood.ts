/**
 * Where a piece lies on the circumplex of moods (Russell 1980), and how well each mood word fits there.
 *
 *     tempo, mode, density, loudness, timbre ─┐
 *     tagger hints (fast, quiet, happy, sad) ─┴──▶ (valence, arousal) ──▶ confidence of each mood by nearness
 *
 * The taggers' own mood words are weak, so mood rests first on the cues that listeners use. Their order of weight follows
 * the literature: arousal by tempo, then event density and loudness, then timbre; valence by mode first, then tempo
 * (Gabrielsson & Lindström 2010; Eerola, Friberg & Bresin 2013; Juslin & Lindström 2010). Valence is the less certain of
 * the two, as in every study of the field (Yang & Chen 2012).
 *
 * A mood's place is the norm of its word (Warriner, Kuperman & Brysbaert 2013: valence and arousal of English lemmas,
 * centred and scaled to -1 … 1), moved by how musicians use the word in the MusicCaps descriptions (Agostinelli et al.
 * 2023): how much oftener it stands beside fast than slow, and beside pleasant than unpleasant words, as tanh of half the
 * log odds against all clips, with a pseudo-count of 30 clips for the norm. The places are in vocabulary.json.
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
  /** fast, loud, beat, party against slow, quiet, soft, mellow. */
  readonly arousal: number
  /** happy against sad. */
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

const AROUSAL = { tempo: 0.4, onsetRate: 0.2, loudness: 0.1, brightness: 0.1, percussiveness: 0.2, hint: 0.25 }
const VALENCE = { majorness: 0.7, tempo: 0.2, brightness: 0.1, hint: 0.15 }
/** Tempi count with their sign: 2 spreads is all. */
const MOST = 2

/** Width of a mood's surroundings on the circumplex: about half the distance from happy to calm. */
const SIGMA = 0.45

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

export function placeOnCircumplex(cues: MoodCues, hints: MoodHints): CircumplexPlace {
  const tempo = cues.tempo * cues.tempoConfidence
  return {
    arousal: Math.tanh(
      AROUSAL.tempo * tempo +
        AROUSAL.onsetRate * cues.onsetRate +
        AROUSAL.loudness * cues.loudness +
        AROUSAL.brightness * cues.brightness +
        AROUSAL.percussiveness * cues.percussiveness +
        AROUSAL.hint * clip(hints.arousal),
    ),
    valence: Math.tanh(
      VALENCE.majorness * cues.majorness +
        VALENCE.tempo * tempo +
        VALENCE.brightness * cues.brightness +
        VALENCE.hint * clip(hints.valence),
    ),
  }
}

/** @returns 0 … 1: 1 at the mood's own place, falling as a Gaussian with the distance. */
export function nearness(place: CircumplexPlace, mood: readonly [valence: number, arousal: number]): number {
  const squared = (place.valence - mood[0]) ** 2 + (place.arousal - mood[1]) ** 2
  return Math.exp(-squared / (2 * SIGMA ** 2))
}

function clip(value: number): number {
  return Math.max(-MOST, Math.min(MOST, value))
}
