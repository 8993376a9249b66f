/**
 * VectorIndex in process: one generation serves, at most one is built beside it.
 *
 *     <folder>/<kind>-<n>/                      the first generation, '' (vector-index-generation.ts)
 *              generations/<id>/<kind>-<n>/     a rebuilt one
 *              generations/serving              id of the one that serves; absent for ''
 *
 *   [switch]  `serving` is replaced by one rename, after the new generation is on the disk and before anybody reads it: a
 *             crash leaves the old generation or the new one, each whole
 *   [sweep]   whatever does not serve is removed at open: a rebuild that a crash cut short, a generation that ended
 *   [ended]   a handle reads what serves, and writes to the generation that it named last; once that has ended, writing
 *             throws until it is named anew
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SetupError } from '../../ports/errors.ts'
import type { Attributes, Filter, Hit, IndexName, IndexRow, Rebuild, VectorIndex } from '../../ports/vector-index.ts'
import { IndexGeneration, OWN_NAME } from './vector-index-generation.ts'

export interface EmbeddedVectorIndexOptions {
  readonly folder: string
  /** Up to so many matching rows a search scans them all. Default 20,000: some 4 ms at 256 dims. */
  readonly exactBelow?: number
}

export interface EmbeddedVectorIndex extends VectorIndex {
  /** Resolves when the graph of every index has caught up with its rows. */
  settled(): Promise<void>
}

const EXACT_BELOW = 20_000
const FIRST = ''
const GENERATIONS = 'generations'
const SERVING = 'serving'
const ID_DIGITS = 12

export async function openVectorIndex(options: EmbeddedVectorIndexOptions): Promise<EmbeddedVectorIndex> {
  return new Handle(await Generations.open(options.folder, options.exactBelow ?? EXACT_BELOW))
}

/** What all handles on one folder share. */
class Generations {
  readonly #folder: string
  readonly #exactBelow: number
  serving: Generation
  /** Under construction, or about to be. */
  #building: Generation | 'starting' | undefined
  readonly #retiring = new Map<Generation, NodeJS.Timeout>()

  private constructor(folder: string, exactBelow: number, serving: Generation) {
    this.#folder = folder
    this.#exactBelow = exactBelow
    this.serving = serving
  }

  static async open(folder: string, exactBelow: number): Promise<Generations> {
    const all = join(folder, GENERATIONS)
    await mkdir(all, { recursive: true })
    const id = await readFile(join(all, SERVING), 'utf8').catch(noneYet)
    for (const name of await readdir(all)) {
      if (name !== SERVING && name !== id) await rm(join(all, name), { recursive: true, force: true })
    }
    if (id === FIRST) return new Generations(folder, exactBelow, await openFirst(folder, exactBelow))
    const rebuilt = await openRebuilt(folder, id, exactBelow)
    for (const name of await readdir(folder)) {
      if (OWN_NAME.test(name)) await rm(join(folder, name), { recursive: true, force: true })
    }
    return new Generations(folder, exactBelow, rebuilt)
  }

