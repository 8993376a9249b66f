/** The data folder as commands meet it: what the system refuses is said with the folder's name, not as a stack trace. */
import { acquireFolder, type FolderHold, type FolderOwner, readFolderOwner } from '../adapters/embedded/folder-lock.ts'
import { CuestreamError, SetupError } from '../ports/errors.ts'

/** @throws SetupError 'data-folder-in-use' | 'data-folder-unusable' */
export const claimDataFolder = (folder: string): Promise<FolderHold> => usable(folder, () => acquireFolder(folder))

/** The living owner, if there is one. @throws SetupError 'data-folder-unusable' */
export const dataFolderOwner = (folder: string): Promise<FolderOwner | undefined> =>
  usable(folder, () => readFolderOwner(folder))

async function usable<T>(folder: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (cause) {
    if (cause instanceof CuestreamError) throw cause
    const message = `The data folder ${folder} cannot be used: ${(cause as Error).message}. It must be a folder that you may write to, on a local disk; --data-folder chooses another.`
    throw new SetupError('data-folder-unusable', message, { cause })
  }
}
