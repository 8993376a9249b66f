/**
 * Opens an LMDB environment: the one store under every embedded adapter.
 *
 * A write resolves once its transaction is committed and visible, so it outlives the process (kill -9). The flush to
 * disk follows at once, outside the writer's lock: after a power cut the store opens at its last flushed transaction,
 * whole, and may miss those of the last moment.
 */
import { mkdirSync } from 'node:fs'
import { open, type RootDatabase } from 'lmdb'

export interface StoreOptions {
  /**
   * false never flushes: quicker where the disk is slow, and just as safe against a crash of the process, but a power
   * cut may leave a folder that cannot be read. Default true.
   */
  readonly fsync?: boolean
}

/** Creates the folder where it is missing. Open a folder once a process; named databases come from `openDB`. */
export function openStore(folder: string, options: StoreOptions = {}): RootDatabase {
  mkdirSync(folder, { recursive: true })
  return open({ path: folder, noSubdir: false, maxDbs: 32, noSync: options.fsync === false })
}
