/**
 * Results of runs in a folder, one folder a run, named by what was run and on what: a run of the same configuration on the
 * same data is not done again. A result is there whole or not at all.
 *
 *     <key>/run.json                      the run, its epochs, its times
 *     <key>/<set>.tracks.npy              (n, dims)
 *     <key>/<set>.queries.<ask>.npy       (n, dims)
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pairsFingerprint } from '../data/fingerprint.ts'
import { readNpyFile, writeNpy } from '../data/npy.ts'
import type { PairVectors } from './model-scores.ts'
import { measuredPairs, type PairSet, type Run, type RunData, type RunResult } from './runs.ts'
import type { Ask } from './tower-vectors.ts'

interface KeptRun extends Omit<RunResult, 'vectors'> {
  readonly run: Run
  readonly sets: readonly (readonly [PairSet, readonly Ask[]])[]
}

export class KeptRuns {
  readonly #folder: string
  readonly #fingerprint: string

  constructor(folder: string, data: RunData) {
    this.#folder = folder
    this.#fingerprint = fingerprintOf(data)
  }

  /** @returns undefined where it is not there whole. */
  async read(run: Run): Promise<RunResult | undefined> {
    const folder = this.#folderOf(run)
    const text = await readFile(join(folder, 'run.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (text === undefined) return undefined
    const { sets, run: _, ...rest } = JSON.parse(text) as KeptRun
    const vectors = new Map<PairSet, PairVectors>()
    for (const [set, asks] of sets) {
      const { values: tracks, shape } = await readNpyFile(join(folder, `${set}.tracks.npy`))
      const queries = new Map<Ask, Float32Array>()
      for (const ask of asks) queries.set(ask, (await readNpyFile(join(folder, `${set}.queries.${ask}.npy`))).values)
      vectors.set(set, { dims: shape[1]!, queries, tracks })
    }
    return { ...rest, vectors }
  }

  async write(run: Run, { vectors, ...rest }: RunResult): Promise<void> {
    const folder = this.#folderOf(run)
    const partial = `${folder}.${process.pid}.partial`
    await mkdir(partial, { recursive: true })
    for (const [set, { dims, queries, tracks }] of vectors) {
      const put = (name: string, values: Float32Array) =>
        writeFile(join(partial, `${set}.${name}.npy`), writeNpy({ shape: [values.length / dims, dims], values }))
      await put('tracks', tracks)
      for (const [ask, rows] of queries) await put(`queries.${ask}`, rows)
    }
    const sets = [...vectors].map(([set, { queries }]) => [set, [...queries.keys()]] as const)
    const kept: KeptRun = { run, sets, ...rest }
    await writeFile(join(partial, 'run.json'), `${JSON.stringify(kept, null, 2)}\n`)
    await rm(folder, { recursive: true, force: true })
    await rename(partial, folder)
  }

  #folderOf(run: Run): string {
    const key = createHash('sha256').update(JSON.stringify(run)).update(this.#fingerprint).digest('hex')
    return join(this.#folder, key.slice(0, 32))
  }
}

/** Of all that runs read of the pairs. */
export function fingerprintOf(data: RunData): string {
  const measured = measuredPairs(data).map(([set, pairs]) => [set, pairsFingerprint(pairs)])
  return JSON.stringify([pairsFingerprint(data.training), measured])
}
