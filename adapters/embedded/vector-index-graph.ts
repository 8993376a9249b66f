/**
 * An HNSW graph over the keys of one index, an accelerator that can always be thrown away and rebuilt.
 *
 *   [slices]  the graph follows the rows in slices of a few ms, so the event loop goes on
 *   [lag]     until a row is in the graph it is in `waiting`, and the search scans it exactly
 *   [stale]   a key that is no longer a row stays in the graph and is passed over (removing nodes cost recall: 0.947
 *             after a quarter of 100,000 rows had changed); when many are stale the graph is built anew
 *   [cache]   the graph is cached in a file; a key names one vector for ever, so a cache of any age is true for the keys
 *             that are still rows, and the missing ones are added after loading
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Index, MetricKind, ScalarKind } from 'usearch'
import type { VectorRows } from './vector-index-rows.ts'

/** Recall@10 above 0.99 on 100,000 clustered unit vectors (tests/benchmark/vector-index.ts). */
const CONNECTIVITY = 16
const EXPANSION_ADD = 128
const EXPANSION_SEARCH = 192
const SLICE_MS = 4
const PAUSE_MS = 4
const ROWS_A_CALL = 8
/** Stale keys, as a part of the rows, above which the graph is built anew. Meanwhile the exact scan answers. */
const REBUILD_ABOVE = 0.5
/** In the background the cache is written when so large a part of the rows changed. */
const SAVE_AFTER = 0.1
const TEMPORARY = 'graph.tmp'

export class VectorGraph {
  readonly #rows: VectorRows
  readonly #folder: string
  #index: Index
  /** Keys that are rows and not yet in the graph. */
  readonly waiting = new Set<number>()
  #timer: NodeJS.Timeout | undefined
  #changesSinceSave = 0
  #saving: Promise<void> = Promise.resolve()
  #closed = false

  private constructor(rows: VectorRows, folder: string, index: Index) {
    this.#rows = rows
    this.#folder = folder
    this.#index = index
  }

  static empty(rows: VectorRows, folder: string): VectorGraph {
    const graph = new VectorGraph(rows, folder, newIndex(rows.dims))
    for (const key of rows.keys()) graph.waiting.add(key)
    graph.#schedule()
    return graph
  }

  /** From the newest cache file that is whole; the others go. */
  static async cached(rows: VectorRows, folder: string): Promise<VectorGraph | undefined> {
    let graph: VectorGraph | undefined
    for (const { name, watermark, hash } of await cacheFiles(folder)) {
      if (graph === undefined && hash === (await sha256(join(folder, name)))) {
        const index = loaded(rows.dims, join(folder, name))
        if (index !== undefined) {
          graph = new VectorGraph(rows, folder, index)
          // A key of the cache that is no row now must not come to name another vector. [cache]
          rows.nextKey = Math.max(rows.nextKey, watermark)
          for (const key of rows.keys()) if (!index.contains(BigInt(key))) graph.waiting.add(key)
          graph.#schedule()
          continue
        }
      }
      await rm(join(folder, name), { force: true })
    }
    return graph
  }

  added(key: number): void {
    this.waiting.add(key)
    this.#schedule()
  }

  removed(key: number): void {
    if (!this.waiting.delete(key)) this.#schedule()
  }

