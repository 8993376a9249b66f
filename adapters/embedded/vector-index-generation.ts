/**
 * One generation of the embedded VectorIndex: rows durable in LMDB, searched in memory.
 *
 *     <folder>/<kind>-<n>/index.json          release, kind, dims; written last, so the folder counts only when whole
 *                         data.mdb            id → key, vector, attributes
 *                         graph-*.usearch     cache of the HNSW graph (vector-index-graph.ts)
 *
 * Up to `exactBelow` rows (or rows that pass the filter) a search is an exact scan. Above, candidates come from the HNSW
 * graph, together with every row that is not in it yet, and are scored exactly; where a filter leaves fewer than k of
 * them, the exact scan answers after all. One folder belongs to one process.
 *
 * A write changes the memory at once and resolves when LMDB has committed it. If that fails the call rejects; the same
 * call made again, or a restart, brings both together.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Database, RootDatabase } from 'lmdb'
import { InvalidRequestError, SetupError } from '../../ports/errors.ts'
import type { Attributes, Filter, Hit, IndexKind, IndexName, IndexRow, VectorIndex } from '../../ports/vector-index.ts'
import { checkAttributes, checkId, checkVector } from '../vector-index-checks.ts'
import { openStore } from './store.ts'
import { forgetGraph, VectorGraph } from './vector-index-graph.ts'
import { type Selection, TopK, VectorRows } from './vector-index-rows.ts'

const KEY_BYTES = 8
/** From the graph we take what the filter's selectivity asks for, times this, plus a few. */
const OVERFETCH = 2
const OVERFETCH_ROWS = 64
/** An index's folder, or (with a dot) what a crash left half made or half dropped. */
export const OWN_NAME = /^(\.|(music|video)-[0-9]+$)/

/** Everything of the port but generations, which are of the whole (vector-index.ts). */
export class IndexGeneration implements Omit<VectorIndex, 'generation' | 'rebuild'> {
  readonly #folder: string
  readonly #exactBelow: number
  readonly #indexes: Map<string, OneIndex>
  /** Creations and drops, one after the other. */
  #structural: Promise<unknown> = Promise.resolve()

  private constructor(folder: string, exactBelow: number, indexes: Map<string, OneIndex>) {
    this.#folder = folder
    this.#exactBelow = exactBelow
    this.#indexes = indexes
  }

  static async open(folder: string, exactBelow: number): Promise<IndexGeneration> {
    await mkdir(folder, { recursive: true })
    const indexes = new Map<string, OneIndex>()
    for (const name of await readdir(folder)) {
      if (!OWN_NAME.test(name)) continue
      if (name.startsWith('.')) await rm(join(folder, name), { recursive: true, force: true })
      else {
        const index = await OneIndex.open(join(folder, name), exactBelow)
        indexes.set(mapKey(index.name), index)
      }
    }
    return new IndexGeneration(folder, exactBelow, indexes)
  }

