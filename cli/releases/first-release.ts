/**
 * Which release serves where the catalogue names none: the latest that the topic knows and the store still has, else the
 * zero-shot release of the encoder profile (docs/adr/0004-zero-shot-release.md), published like any other.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import { SetupError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import type { ReleasePlan } from '../../ports/release-plan.ts'
import { modelsReleased } from '../../topics/topics.ts'
import { buildZeroShotOf, encoderIdsOf } from '../profile-releases.ts'
import { type AnnounceDeps, announceRelease } from './announce.ts'
import { firstPlan } from './plan.ts'

export interface FirstReleaseDeps extends AnnounceDeps {
  readonly modelStore: ModelStore
  readonly catalogue: Catalogue
  readonly profile: LoadedProfile
  readonly logger: Logger
}

/** @returns the plan that stands; one is made where there is none. */
export async function standingPlan(deps: FirstReleaseDeps): Promise<ReleasePlan> {
  const { catalogue } = deps
  for (;;) {
    const standing = await catalogue.releasePlan()
    if (standing !== undefined) return standing
    const plan = firstPlan((await latestRelease(deps)) ?? (await publishZeroShot(deps)), deps.now())
    if (await catalogue.replaceReleasePlan(0, plan)) return plan
  }
}

/** More than a compacted topic of one model's releases ever holds. */
const RELEASE_RECORDS = 10_000

/** The topic outlives a catalogue that was wiped; what it names serves if its files are still in the store. */
async function latestRelease({ broker, codec, modelStore }: FirstReleaseDeps): Promise<string | undefined> {
  const kept = new Set(await modelStore.list())
  const records = await broker.read(modelsReleased.name, 0, 0, RELEASE_RECORDS)
  for (const { value } of records.toReversed()) {
    if (value === null) continue
    const { release } = await codec.decode(modelsReleased, value)
    if (kept.has(release)) return release
  }
  return undefined
}

/** Store first, topic next, catalogue last: after a crash in between the next start does it again. */
async function publishZeroShot(deps: FirstReleaseDeps): Promise<string> {
  const { modelStore, profile, now, logger } = deps
  const folder = await mkdtemp(join(tmpdir(), 'cuestream-zero-shot-'))
  try {
    const manifest = await buildZeroShotOf(profile, { directory: folder, createdAt: new Date(now()).toISOString() })
    await modelStore.publish(manifest, folder)
    await announceRelease(deps, manifest)
    logger.info({ release: manifest.release }, 'The zero-shot release serves until a model is trained')
    return manifest.release
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A release answers for the encoders it was made for, and no others. @throws SetupError 'profile-mismatch' */
export function checkEncoders({ release, encoders }: ReleaseManifest, profile: LoadedProfile): void {
  const given = encoderIdsOf(profile)
  for (const side of ['video', 'music', 'text'] as const) {
    if (encoders[side].id === given[side]) continue
    throw new SetupError(
      'profile-mismatch',
      `Release ${release} takes ${side} encoded by ${encoders[side].id}, profile ${profile.manifest.id} has ${given[side]}. ` +
        'Choose the profile that the release was made for, or another data folder.',
    )
  }
}