  /** @returns slots of about the `count` nearest rows that are in the graph; fewer where it holds fewer. */
  nearest(query: Float32Array, count: number): number[] {
    const slots: number[] = []
    const size = this.#index.size()
    if (size === 0) return slots
    const fetched = Math.ceil((count * size) / Math.max(size - this.#stale, 1))
    const found = this.#index.search(query.slice(), Math.min(fetched, size), 1)
    for (const key of found.keys) {
      const slot = this.#rows.slotOfKey(Number(key))
      if (slot !== undefined) slots.push(slot)
    }
    return slots
  }

  /** Resolves when the graph holds what the rows hold and its cache is written. */
  async settle(): Promise<void> {
    while (this.#step()) await nextTurn()
    await this.save()
  }

  /** Writes the cache if the graph changed. The copy blocks the event loop: 0.1 s at 100,000 rows. [cache] */
  save(): Promise<void> {
    this.#saving = this.#saving.catch(() => {}).then(() => this.#write())
    return this.#saving
  }

  /** Stops the work in the background. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#saving
  }

  async #write(): Promise<void> {
    const changes = this.#changesSinceSave
    if (changes === 0) return
    this.#changesSinceSave = 0
    try {
      // No key from here on is in the file: rows.nextKey is read in the same turn.
      const watermark = this.#rows.nextKey
      const temporary = join(this.#folder, TEMPORARY)
      this.#index.save(temporary)
      const name = `graph-${watermark}-${await sha256(temporary)}.usearch`
      await rename(temporary, join(this.#folder, name))
      for (const other of await cacheFiles(this.#folder)) {
        if (other.name !== name) await rm(join(this.#folder, other.name), { force: true })
      }
    } catch (cause) {
      this.#changesSinceSave += changes
      throw cause
    }
  }

  /** Keys in the graph that are no longer rows. */
  get #stale(): number {
    return this.#index.size() - (this.#rows.count - this.waiting.size)
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#closed) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#step()) this.#schedule()
      // The rows are safe without the cache, and the next save tries again.
      else if (this.#changesSinceSave > SAVE_AFTER * this.#rows.count) this.save().catch(() => {})
    }, PAUSE_MS).unref()
  }

  /** One slice of work. @returns whether work is left. [slices] */
  #step(): boolean {
    if (this.#closed) return false
    if (this.#stale > REBUILD_ABOVE * this.#rows.count) this.#restart()
    const until = performance.now() + SLICE_MS
    while (this.waiting.size > 0) {
      this.#addSome()
      if (performance.now() > until) break
    }
    return this.waiting.size > 0
  }

  #addSome(): void {
    const keys: number[] = []
    for (const key of this.waiting) if (keys.push(key) === ROWS_A_CALL) break
    const { dims } = this.#rows
    const vectors = new Float32Array(keys.length * dims)
    keys.forEach((key, i) => {
      vectors.set(this.#rows.vectorAt(this.#rows.slotOfKey(key)!), i * dims)
      this.waiting.delete(key)
    })
    this.#index.add(BigUint64Array.from(keys, BigInt), vectors, 1)
    this.#changesSinceSave += keys.length
  }

  #restart(): void {
    this.#index = newIndex(this.#rows.dims)
    for (const key of this.#rows.keys()) this.waiting.add(key)
  }
}

/** Forgets the cache of a folder whose index is too small for a graph. */
export async function forgetGraph(folder: string): Promise<void> {
  for (const { name } of await cacheFiles(folder)) await rm(join(folder, name), { force: true })
}

/** Newest first. */
async function cacheFiles(folder: string): Promise<{ name: string; watermark: number; hash: string }[]> {
  const files = []
  for (const name of await readdir(folder)) {
    const [, watermark, hash] = /^graph-(\d+)-([0-9a-f]{64})\.usearch$/.exec(name) ?? []
    if (watermark !== undefined && hash !== undefined) files.push({ name, watermark: Number(watermark), hash })
  }
  return files.sort((a, b) => b.watermark - a.watermark)
}

/** undefined for a file of other dims or of a version of the library that this one does not read. */
function loaded(dims: number, path: string): Index | undefined {
  const index = newIndex(dims)
  try {
    index.load(path)
  } catch {
    return undefined
  }
  return index.dimensions() === dims ? index : undefined
}

function newIndex(dims: number): Index {
  return new Index({
    dimensions: dims,
    metric: MetricKind.IP,
    quantization: ScalarKind.F16,
    connectivity: CONNECTIVITY,
    expansion_add: EXPANSION_ADD,
    expansion_search: EXPANSION_SEARCH,
    multi: false,
  })
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
