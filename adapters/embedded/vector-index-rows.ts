/**
 * The rows of one index in memory: a dense matrix, ids, and inverted lists for the filters. No I/O.
 *
 * A row lives in a slot, which is reused after a removal. Its key is a number that is never used for another vector, so
 * that a graph built over keys stays true across upserts, removals and restarts (vector-index-graph.ts).
 */
import usearch, { type Matches } from 'usearch'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { Attributes, Filter, FilterCondition, Hit } from '../../ports/vector-index.ts'

const FIRST_CAPACITY = 256
/** Below this a scan here is as fast. */
const NATIVE_FROM = 1_000
/** Fetched beyond k, so that the cut lies below it. */
const SPARE_HITS = 16
/** More than float32 sums of unit vectors can differ by their order. */
const ROUNDING = 1e-5
const NO_ATTRIBUTES: Attributes = {}

/** Rows that pass a filter: mask[slot] is 1. */
export interface Selection {
  readonly mask: Uint8Array
  readonly count: number
}

export class VectorRows {
  readonly dims: number
  /** Every key below may have been used; `claimKey` takes it. */
  nextKey = 0
  #matrix: Float32Array
  #keys: Float64Array
  #alive: Uint8Array
  #ids: (string | undefined)[] = []
  #attributes: Attributes[] = []
  readonly #free: number[] = []
  readonly #slotOfId = new Map<string, number>()
  readonly #slotOfKey = new Map<number, number>()
  /** field → tag → slots. */
  readonly #tags = new Map<string, Map<string, Set<number>>>()
  /** field → number by slot; NaN where the row lacks it. */
  readonly #numbers = new Map<string, Float64Array>()

  constructor(dims: number) {
    this.dims = dims
    this.#matrix = new Float32Array(FIRST_CAPACITY * dims)
    this.#keys = new Float64Array(FIRST_CAPACITY)
    this.#alive = new Uint8Array(FIRST_CAPACITY)
  }

  get count(): number {
    return this.#slotOfId.size
  }

