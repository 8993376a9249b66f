/**
 * The folder of training data (trainer/data/triplet-shards.ts): one process at a time brings it up to date or reads it,
 * so that nothing is swept away from under a reader.
 */
import { SetupError } from '../ports/errors.ts'
import { type SyncReport, type SyncTripletsOptions, syncTriplets } from '../trainer/data/triplet-shards.ts'
import { claimDataFolder } from './data-folder.ts'

/** @throws SetupError 'training-folder-in-use' */
export async function holdingTrainingFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const hold = await claimDataFolder(folder).catch((error: unknown) => {
    if (!(error instanceof SetupError && error.code === 'data-folder-in-use')) throw error
    const message = `The training data are being synced or read: ${error.message}. Try again when that is done.`
    throw new SetupError('training-folder-in-use', message, { cause: error })
  })
  try {
    return await work()
  } finally {
    await hold.release()
  }
}

/** @throws SetupError 'training-folder-in-use' | whatever `syncTriplets` does */
export function syncTrainingFolder(options: SyncTripletsOptions): Promise<SyncReport> {
  return holdingTrainingFolder(options.folder, () => syncTriplets(options))
}
