/** What a release has to do with an encoder profile: the encoders it is of, and the zero-shot release made from them. */
import type { LoadedProfile } from '../adapters/onnx/load-profile.ts'
import type { ReleaseManifest } from '../ports/release-manifest.ts'
import { musicFeatureEncoder } from '../processors/analyse-music/feature-encoder.ts'
import { audibleTags } from '../processors/analyse-music/vocabulary.ts'
import { buildZeroShotRelease, type ZeroShotInput } from '../trainer/zero-shot/build.ts'

export function encoderIdsOf({ imageEncoder, musicEncoder, textEncoder }: LoadedProfile) {
  return { video: imageEncoder.id, music: musicFeatureEncoder(musicEncoder).id, text: textEncoder.id }
}

/** @returns the manifest of the files that it wrote. */
export function buildZeroShotOf(
  { imageEncoder, musicEncoder, textEncoder }: LoadedProfile,
  input: Pick<ZeroShotInput, 'directory' | 'createdAt' | 'release' | 'meaningWeight'>,
): Promise<ReleaseManifest> {
  const [start, end] = imageEncoder.columns.feature ?? [0, 0]
  return buildZeroShotRelease({
    ...input,
    tags: audibleTags,
    textEncoder,
    image: { id: imageEncoder.id, imageDims: end - start, classNames: imageEncoder.labels },
    music: { id: musicFeatureEncoder(musicEncoder).id, embeddingDims: musicEncoder.dims },
  })
}
