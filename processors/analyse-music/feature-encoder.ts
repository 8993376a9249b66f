/** The music encoder as a whole: the profile's tagger, our vocabulary and the DSP make the columns of a row together. */
import { createHash } from 'node:crypto'
import type { EncoderIdentity } from '../../ports/encoder.ts'
import type { Hearing } from './hearing.ts'

/** Changes whenever the DSP, the mood cues or the aggregation would give other numbers for the same samples. */
const HEARING_VERSION = 1

/** @returns the identity that music.features.v1 carries and releases name: of the tagger, the vocabulary and the mapping. */
export function musicFeatureEncoder(
  tagger: Pick<EncoderIdentity, 'id' | 'sha256'>,
  hearing: Pick<Hearing, 'sha256'>,
): { readonly id: string; readonly sha256: string } {
  const sha256 = createHash('sha256').update(`${tagger.sha256}/${hearing.sha256}/${HEARING_VERSION}`).digest('hex')
  return { id: `${tagger.id}+hearing@${HEARING_VERSION}+${hearing.sha256.slice(0, 8)}`, sha256 }
}
