/** What a release has to do with an encoder profile: the encoders it is of, and the zero-shot release made from them. */
import type { LoadedProfile } from '../adapters/onnx/load-profile.ts'
import type { ReleaseManifest } from '../ports/release-manifest.ts'
import { musicFeatureEncoder } from '../processors/analyse-music/feature-encoder.ts'
import { hearingOf } from '../processors/analyse-music/hearing.ts'
import { buildZeroShotRelease, type ZeroShotInput } from '../trainer/zero-shot/build.ts'

export function encoderIdsOf({ imageEncoder, musicEncoder, textEncoder }: LoadedProfile) {
  const music = musicFeatureEncoder(musicEncoder, hearingOf(musicEncoder))
  return { video: imageEncoder.id, music: music.id, text: textEncoder.id }
}

/** @returns the manifest of the files that it wrote. */
export function buildZeroShotOf(
  { imageEncoder, musicEncoder, textEncoder }: LoadedProfile,
  input: Pick<ZeroShotInput, 'directory' | 'createdAt' | 'release' | 'meaningWeight'>,
): Promise<ReleaseManifest> {
  const hearing = hearingOf(musicEncoder)
  const [start, end] = imageEncoder.columns.feature ?? [0, 0]
  return buildZeroShotRelease({
    ...input,
    tags: hearing.tags,
    textEncoder,
    image: { id: imageEncoder.id, imageDims: end - start, classNames: imageEncoder.labels },
    music: { id: musicFeatureEncoder(musicEncoder, hearing).id, embeddingDims: musicEncoder.dims },
  })
}
