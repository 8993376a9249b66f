import { readFileSync, writeFileSync } from 'node:fs'

/** LMDB's two meta pages, which tell where the rest lies. */
const META_BYTES = 2 * 4096

/** Leaves the meta pages of a closed LMDB file and zeroes all others: a power cut before those were written. */
export function loseUnflushedPages(file: string): void {
  writeFileSync(file, readFileSync(file).fill(0, META_BYTES))
}
