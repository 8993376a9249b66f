/**
 * VectorIndex over several Redis servers, each with a part of the rows: past one machine.
 *
 *   row ──▶ murmur2 of its id, modulo the servers ──▶ one server
 *   search ──▶ every server for k ──▶ merged, best first ──▶ k
 *
 *   [all]     a server that fails fails the call: never fewer rows, silently
 *   [order]   scores are exact, so the merged order is that of one index
 *   [truth]   index:shards on the first server names the generation of each server that serves. Every call goes to those
 *             and reads that key beside; if it has changed the call is made again. So one write of it switches all
 *   [repair]  after that write each server switches by itself. Where a crash left one behind it still holds the new
 *             generation, so readers find it, and the next generation() or rebuild() makes it switch. A server that was
 *             wiped has begun another: the whole then has another one too, and is filled anew, which the servers that lost
 *             nothing take as they take any repetition
 *
 * How many servers there are, and their order, is part of the key prefix: with another number everything begins anew, beside
 * what was there (docs/adr/0013-vector-index-on-redis.md says how that is removed).
 */
import { createHash } from 'node:crypto'
import { type CuestreamError, RetryableError, SetupError } from '../../ports/errors.ts'
import type { Attributes, Filter, Hit, IndexName, IndexRow, Rebuild, VectorIndex } from '../../ports/vector-index.ts'
import { partitionForKey } from '../partitioner.ts'
import { checkAttributes, checkId, checkVector } from '../vector-index-checks.ts'
import { DEFAULT_KEY_PREFIX } from './connection.ts'
import { openRedisVectorIndex } from './vector-index.ts'
import { IndexRows, type RedisVectorIndexOptions } from './vector-index-rows.ts'
import { type BegunRebuild, VectorIndexStore } from './vector-index-store.ts'

const ATTEMPTS = 4
const ID_DIGITS = 16

/** One server or several. @param urls in an order that does not change. @throws as openRedisVectorIndex */
export async function openRedisShards(
  urls: readonly string[],
  options: Omit<RedisVectorIndexOptions, 'url'>,
): Promise<VectorIndex> {
  if (urls.length === 1) return openRedisVectorIndex({ ...options, url: urls[0]! })
  const { keyPrefix = DEFAULT_KEY_PREFIX } = options
  const opening = urls.map((url, i) => {
    const own = { ...options, url, keyPrefix: `${keyPrefix}shard-${i}-of-${urls.length}:` }
    return VectorIndexStore.open(own).then((store) => ({ store, options: own }))
  })
  try {
    const index = new ShardedVectorIndex(valuesOf(await Promise.allSettled(opening)))
    await index.settle()
    return index
  } catch (error) {
    for (const opened of await Promise.allSettled(opening)) {
      if (opened.status === 'fulfilled') await opened.value.store.close()
    }
    throw error
  }
}

interface Shard {
  readonly store: VectorIndexStore
  readonly options: RedisVectorIndexOptions
}

/** The rows of every server, of one generation of the whole. */
class ShardRows {
  /** The generations, as they lie in index:shards. */
  readonly record: string
  readonly shards: readonly IndexRows[]

  constructor(shards: readonly Shard[], record: string) {
    this.record = record
    const generations = record.split(' ')
    this.shards = shards.map(({ store, options }, i) => new IndexRows(store, options, generations[i]!))
  }

  get id(): string {
    return createHash('sha256').update(this.record).digest('hex').slice(0, ID_DIGITS)
  }
}

class ShardedVectorIndex implements VectorIndex {
  readonly #shards: readonly Shard[]
  /** The only generation of this handle; absent, it reads what serves. */
  readonly #only: ShardRows | undefined
  #serving: ShardRows | undefined
  #named: ShardRows | undefined

  constructor(shards: readonly Shard[], only?: ShardRows) {
    this.#shards = shards
    this.#only = only
    this.#named = only
  }

