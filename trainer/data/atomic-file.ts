import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Ends the names of files that are being written; one that is left over is of a writer that was killed. */
export const PARTIAL = '.partial'

/** After this the file holds all of the parts, one after the other, whatever happens to the power; before it, what it held. */
export async function writeAtomically(path: string, ...parts: readonly (Uint8Array | string)[]): Promise<void> {
  const partial = `${path}.${process.pid}${PARTIAL}`
  const file = await open(partial, 'w')
  try {
    for (const part of parts) await file.writeFile(part)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(partial, path)
  const folder = await open(dirname(path), 'r')
  // Windows has no handles of folders to sync; its rename is as good.
  await folder.sync().catch(() => {})
  await folder.close()
}
