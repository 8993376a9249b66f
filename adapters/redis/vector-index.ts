/**
 * VectorIndex on the Redis Query Engine: one HNSW index a generation, release and kind.
 *
 *   upsert ──▶ one script a row ──▶ HASH row:<uid>:<id> ──▶ FT index ix:<uid> (FLOAT16, tags, numbers)
 *   search ──▶ KNN in ix:<uid> for some more than asked ──▶ rescored by the rows' float32 ──▶ best first
 *
 *   [single]     FT on HASH is synchronous: a write that resolved is seen by the next search
 *   [truth]      index:generation and index:names say what serves; every write is checked against them by the script that
 *                makes it, every search by the pipeline that carries it. The aliases serving:<kind>/<release> follow in
 *                the same script, for people
 *   [named]      a handle reads what serves, and writes to the generation that generation() named last; once that was
 *                replaced or wiped, its writes throw until it is named anew. A handle that named none follows
 *   [whole]      an engine that runs out of time gives an error, never fewer rows (ON_TIMEOUT fail, looked at by every
 *                search), and a search of the graph that comes back short is asked again exactly
 *   [memory]     a server that may have lost writes begins a new generation, as a wiped one does, for it would lack rows in
 *                silence: one that restarts from a snapshot (appendonly no), or with fewer writes than somebody has seen
 *   [background] rows of what was dropped are unlinked in chunks, by whoever opens the store next if this process dies
 *
 * Nothing of an upsert is written when its rows are refused; one that an outage cuts short is done again by its caller.
 */
import type { Rebuild, VectorIndex } from '../../ports/vector-index.ts'
import { IndexRows, type RedisVectorIndexOptions } from './vector-index-rows.ts'
import { SERVING, VectorIndexStore } from './vector-index-store.ts'

/** @throws SetupError 'no-query-engine' | 'may-lose-results' | 'redis-cluster' | 'redis-evicts' | 'redis-denied'; OutageError */
export async function openRedisVectorIndex(options: RedisVectorIndexOptions): Promise<VectorIndex> {
  const store = await VectorIndexStore.open(options)
  return new RedisVectorIndex(store, options, SERVING)
}

class RedisVectorIndex extends IndexRows implements VectorIndex {
  async generation(): Promise<string> {
    if (this.reads === SERVING) this.writes = await this.store.begin()
    return this.writes
  }

  async rebuild(): Promise<Rebuild> {
    const { store } = this
    const { id, stopRenewing } = await store.startRebuild(this.options.rebuildLeaseMs)
    const index = new RedisVectorIndex(store, this.options, id)
    return {
      index,
      async promote(keepMs = 0) {
        await index.ready()
        await store.promote(id, keepMs)
        stopRenewing()
      },
      async discard() {
        stopRenewing()
        await store.discard(id)
      },
    }
  }

  /** A rebuild's index goes with the handle that it was made by. */
  async close(): Promise<void> {
    if (this.reads === SERVING) await this.store.close()
  }
}
