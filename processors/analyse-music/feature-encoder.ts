/** The music encoder as a whole: the profile's tagger, our vocabulary and the DSP make the columns of a row together. */
import { createHash } from 'node:crypto'
import type { EncoderIdentity } from '../../ports/encoder.ts'
import { vocabularySha256 } from './vocabulary.ts'

/** Changes whenever the DSP, the mood cues or the aggregation would give other numbers for the same samples. */
const HEARING_VERSION = 1

/** @returns the identity that music.features.v1 carries and releases name. */
export function musicFeatureEncoder(tagger: EncoderIdentity): { readonly id: string; readonly sha256: string } {
  const sha256 = createHash('sha256').update(`${tagger.sha256}/${vocabularySha256}/${HEARING_VERSION}`).digest('hex')
  return { id: `${tagger.id}+hearing@${HEARING_VERSION}+${vocabularySha256.slice(0, 8)}`, sha256 }
}