  /** Slots ever used: every live slot is below. */
  get #end(): number {
    return this.#ids.length
  }

  claimKey(): number {
    return this.nextKey++
  }

  keyOf(id: string): number | undefined {
    const slot = this.#slotOfId.get(id)
    return slot === undefined ? undefined : this.#keys[slot]
  }

  slotOfKey(key: number): number | undefined {
    return this.#slotOfKey.get(key)
  }

  keys(): IterableIterator<number> {
    return this.#slotOfKey.keys()
  }

  /** A copy (dims,). */
  vectorOf(id: string): Float32Array | undefined {
    const slot = this.#slotOfId.get(id)
    return slot === undefined ? undefined : this.vectorAt(slot)
  }

  vectorAt(slot: number): Float32Array {
    return this.#matrix.slice(slot * this.dims, (slot + 1) * this.dims)
  }

  /** True if the row is there with this very vector. */
  holds(id: string, vector: Float32Array): boolean {
    const slot = this.#slotOfId.get(id)
    if (slot === undefined) return false
    const offset = slot * this.dims
    for (let i = 0; i < this.dims; i++) if (this.#matrix[offset + i] !== vector[i]) return false
    return true
  }

  set(id: string, key: number, vector: Float32Array, attributes: Attributes): void {
    let slot = this.#slotOfId.get(id)
    if (slot === undefined) {
      slot = this.#free.pop() ?? this.#end
      this.#reserve(slot + 1)
      this.#ids[slot] = id
      this.#attributes[slot] = NO_ATTRIBUTES
      this.#slotOfId.set(id, slot)
      this.#alive[slot] = 1
    } else {
      this.#slotOfKey.delete(this.#keys[slot]!)
    }
    this.#matrix.set(vector, slot * this.dims)
    this.#keys[slot] = key
    this.nextKey = Math.max(this.nextKey, key + 1)
    this.#slotOfKey.set(key, slot)
    this.#setAttributes(slot, attributes)
  }

  setAttributes(id: string, attributes: Attributes): void {
    const slot = this.#slotOfId.get(id)
    if (slot !== undefined) this.#setAttributes(slot, attributes)
  }

  remove(id: string): void {
    const slot = this.#slotOfId.get(id)
    if (slot === undefined) return
    this.#setAttributes(slot, NO_ATTRIBUTES)
    this.#slotOfId.delete(id)
    this.#slotOfKey.delete(this.#keys[slot]!)
    this.#ids[slot] = undefined
    this.#alive[slot] = 0
    this.#free.push(slot)
  }

  /** Selectivity is known exactly before any vector is read. @throws InvalidRequestError 'bad-filter' */
  select(filter: Filter): Selection {
    const mask = this.#alive.slice(0, this.#end)
    for (const condition of filter) this.#narrow(mask, condition)
    let count = 0
    for (let slot = 0; slot < mask.length; slot++) count += mask[slot]!
    return { mask, count }
  }

  /** Exact: every row, or every row of the selection. */
  scan(query: Float32Array, k: number, selection?: Selection): Hit[] {
    return (selection === undefined && this.#scanNatively(query, k)) || this.#scanHere(query, k, selection)
  }

  /**
   * All rows by usearch, some seven times as fast, then scored as everywhere else.
   * @returns undefined where that cannot be sure of the same hits: too many dead slots, or scores at the cut that differ by
   * no more than its rounding.
   */
  #scanNatively(query: Float32Array, k: number): Hit[] | undefined {
    const fetched = Math.min(k + this.#free.length + SPARE_HITS, this.#end)
    if (this.#end < NATIVE_FROM || fetched > this.#end / 2) return undefined
    const matrix = this.#matrix.subarray(0, this.#end * this.dims) // from byte 0: usearch takes no offset
    const { keys } = usearch.exactSearch(matrix, query.slice(), this.dims, fetched, usearch.MetricKind.IP, 1) as Matches
    const top = new TopK(k)
    let last = Number.POSITIVE_INFINITY
    for (const key of keys) {
      const slot = Number(key)
      last = Math.min(last, this.#alive[slot] === 1 ? this.offer(top, slot, query) : Number.POSITIVE_INFINITY)
    }
    const hits = top.take()
    return hits.length === k && last < hits.at(-1)!.score - ROUNDING ? hits : undefined
  }

  #scanHere(query: Float32Array, k: number, selection?: Selection): Hit[] {
    const top = new TopK(k)
    const mask = selection?.mask ?? this.#alive
    for (let slot = 0; slot < this.#end; slot++) if (mask[slot] === 1) this.offer(top, slot, query)
    return top.take()
  }

  /** Scores one slot exactly and offers it. @returns the score. */
  offer(top: TopK, slot: number, query: Float32Array): number {
    const score = Math.min(1, Math.max(-1, dot(this.#matrix, slot * this.dims, query)))
    if (score >= top.floor) top.offer(this.#ids[slot]!, score)
    return score
  }

  #narrow(mask: Uint8Array, condition: FilterCondition): void {
    if ('anyOf' in condition) {
      const passes = new Uint8Array(mask.length)
      for (const tag of condition.anyOf) {
        for (const slot of this.#tags.get(condition.field)?.get(tag) ?? []) passes[slot] = 1
      }
      for (let slot = 0; slot < mask.length; slot++) mask[slot]! &= passes[slot]!
    } else if ('noneOf' in condition) {
      for (const tag of condition.noneOf) {
        for (const slot of this.#tags.get(condition.field)?.get(tag) ?? []) mask[slot] = 0
      }
    } else {
      const { field, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = condition
      if (Number.isNaN(min) || Number.isNaN(max)) {
        throw new InvalidRequestError(
          'bad-filter',
          `The range of filter field ${field} is not a number; give min, max or both.`,
        )
      }
      const column = this.#numbers.get(field)
      if (column === undefined) mask.fill(0)
      else
        for (let slot = 0; slot < mask.length; slot++)
          if (!(column[slot]! >= min && column[slot]! <= max)) mask[slot] = 0
    }
  }

  #setAttributes(slot: number, attributes: Attributes): void {
    for (const [field, value] of Object.entries(this.#attributes[slot]!)) {
      if (typeof value === 'number') {
        this.#numbers.get(field)![slot] = Number.NaN
        continue
      }
      const byTag = this.#tags.get(field)!
      for (const tag of value) {
        const slots = byTag.get(tag)
        slots?.delete(slot)
        if (slots?.size === 0) byTag.delete(tag)
      }
    }
    for (const [field, value] of Object.entries(attributes)) {
      if (typeof value === 'number') {
        let column = this.#numbers.get(field)
        if (column === undefined) {
          column = new Float64Array(this.#keys.length).fill(Number.NaN)
          this.#numbers.set(field, column)
        }
        column[slot] = value
        continue
      }
      const byTag = getOrAdd(this.#tags, field, () => new Map<string, Set<number>>())
      for (const tag of value) getOrAdd(byTag, tag, () => new Set<number>()).add(slot)
    }
    this.#attributes[slot] = attributes
  }

  #reserve(slots: number): void {
    if (slots <= this.#keys.length) return
    const capacity = Math.max(slots, Math.ceil(this.#keys.length * 1.5))
    this.#matrix = grown(this.#matrix, new Float32Array(capacity * this.dims))
    this.#alive = grown(this.#alive, new Uint8Array(capacity))
    for (const [field, column] of this.#numbers) {
      this.#numbers.set(field, grown(column, new Float64Array(capacity).fill(Number.NaN)))
    }
    this.#keys = grown(this.#keys, new Float64Array(capacity))
  }
}

/** The k best hits seen, in a bounded heap whose root is the worst of them: lowest score, then highest id. */
export class TopK {
  readonly #k: number
  readonly #heap: Hit[] = []
  /** A score below this cannot enter. */
  floor = Number.NEGATIVE_INFINITY

  constructor(k: number) {
    this.#k = k
  }

  offer(id: string, score: number): void {
    const heap = this.#heap
    const hit = { id, score }
    if (heap.length < this.#k) {
      heap.push(hit)
      let at = heap.length - 1
      while (at > 0) {
        const parent = (at - 1) >> 1
        if (!worse(hit, heap[parent]!)) break
        heap[at] = heap[parent]!
        at = parent
      }
      heap[at] = hit
    } else if (worse(heap[0]!, hit)) {
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && worse(heap[child + 1]!, heap[child]!)) child++
        if (!worse(heap[child]!, hit)) break
        heap[at] = heap[child]!
        at = child
      }
      heap[at] = hit
    }
    if (heap.length === this.#k) this.floor = heap[0]!.score
  }

  /** Best first. */
  take(): Hit[] {
    return this.#heap.sort((a, b) => (worse(a, b) ? 1 : -1))
  }
}

function worse(a: Hit, b: Hit): boolean {
  return a.score < b.score || (a.score === b.score && a.id > b.id)
}

/** matrix[offset … offset + query.length) · query; four sums so that the additions do not wait on each other. */
function dot(matrix: Float32Array, offset: number, query: Float32Array): number {
  const length = query.length
  const whole = length - (length % 4)
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  for (let i = 0; i < whole; i += 4) {
    a += matrix[offset + i]! * query[i]!
    b += matrix[offset + i + 1]! * query[i + 1]!
    c += matrix[offset + i + 2]! * query[i + 2]!
    d += matrix[offset + i + 3]! * query[i + 3]!
  }
  for (let i = whole; i < length; i++) a += matrix[offset + i]! * query[i]!
  return a + b + c + d
}

function grown<T extends Float32Array | Float64Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