  async rebuild(): Promise<Rebuild> {
    if (this.#building !== undefined) {
      throw new SetupError('rebuild-running', 'The index is being rebuilt already; wait for that, or stop it.')
    }
    this.#building = 'starting'
    try {
      const id = randomUUID().replaceAll('-', '').slice(0, ID_DIGITS)
      await mkdir(rebuiltFolder(this.#folder, id))
      const next = await openRebuilt(this.#folder, id, this.#exactBelow)
      this.#building = next
      return {
        index: new Handle(this, next),
        promote: (keepMs = 0) => this.#promote(next, keepMs),
        discard: () => this.#discard(next),
      }
    } catch (error) {
      this.#building = undefined
      throw error
    }
  }

  async #promote(next: Generation, keepMs: number): Promise<void> {
    if (this.serving === next) return
    if (this.#building !== next) throw next.endedError()
    await next.rows.flush()
    await this.#write(next.id) // [switch]
    const last = this.serving
    this.serving = next
    this.#building = undefined
    if (keepMs === 0) return last.end()
    last.ended = true
    const timer = setTimeout(() => {
      this.#retiring.delete(last)
      // What is left on the disk is swept at the next open.
      last.end().catch(() => {})
    }, keepMs)
    this.#retiring.set(last, timer.unref())
  }

  async #discard(next: Generation): Promise<void> {
    if (this.#building !== next) return
    await next.end()
    this.#building = undefined
  }

  async #write(id: string): Promise<void> {
    const all = join(this.#folder, GENERATIONS)
    const temporary = join(all, `.${SERVING}`)
    const file = await open(temporary, 'w')
    await file.writeFile(id)
    await file.sync()
    await file.close()
    for (const folder of [rebuiltFolder(this.#folder, id), all]) await syncFolder(folder)
    await rename(temporary, join(all, SERVING))
    await syncFolder(all)
  }

  async close(): Promise<void> {
    const open = [this.serving, ...this.#retiring.keys()]
    if (this.#building !== undefined && this.#building !== 'starting') open.push(this.#building)
    for (const timer of this.#retiring.values()) clearTimeout(timer)
    this.#retiring.clear()
    for (const generation of open) await generation.close()
  }
}

/** One generation, and who uses it: it is freed once the calls that are on their way are done. */
class Generation {
  readonly id: string
  readonly rows: IndexGeneration
  /** Takes no writes any more. */
  ended = false
  readonly #folder: string | undefined
  readonly #calls = new Set<Promise<unknown>>()
  #freed = false

  /** @param folder of its own; the first generation has none. */
  constructor(id: string, rows: IndexGeneration, folder?: string) {
    this.id = id
    this.rows = rows
    this.#folder = folder
  }

  read<T>(call: (rows: IndexGeneration) => Promise<T>): Promise<T> {
    return this.#freed ? Promise.reject(this.endedError()) : this.#counted(call(this.rows))
  }

  write<T>(call: (rows: IndexGeneration) => Promise<T>): Promise<T> {
    return this.ended ? Promise.reject(this.endedError()) : this.#counted(call(this.rows))
  }

  /** Frees memory and disk. */
  async end(): Promise<void> {
    await this.#free()
    await this.rows.dropAll()
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true })
  }

  async close(): Promise<void> {
    await this.#free()
    await this.rows.close()
  }

  endedError(): SetupError {
    const which = this.id === FIRST ? 'The first generation' : `Generation ${this.id}`
    return new SetupError('generation-ended', `${which} of the index has ended; ask for the one that serves now.`)
  }

  async #free(): Promise<void> {
    this.ended = true
    this.#freed = true
    await Promise.allSettled(this.#calls)
  }

  #counted<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call)
    const done = () => void this.#calls.delete(call)
    call.then(done, done)
    return call
  }
}

class Handle implements EmbeddedVectorIndex {
  readonly #all: Generations
  /** Of a rebuild's handle: its generation, for good. */
  readonly #own: Generation | undefined
  #named: Generation | undefined

  constructor(all: Generations, own?: Generation) {
    this.#all = all
    this.#own = own
    this.#named = own
  }

  async generation(): Promise<string> {
    this.#named = this.#own ?? this.#all.serving
    return this.#named.id
  }

  rebuild(): Promise<Rebuild> {
    return this.#all.rebuild()
  }

  create(name: IndexName, dims: number): Promise<void> {
    return this.#write((rows) => rows.create(name, dims))
  }

  upsert(name: IndexName, added: readonly IndexRow[]): Promise<void> {
    return this.#write((rows) => rows.upsert(name, added))
  }

  setAttributes(name: IndexName, id: string, attributes: Attributes): Promise<void> {
    return this.#write((rows) => rows.setAttributes(name, id, attributes))
  }

  remove(name: IndexName, ids: readonly string[]): Promise<void> {
    return this.#write((rows) => rows.remove(name, ids))
  }

  drop(name: IndexName): Promise<void> {
    return this.#write((rows) => rows.drop(name))
  }

  search(name: IndexName, vector: Float32Array, k: number, filter?: Filter): Promise<readonly Hit[]> {
    return this.#read((rows) => rows.search(name, vector, k, filter))
  }

  vectors(name: IndexName, ids: readonly string[]): Promise<ReadonlyMap<string, Float32Array>> {
    return this.#read((rows) => rows.vectors(name, ids))
  }

  count(name: IndexName, filter?: Filter): Promise<number> {
    return this.#read((rows) => rows.count(name, filter))
  }

  indexes(): Promise<readonly (IndexName & { dims: number; rows: number })[]> {
    return this.#read((rows) => rows.indexes())
  }

  settled(): Promise<void> {
    return this.#read((rows) => rows.settled())
  }

  /** The handle of a rebuild closes with the one that it came from. */
  async close(): Promise<void> {
    if (this.#own === undefined) await this.#all.close()
  }

  #read<T>(call: (rows: IndexGeneration) => Promise<T>): Promise<T> {
    return (this.#own ?? this.#all.serving).read(call)
  }

  #write<T>(call: (rows: IndexGeneration) => Promise<T>): Promise<T> {
    return (this.#named ?? this.#all.serving).write(call) // [ended]
  }
}

async function openFirst(folder: string, exactBelow: number): Promise<Generation> {
  return new Generation(FIRST, await IndexGeneration.open(folder, exactBelow))
}

async function openRebuilt(folder: string, id: string, exactBelow: number): Promise<Generation> {
  const own = rebuiltFolder(folder, id)
  return new Generation(id, await IndexGeneration.open(own, exactBelow), own)
}

function rebuiltFolder(folder: string, id: string): string {
  return join(folder, GENERATIONS, id)
}

function noneYet(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return FIRST
  throw error
}

/** So that names in it outlive a power cut; where the system cannot (Windows), they are as safe as it makes them. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path).catch(() => undefined)
  await folder?.sync().catch(() => {})
  await folder?.close()
}
