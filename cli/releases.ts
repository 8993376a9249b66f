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
  /** After a wipe: the catalogue names the release again, and its indexes are there, empty. */
  restore(): Promise<void>
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
  const release = (await catalogue.currentRelease()) ?? (await latestRelease(deps)) ?? (await publishZeroShot(deps))
  const towers = await loadTowers(modelStore, release)
  checkEncoders(towers, deps.profile)
  const createIndexes = async () => {
    for (const kind of ['music', 'video'] as const) await index.create({ release, kind }, towers.dims)
  }
  await createIndexes()
  return {
    current: async () => towers,
    inUse: () => [towers],
    async restore() {
      if ((await catalogue.currentRelease()) === undefined) await catalogue.setCurrentRelease(release)
      await createIndexes()
    },
    close: () => towers.dispose(),
  }
}

/** More than a compacted topic of one model's releases ever holds. */
const RELEASE_RECORDS = 10_000

/** The topic outlives a catalogue that was wiped; what it names serves if its files are still in the store. */
async function latestRelease(deps: Parameters<typeof openReleases>[0]): Promise<string | undefined> {
  const { broker, codec, modelStore, catalogue } = deps
  const kept = new Set(await modelStore.list())
  const records = await broker.read(modelsReleased.name, 0, 0, RELEASE_RECORDS)
  for (const { value } of records.toReversed()) {
    if (value === null) continue
    const { release } = await codec.decode(modelsReleased, value)
    if (!kept.has(release)) continue
    await catalogue.setCurrentRelease(release)
    return release
  }
  return undefined
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
