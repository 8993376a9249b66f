/**
 * VectorIndex over several others, each with a part of the rows: past one machine.
 *
 *   row ──▶ murmur2 of its id, modulo the shards ──▶ one shard
 *   search ──▶ every shard for k ──▶ merged, best first ──▶ k
 *
 *   [all]         a shard that fails fails the call: never fewer rows, silently
 *   [order]       scores are exact, so the merged order is that of one index
 *   [generation]  that of the whole names those of all shards: when one is wiped or rebuilt alone, the whole has another,
 *                 and whoever fills it reads from the start, which every shard takes as it takes any repetition
 *   [promote]     shards switch one after the other. Both generations hold the same topics, so between the switches a row
 *                 is whole, of one or the other. When one fails, promote() again goes on; when the process dies, the
 *                 generation of the whole is a new one and is filled anew
 *
 * The number of shards and their order must not change under the same keys: openRedisShards() has others for each number.
 */
import { SetupError } from '../../ports/errors.ts'
import type { Attributes, Filter, Hit, IndexName, IndexRow, Rebuild, VectorIndex } from '../../ports/vector-index.ts'
import { partitionForKey } from '../partitioner.ts'
import { checkAttributes, checkId, checkVector } from '../vector-index-checks.ts'
import { DEFAULT_KEY_PREFIX } from './connection.ts'
import { openRedisVectorIndex, type RedisVectorIndexOptions } from './vector-index.ts'

/** One server or several. @param urls in an order that does not change. */
export async function openRedisShards(
  urls: readonly string[],
  options: Omit<RedisVectorIndexOptions, 'url'>,
): Promise<VectorIndex> {
  if (urls.length === 1) return openRedisVectorIndex({ ...options, url: urls[0]! })
  const { keyPrefix = DEFAULT_KEY_PREFIX } = options
  const shards: VectorIndex[] = []
  try {
    for (const [i, url] of urls.entries()) {
      const prefix = `${keyPrefix}shard-${i}-of-${urls.length}:`
      shards.push(await openRedisVectorIndex({ ...options, url, keyPrefix: prefix }))
    }
  } catch (error) {
    await Promise.all(shards.map((shard) => shard.close()))
    throw error
  }
  return openShardedVectorIndex(shards)
}

export function openShardedVectorIndex(shards: readonly VectorIndex[]): VectorIndex {
  if (shards.length === 0) throw new SetupError('no-shards', 'An index needs at least one shard; name their servers.')
  return new ShardedVectorIndex(shards)
}

class ShardedVectorIndex implements VectorIndex {
  readonly #shards: readonly VectorIndex[]

  constructor(shards: readonly VectorIndex[]) {
    this.#shards = shards
  }

  async generation(): Promise<string> {
    return (await this.#all((shard) => shard.generation())).join('.')
  }

  async rebuild(): Promise<Rebuild> {
    const rebuilds: Rebuild[] = []
    try {
      for (const shard of this.#shards) rebuilds.push(await shard.rebuild())
    } catch (error) {
      await Promise.allSettled(rebuilds.map((rebuild) => rebuild.discard()))
      throw error
    }
    return {
      index: new ShardedVectorIndex(rebuilds.map(({ index }) => index)),
      async promote(keepMs) {
        for (const rebuild of rebuilds) await rebuild.promote(keepMs)
      },
      async discard() {
        for (const rebuild of rebuilds) await rebuild.discard()
      },
    }
  }

  async create(name: IndexName, dims: number): Promise<void> {
    await this.#all((shard) => shard.create(name, dims))
  }

  async upsert(name: IndexName, rows: readonly IndexRow[]): Promise<void> {
    // A shard sees its own rows alone, and nothing is to be written when any row is refused.
    for (const { id, vector, attributes } of rows) {
      checkId(id)
      checkVector(vector, rows[0]!.vector.length, `of ${id}`)
      checkAttributes(id, attributes)
    }
    await this.#each(
      rows,
      ({ id }) => id,
      (shard, some) => shard.upsert(name, some),
    )
  }

  setAttributes(name: IndexName, id: string, attributes: Attributes): Promise<void> {
    return this.#shardOf(id).setAttributes(name, id, attributes)
  }

  async remove(name: IndexName, ids: readonly string[]): Promise<void> {
    await this.#each(
      ids,
      (id) => id,
      (shard, some) => shard.remove(name, some),
    )
  }

  async search(name: IndexName, vector: Float32Array, k: number, filter?: Filter): Promise<readonly Hit[]> {
    const found = await this.#all((shard) => shard.search(name, vector, k, filter))
    return found
      .flat()
      .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
      .slice(0, k)
  }

  async vectors(name: IndexName, ids: readonly string[]): Promise<ReadonlyMap<string, Float32Array>> {
    const found = await this.#each(
      ids,
      (id) => id,
      (shard, some) => shard.vectors(name, some),
    )
    const all = new Map(found.flatMap((vectors) => [...vectors]))
    return new Map(ids.flatMap((id) => (all.has(id) ? [[id, all.get(id)!]] : [])))
  }

  async count(name: IndexName, filter?: Filter): Promise<number> {
    return (await this.#all((shard) => shard.count(name, filter))).reduce((sum, rows) => sum + rows, 0)
  }

  async indexes(): Promise<readonly (IndexName & { dims: number; rows: number })[]> {
    const merged = new Map<string, IndexName & { dims: number; rows: number }>()
    for (const index of (await this.#all((shard) => shard.indexes())).flat()) {
      const key = `${index.kind}/${index.release}`
      merged.set(key, { ...index, rows: index.rows + (merged.get(key)?.rows ?? 0) })
    }
    return [...merged.values()]
  }

  async drop(name: IndexName): Promise<void> {
    await this.#all((shard) => shard.drop(name))
  }

  async close(): Promise<void> {
    await this.#all((shard) => shard.close())
  }

  #shardOf(id: string): VectorIndex {
    return this.#shards[partitionForKey(id, this.#shards.length)]!
  }

  /** Every shard has settled when it throws, so that nothing of the call runs on behind its caller's back. */
  async #all<T>(call: (shard: VectorIndex) => Promise<T>): Promise<T[]> {
    const settled = await Promise.allSettled(this.#shards.map(call))
    return settled.map((result) => {
      if (result.status === 'rejected') throw result.reason
      return result.value
    })
  }

  /** Each shard with the items that are its own; the first with none of none, so that a bad name is still refused. */
  #each<I, T>(items: readonly I[], idOf: (item: I) => string, call: (shard: VectorIndex, some: I[]) => Promise<T>) {
    const groups = new Map<VectorIndex, I[]>(items.length === 0 ? [[this.#shards[0]!, []]] : [])
    for (const item of items) {
      const shard = this.#shardOf(idOf(item))
      const group = groups.get(shard)
      if (group === undefined) groups.set(shard, [item])
      else group.push(item)
    }
    return this.#all(async (shard) => {
      const some = groups.get(shard)
      return some === undefined ? [] : [await call(shard, some)]
    }).then((results) => results.flat() as T[])
  }
}
