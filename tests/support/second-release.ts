/** Releases besides the one that a data folder begins with. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openFileModelStore } from '../../adapters/model-store/file.ts'
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import { dataPaths } from '../../cli/paths.ts'
import { buildZeroShotOf } from '../../cli/profile-releases.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import { standInProfile } from './stand-in-profile.ts'

/** @param meaningWeight sets its vectors apart from another's; NaN gives towers whose outputs are none. */
export async function publishRelease(
  dataFolder: string,
  release: string,
  meaningWeight: number,
  profile: LoadedProfile = standInProfile,
): Promise<ReleaseManifest> {
  const directory = await mkdtemp(join(tmpdir(), 'cuestream-release-'))
  try {
    const createdAt = '2026-01-01T00:00:00.000Z'
    const manifest = await buildZeroShotOf(profile, { directory, createdAt, release, meaningWeight })
    await openFileModelStore({ folder: dataPaths(dataFolder).releases }).publish(manifest, directory)
    return manifest
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