  create(name: IndexName, dims: number): Promise<void> {
    return this.#alone(async () => {
      if (!Number.isInteger(dims) || dims < 1) {
        throw new SetupError(
          'dims-mismatch',
          `Index ${mapKey(name)} cannot have ${dims} dims; give a positive integer.`,
        )
      }
      const existing = this.#indexes.get(mapKey(name))
      if (existing !== undefined && existing.dims !== dims) {
        throw new SetupError(
          'dims-mismatch',
          `Index ${mapKey(name)} has ${existing.dims} dims, not ${dims}; a release with other dims needs another name.`,
        )
      }
      if (existing === undefined) {
        this.#indexes.set(mapKey(name), await OneIndex.create(this.#folder, name, dims, this.#exactBelow))
      }
    })
  }

  drop(name: IndexName): Promise<void> {
    return this.#alone(async () => {
      const index = this.#indexes.get(mapKey(name))
      if (index === undefined) return
      this.#indexes.delete(mapKey(name))
      await index.drop()
    })
  }

  async upsert(name: IndexName, rows: readonly IndexRow[]): Promise<void> {
    await this.#index(name).upsert(rows)
  }

  async setAttributes(name: IndexName, id: string, attributes: Attributes): Promise<void> {
    await this.#index(name).setAttributes(id, attributes)
  }

  async remove(name: IndexName, ids: readonly string[]): Promise<void> {
    await this.#index(name).remove(ids)
  }

  async search(name: IndexName, vector: Float32Array, k: number, filter: Filter = []): Promise<readonly Hit[]> {
    return this.#index(name).search(vector, k, filter)
  }

  async vectors(name: IndexName, ids: readonly string[]): Promise<ReadonlyMap<string, Float32Array>> {
    const { rows } = this.#index(name)
    const found = new Map<string, Float32Array>()
    for (const id of ids) {
      const vector = rows.vectorOf(id)
      if (vector !== undefined) found.set(id, vector)
    }
    return found
  }

  async count(name: IndexName, filter: Filter = []): Promise<number> {
    const { rows } = this.#index(name)
    return filter.length === 0 ? rows.count : rows.select(filter).count
  }

  async indexes(): Promise<readonly (IndexName & { dims: number; rows: number })[]> {
    return [...this.#indexes.values()].map(({ name, dims, rows }) => ({ ...name, dims, rows: rows.count }))
  }

  /** Resolves when the graph of every index has caught up with its rows. */
  async settled(): Promise<void> {
    for (const index of this.#indexes.values()) await index.settle()
  }

  /** Resolves when all that was written so far would outlive a power cut. */
  async flush(): Promise<void> {
    for (const index of this.#indexes.values()) await index.flush()
  }

  async dropAll(): Promise<void> {
    for (const { name } of [...this.#indexes.values()]) await this.drop(name)
  }

  close(): Promise<void> {
    return this.#alone(async () => {
      const open = [...this.#indexes.values()]
      this.#indexes.clear()
      for (const index of open) await index.close()
    })
  }

  #index(name: IndexName): OneIndex {
    const index = this.#indexes.get(mapKey(name))
    if (index !== undefined) return index
    throw new SetupError(
      'unknown-index',
      `There is no index ${mapKey(name)}; create it first, or choose a release that has been indexed.`,
    )
  }

  #alone(work: () => Promise<void>): Promise<void> {
    const done = this.#structural.then(work)
    this.#structural = done.catch(() => {})
    return done
  }
}

class OneIndex {
  readonly name: IndexName
  readonly dims: number
  readonly rows: VectorRows
  readonly #folder: string
  readonly #exactBelow: number
  readonly #store: RootDatabase
  /** id → row bytes. */
  readonly #table: Database<Uint8Array, Uint8Array>
  #graph: VectorGraph | undefined

  private constructor(folder: string, name: IndexName, dims: number, exactBelow: number) {
    this.name = name
    this.dims = dims
    this.rows = new VectorRows(dims)
    this.#folder = folder
    this.#exactBelow = exactBelow
    this.#store = openStore(folder)
    this.#table = this.#store.openDB({ name: 'rows', encoding: 'binary', keyEncoding: 'binary' })
  }

  static async create(parent: string, name: IndexName, dims: number, exactBelow: number): Promise<OneIndex> {
    const temporary = join(parent, `.new-${randomUUID()}`)
    await mkdir(temporary)
    const file = await open(join(temporary, 'index.json'), 'w')
    await file.writeFile(JSON.stringify({ release: name.release, kind: name.kind, dims }))
    await file.sync()
    await file.close()
    const taken = new Set(await readdir(parent))
    let number = 1
    while (taken.has(`${name.kind}-${number}`)) number++
    const folder = join(parent, `${name.kind}-${number}`)
    await rename(temporary, folder)
    return new OneIndex(folder, { release: name.release, kind: name.kind }, dims, exactBelow)
  }

  static async open(folder: string, exactBelow: number): Promise<OneIndex> {
    const { release, kind, dims } = await readFile(join(folder, 'index.json'), 'utf8').then(
      (text) => JSON.parse(text) as { release: string; kind: IndexKind; dims: number },
      (cause) => {
        throw new SetupError('index-unreadable', `${folder} holds no index; move it away and index again.`, { cause })
      },
    )
    const index = new OneIndex(folder, { release, kind }, dims, exactBelow)
    for (const { key, value } of index.#table.getRange()) {
      const row = decodeRow(value, dims)
      index.rows.set(Buffer.from(key).toString('utf8'), row.key, row.vector, row.attributes)
    }
    if (index.rows.count > exactBelow) {
      index.#graph = await VectorGraph.cached(index.rows, folder)
    } else {
      await forgetGraph(folder)
    }
    index.#updateGraph()
    return index
  }

  async upsert(rows: readonly IndexRow[]): Promise<void> {
    for (const { id, vector, attributes } of rows) {
      checkId(id)
      checkVector(vector, this.dims, `of ${id}`)
      checkAttributes(id, attributes)
    }
    const writes = rows.map(({ id, vector, attributes }) => {
      const before = this.rows.keyOf(id)
      const same = this.rows.holds(id, vector)
      const key = same ? before! : this.rows.claimKey()
      this.rows.set(id, key, vector, attributes)
      if (!same) {
        if (before !== undefined) this.#graph?.removed(before)
        this.#graph?.added(key)
      }
      return this.#table.put(Buffer.from(id), encodeRow(key, vector, attributes))
    })
    this.#updateGraph()
    await Promise.all(writes)
  }

  async setAttributes(id: string, attributes: Attributes): Promise<void> {
    checkAttributes(id, attributes)
    const key = this.rows.keyOf(id)
    if (key === undefined) return
    this.rows.setAttributes(id, attributes)
    await this.#table.put(Buffer.from(id), encodeRow(key, this.rows.vectorOf(id)!, attributes))
  }

  async remove(ids: readonly string[]): Promise<void> {
    const writes = ids.map((id) => {
      checkId(id)
      const key = this.rows.keyOf(id)
      if (key !== undefined) this.#graph?.removed(key)
      this.rows.remove(id)
      return this.#table.remove(Buffer.from(id))
    })
    this.#updateGraph()
    await Promise.all(writes)
  }

  search(query: Float32Array, k: number, filter: Filter): readonly Hit[] {
    if (!Number.isInteger(k) || k < 1) {
      throw new InvalidRequestError('bad-limit', `A search for ${k} rows cannot be answered; ask for 1 or more.`)
    }
    checkVector(query, this.dims, 'of the query')
    const selection = filter.length === 0 ? undefined : this.rows.select(filter)
    const matching = selection?.count ?? this.rows.count
    const wanted = Math.min(k, matching)
    if (wanted === 0) return []
    if (matching > this.#exactBelow) {
      const hits = this.#searchGraph(query, wanted, matching, selection)
      if (hits !== undefined) return hits
    }
    return this.rows.scan(query, wanted, selection)
  }

  /** @returns undefined where an exact scan is cheaper, or where the graph gave fewer than `wanted` rows that match. */
  #searchGraph(query: Float32Array, wanted: number, matching: number, selection?: Selection): Hit[] | undefined {
    const graph = this.#graph
    if (graph === undefined || graph.waiting.size > this.#exactBelow) return undefined
    const fetched = Math.ceil((wanted * this.rows.count * OVERFETCH) / matching) + OVERFETCH_ROWS
    if (fetched > matching / 10) return undefined
    const top = new TopK(wanted)
    let found = 0
    for (const slot of graph.nearest(query, fetched)) {
      if (selection !== undefined && selection.mask[slot] !== 1) continue
      this.rows.offer(top, slot, query)
      found++
    }
    if (found < wanted) return undefined
    for (const key of graph.waiting) {
      const slot = this.rows.slotOfKey(key)!
      if (selection === undefined || selection.mask[slot] === 1) this.rows.offer(top, slot, query)
    }
    return top.take()
  }

  async settle(): Promise<void> {
    await this.#graph?.settle()
  }

  async flush(): Promise<void> {
    await this.#store.flushed
  }

  async close(): Promise<void> {
    await this.#graph?.save()
    await this.#graph?.close()
    await this.#store.flushed
    await this.#store.close()
  }

  /** Frees the memory and the disk. */
  async drop(): Promise<void> {
    await this.#graph?.close()
    await this.#store.committed
    await this.#store.close()
    const dropped = join(this.#folder, '..', `.dropped-${randomUUID()}`)
    await rename(this.#folder, dropped)
    await rm(dropped, { recursive: true, force: true })
  }

  /** The graph begins above `exactBelow` rows and goes again below half of that. */
  #updateGraph(): void {
    if (this.#graph === undefined && this.rows.count > this.#exactBelow) {
      this.#graph = VectorGraph.empty(this.rows, this.#folder)
    } else if (this.#graph !== undefined && this.rows.count < this.#exactBelow / 2) {
      void this.#graph.close()
      this.#graph = undefined
    }
  }
}

function mapKey({ release, kind }: IndexName): string {
  return `${kind}/${release}`
}

/** key as float64, vector as float32, both little endian, then the attributes as JSON. */
function encodeRow(key: number, vector: Float32Array, attributes: Attributes): Buffer {
  const head = Buffer.alloc(KEY_BYTES)
  head.writeDoubleLE(key)
  const body = Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength)
  return Buffer.concat([head, body, Buffer.from(JSON.stringify(attributes))])
}

function decodeRow(bytes: Uint8Array, dims: number): { key: number; vector: Float32Array; attributes: Attributes } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const vector = new Float32Array(dims)
  const end = KEY_BYTES + vector.byteLength
  new Uint8Array(vector.buffer).set(buffer.subarray(KEY_BYTES, end))
  return { key: buffer.readDoubleLE(), vector, attributes: JSON.parse(buffer.toString('utf8', end)) as Attributes }
}
