import { type LoadedProfile, loadProfile } from '../../adapters/onnx/load-profile.ts'
import type { Config } from '../../runtime/config.ts'
import { dataPaths, repositoryPaths } from '../paths.ts'

/** The encoder profile of the configuration; the caller disposes it. */
export function openProfile(config: Config): Promise<LoadedProfile> {
  return loadProfile(config.profile, {
    repositoryModels: repositoryPaths.models,
    folder: config.modelsFolder ?? dataPaths(config.dataFolder).models,
    sessions: { intraOpThreads: config.onnxThreads },
  })
}
