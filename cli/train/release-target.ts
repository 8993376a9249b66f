/** Where a release goes: the model store, and the product that rolls it out. */
import type { Logger } from 'pino'
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import { SetupError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import type { Config } from '../../runtime/config.ts'
import { openModelStore } from '../backends.ts'
import { rollOut } from '../commands/releases.ts'
import { encoderIdsOf } from '../profile-releases.ts'
import { withService } from '../service.ts'
import { Interrupted } from './stopping.ts'

export interface ReleaseTarget {
  readonly modelStore: ModelStore
  /** @throws SetupError 'encoder-mismatch' where the product has features of other encoders */
  assertTakes(encoders: ReleaseManifest['encoders']): void
  /** With the product there: the one that runs, or one for as long as this takes. */
  beside<T>(work: (product: ServingProduct) => Promise<T>): Promise<T>
}

export interface ServingProduct {
  /** The release that answers. */
  readonly serving: string
  /** Until it serves. @throws Interrupted where a signal cancelled it | SetupError with the code of what it failed by */
  rollOut(release: string): Promise<void>
}

export async function productTarget(config: Config, logger: Logger, profile: LoadedProfile): Promise<ReleaseTarget> {
  return {
    modelStore: await openModelStore(config, logger),
    assertTakes(encoders) {
      const own = encoderIdsOf(profile)
      for (const side of ['video', 'music', 'text'] as const) {
        if (encoders[side].id === own[side]) continue
        throw new SetupError(
          'encoder-mismatch',
          `The pairs have ${side} features of ${encoders[side].id}, and profile ${profile.manifest.id} has ${own[side]}: ` +
            'a release of them could not serve. Bring pairs of its encoders, or make only the bundle: --no-release',
        )
      }
    },
    beside: (work) =>
      withService(config, logger, async (api) =>
        work({
          serving: (await api.releases()).serving,
          async rollOut(release) {
            await rollOut(api, release)
            if ((await api.releases()).serving !== release) throw new Interrupted()
          },
        }),
      ),
  }
}