  async generation(): Promise<string> {
    if (this.#only !== undefined) return this.#only.id
    this.#named = await this.settle()
    return this.#named.id
  }

  /** Brings the servers and what the first of them says together. [repair] */
  async settle(): Promise<ShardRows> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const record = await this.#record()
      const generations = record.split(' ')
      const next = await this.#all(this.#shards, async ({ store }, i) => {
        const { serving, building } = await store.state()
        if (building === '' || building !== generations[i]) return serving
        await store.promote(building, 0)
        return building
      })
      if (await this.#setRecord(record, next.join(' '))) return this.#at(next.join(' '))
    }
    throw changing()
  }

  async rebuild(): Promise<Rebuild> {
    await this.settle()
    const begun: (BegunRebuild & { store: VectorIndexStore })[] = []
    const discard = () =>
      this.#all(begun, ({ store, id, stopRenewing }) => {
        stopRenewing()
        return store.discard(id)
      })
    try {
      for (const { store, options } of this.#shards) {
        begun.push({ store, ...(await store.startRebuild(options.rebuildLeaseMs)) })
      }
    } catch (error) {
      await discard().catch(() => {}) // their leases end by themselves
      throw error
    }
    const rows = new ShardRows(this.#shards, begun.map(({ id }) => id).join(' '))
    return {
      index: new ShardedVectorIndex(this.#shards, rows),
      promote: async (keepMs = 0) => {
        await this.#all(rows.shards, (shard) => shard.ready())
        const served = await this.#record()
        await this.#all(begun, ({ renew }) => renew()) // so that no other rebuild takes over a part of it now
        if (!(await this.#setRecord(served, rows.record))) throw changing()
        try {
          await this.#all(begun, ({ store, id }) => store.promote(id, keepMs))
        } catch (error) {
          await this.settle().catch(() => {}) // [repair], or the next generation() does it
          throw error
        }
        for (const { stopRenewing } of begun) stopRenewing()
      },
      discard: async () => {
        if ((await this.#record()) !== rows.record) await discard()
      },
    }
  }

  async create(name: IndexName, dims: number): Promise<void> {
    await this.#write((rows) => this.#all(rows.shards, (shard) => shard.create(name, dims)))
  }

  async upsert(name: IndexName, rows: readonly IndexRow[]): Promise<void> {
    // A server sees its own rows alone, and nothing is to be written when any row is refused.
    for (const { id, vector, attributes } of rows) {
      checkId(id)
      checkVector(vector, rows[0]!.vector.length, `of ${id}`)
      checkAttributes(id, attributes)
    }
    const parts = this.#split(rows, ({ id }) => id)
    await this.#write(({ shards }) => this.#all(parts, ([i, some]) => shards[i]!.upsert(name, some)))
  }

  async setAttributes(name: IndexName, id: string, attributes: Attributes): Promise<void> {
    await this.#write(({ shards }) => shards[this.#shardOf(id)]!.setAttributes(name, id, attributes))
  }

  async remove(name: IndexName, ids: readonly string[]): Promise<void> {
    const parts = this.#split(ids, (id) => id)
    await this.#write(({ shards }) => this.#all(parts, ([i, some]) => shards[i]!.remove(name, some)))
  }

  async search(name: IndexName, vector: Float32Array, k: number, filter?: Filter): Promise<readonly Hit[]> {
    const found = await this.#read((rows) => this.#all(rows.shards, (shard) => shard.search(name, vector, k, filter)))
    return found
      .flat()
      .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
      .slice(0, k)
  }

  async vectors(name: IndexName, ids: readonly string[]): Promise<ReadonlyMap<string, Float32Array>> {
    const parts = this.#split(ids, (id) => id)
    const found = await this.#read(({ shards }) => this.#all(parts, ([i, some]) => shards[i]!.vectors(name, some)))
    const all = new Map(found.flatMap((vectors) => [...vectors]))
    return new Map(ids.flatMap((id) => (all.has(id) ? [[id, all.get(id)!]] : [])))
  }

  async count(name: IndexName, filter?: Filter): Promise<number> {
    const counts = await this.#read((rows) => this.#all(rows.shards, (shard) => shard.count(name, filter)))
    return counts.reduce((sum, rows) => sum + rows, 0)
  }

  async indexes(): Promise<readonly (IndexName & { dims: number; rows: number })[]> {
    const merged = new Map<string, IndexName & { dims: number; rows: number }>()
    for (const index of (await this.#read((rows) => this.#all(rows.shards, (shard) => shard.indexes()))).flat()) {
      const key = `${index.kind}/${index.release}`
      merged.set(key, { ...index, rows: index.rows + (merged.get(key)?.rows ?? 0) })
    }
    return [...merged.values()]
  }

  async drop(name: IndexName): Promise<void> {
    await this.#write((rows) => this.#all(rows.shards, (shard) => shard.drop(name)))
  }

  async close(): Promise<void> {
    if (this.#only === undefined) await this.#all(this.#shards, ({ store }) => store.close())
  }

  /** Of what serves, whole: made again when that has changed meanwhile. */
  async #read<T>(call: (rows: ShardRows) => Promise<T>): Promise<T> {
    if (this.#only !== undefined) return call(this.#only)
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      this.#serving ??= this.#at(await this.#record())
      const { record } = this.#serving
      const [after, result] = await Promise.allSettled([this.#record(), call(this.#serving)])
      if (after.status === 'rejected') throw after.reason
      if (after.value === record) {
        if (result.status === 'fulfilled') return result.value
        // A server may have gone on to the next generation after the look at the record.
        if ((await this.#record()) === record) throw result.reason
      }
      this.#serving = undefined
    }
    throw changing()
  }

  /** Writes are idempotent, so one that follows what serves is made again as a read is. */
  async #write(call: (rows: ShardRows) => Promise<unknown>): Promise<void> {
    await (this.#named === undefined ? this.#read(call) : call(this.#named))
  }

  #record(): Promise<string> {
    return this.#shards[0]!.store.shardRecord()
  }

  #setRecord(expected: string, next: string): Promise<boolean> {
    return this.#shards[0]!.store.setShardRecord(expected, next)
  }

  /** What is known of indexes stays with the rows. */
  #at(record: string): ShardRows {
    if (record === '') {
      throw new SetupError('generation-ended', 'The first server of the index was wiped; ask for the generation.')
    }
    const known = [this.#serving, this.#named].find((rows) => rows?.record === record)
    return known ?? new ShardRows(this.#shards, record)
  }

  #shardOf(id: string): number {
    return partitionForKey(id, this.#shards.length)
  }

  /** The items of each server; the first gets none where there are none, so that a bad name is still refused. */
  #split<I>(items: readonly I[], idOf: (item: I) => string): [shard: number, items: I[]][] {
    const parts = new Map<number, I[]>(items.length === 0 ? [[0, []]] : [])
    for (const item of items) {
      const shard = this.#shardOf(idOf(item))
      const part = parts.get(shard)
      if (part === undefined) parts.set(shard, [item])
      else part.push(item)
    }
    return [...parts]
  }

  /** Every call has settled when it throws, so that nothing runs on behind the caller's back. */
  async #all<S, T>(shards: readonly S[], call: (shard: S, i: number) => Promise<T>): Promise<T[]> {
    return valuesOf(await Promise.allSettled(shards.map((shard, i) => call(shard, i))))
  }
}

function valuesOf<T>(settled: readonly PromiseSettledResult<T>[]): T[] {
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}

function changing(): CuestreamError {
  return new RetryableError('index-changing', 'The generation of the index changes all the time; ask again.')
}
