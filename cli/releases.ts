/**
 * Which release serves, and its towers. A data folder with none yet gets the zero-shot release of its encoder profile
 * (docs/adr/0004-zero-shot-release.md), published like any other.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { LoadedProfile } from '../adapters/onnx/load-profile.ts'
import { loadTowers } from '../adapters/onnx/towers.ts'
import type { Broker } from '../ports/broker.ts'
import type { Catalogue } from '../ports/catalogue.ts'
import type { ReleaseTowers } from '../ports/encoder.ts'
import { SetupError } from '../ports/errors.ts'
import type { ModelStore } from '../ports/model-store.ts'
import type { VectorIndex } from '../ports/vector-index.ts'
import { musicFeatureEncoder } from '../processors/analyse-music/feature-encoder.ts'
import { audibleTags } from '../processors/analyse-music/vocabulary.ts'
import type { Codec } from '../runtime/codec.ts'
import { modelsReleased } from '../topics/topics.ts'
import { buildZeroShotRelease } from '../trainer/zero-shot/build.ts'

export interface Releases {
  /** Towers of the release that serves. */
  current(): Promise<ReleaseTowers>
  /** Releases that new music and videos are embedded by. */
  inUse(): readonly ReleaseTowers[]
  close(): Promise<void>
}

export async function openReleases(deps: {
  modelStore: ModelStore
  catalogue: Catalogue
  index: VectorIndex
  broker: Broker
  codec: Codec
  profile: LoadedProfile
  now: () => number
  logger: Logger
}): Promise<Releases> {
  const { modelStore, catalogue, index } = deps
  const release = (await catalogue.currentRelease()) ?? (await publishZeroShot(deps))
  const towers = await loadTowers(modelStore, release)
  checkEncoders(towers, deps.profile)
  for (const kind of ['music', 'video'] as const) await index.create({ release, kind }, towers.dims)
  return {
    current: async () => towers,
    inUse: () => [towers],
    close: () => towers.dispose(),
  }
}

/** Store first, topic next, catalogue last: after a crash in between the next start does it again. */
async function publishZeroShot(deps: Parameters<typeof openReleases>[0]): Promise<string> {
  const { modelStore, catalogue, broker, codec, profile, now, logger } = deps
  const folder = await mkdtemp(join(tmpdir(), 'cuestream-zero-shot-'))
  try {
    const { textEncoder, imageEncoder, musicEncoder } = profile
    const manifest = await buildZeroShotRelease({
      directory: folder,
      tags: audibleTags,
      textEncoder,
      image: { id: imageEncoder.id, imageDims: widthOf(imageEncoder.columns.feature), classNames: imageEncoder.labels },
      music: { id: musicFeatureEncoder(musicEncoder).id, embeddingDims: musicEncoder.dims },
      createdAt: new Date(now()).toISOString(),
    })
    await modelStore.publish(manifest, folder)
    const { release, model, dims, files, metrics, parent } = manifest
    const value = await codec.encode(modelsReleased, {
      release,
      model,
      dims,
      files,
      metrics,
      parent,
      releasedAt: now(),
    })
    await broker.produce([{ topic: modelsReleased.name, key: model, value }])
    await catalogue.setCurrentRelease(release)
    logger.info({ release }, 'The zero-shot release serves until a model is trained')
    return release
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function widthOf(columns: readonly [start: number, end: number] | undefined): number {
  return columns === undefined ? 0 : columns[1] - columns[0]
}

/** A release answers for the encoders it was made for, and no others. */
function checkEncoders(
  towers: ReleaseTowers,
  { manifest, imageEncoder, musicEncoder, textEncoder }: LoadedProfile,
): void {
  const given = { video: imageEncoder.id, music: musicFeatureEncoder(musicEncoder).id, text: textEncoder.id }
  for (const side of ['video', 'music', 'text'] as const) {
    if (towers.encoders[side] === given[side]) continue
    throw new SetupError(
      'profile-mismatch',
      `Release ${towers.release} takes ${side} encoded by ${towers.encoders[side]}, profile ${manifest.id} has ${given[side]}. ` +
        'Choose the profile that the release was made for, or another data folder.',
    )
  }
}
