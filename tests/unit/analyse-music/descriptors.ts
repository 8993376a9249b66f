import type { MusicDescriptors } from '../../../processors/analyse-music/dsp/music-dsp.ts'

/** Descriptors of usual music, ten seconds long, but for the changes. */
export function descriptors(changes: {
  bpm?: number
  mode?: 'major' | 'minor'
  keyConfidence?: number
  onsetRateHz?: number
  silent?: boolean
}): MusicDescriptors {
  const energy = {
    rmsDbfs: -17,
    dynamicsDb: 14,
    centroidHz: 1150,
    flatness: 0.01,
    onsetRateHz: changes.onsetRateHz ?? 1.75,
    percussiveness: 0.15,
    lowShare: 0.5,
    highShare: 0.05,
    lowHighRatioDb: 10,
  }
  return {
    seconds: 10,
    silent: changes.silent ?? false,
    tempo: { bpm: changes.bpm ?? 112, confidence: 0.8 },
    key: { tonic: 'C', mode: changes.mode ?? 'major', confidence: changes.keyConfidence ?? 0.9, tuningCents: 0 },
    loudness: { integratedLufs: -17, rangeLu: 5, peakDbfs: -1, silent: changes.silent ?? false },
    energy,
    segments: [{ startSeconds: 0, seconds: 10, ...energy }],
  }
}
