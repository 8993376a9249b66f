/** models.released.v1: the release that was last let serve is its latest record, whatever becomes of the catalogue. */
import type { Broker } from '../../ports/broker.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import type { Codec } from '../../runtime/codec.ts'
import { modelsReleased } from '../../topics/topics.ts'

export interface AnnounceDeps {
  readonly broker: Broker
  readonly codec: Codec
  readonly now: () => number
}

export async function announceRelease(deps: AnnounceDeps, manifest: ReleaseManifest): Promise<void> {
  const { broker, codec, now } = deps
  const { release, model, dims, files, metrics, parent } = manifest
  const record = { release, model, dims, files, metrics, parent, releasedAt: now() }
  const value = await codec.encode(modelsReleased, record)
  await broker.produce([{ topic: modelsReleased.name, key: model, value }])
}
