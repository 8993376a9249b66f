/**
 * What an index must hold by its topics: every embedding whose key stands, up to where the projection has read.
 * One partition's keys are in memory at a time.
 */
import type { Broker, PartitionLag } from '../../ports/broker.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import type { IndexKind, IndexName, VectorIndex } from '../../ports/vector-index.ts'
import { isVoid } from '../../processors/index-embeddings/index-embeddings.ts'
import { readPartition } from '../../runtime/read-partition.ts'
import { splitEmbeddingKey } from '../../topics/embedding-key.ts'
import { musicEmbedded, videoEmbedded } from '../../topics/topics.ts'
import { receivedAtOf } from '../../topics/upload-stamp.ts'

export interface IndexCount extends IndexName {
  readonly rows: number
  /** Keys of its topic that stand. */
  readonly liveKeys: number
}

export interface LiveKey {
  readonly id: string
  readonly release: string
  readonly receivedAt: number | undefined
}

/** Embeddings of long media have hundreds of kilobytes. */
const READ_AT_ONCE = 100
const LOOKED_UP_AT_ONCE = 1_000
const sources = [
  { kind: 'music', topic: musicEmbedded.name },
  { kind: 'video', topic: videoEmbedded.name },
] as const satisfies readonly { kind: IndexKind; topic: string }[]

/** @param read how far the projection has read each partition. */
export async function countRows(
  index: VectorIndex,
  broker: Broker,
  read: readonly PartitionLag[],
): Promise<IndexCount[]> {
  const live = new Map<string, IndexName & { liveKeys: number }>()
  for await (const { kind, keys } of livePartitions(broker, read)) {
    for (const { release } of keys) {
      const name = `${kind}/${release}`
      const count = live.get(name) ?? { kind, release, liveKeys: 0 }
      live.set(name, { ...count, liveKeys: count.liveKeys + 1 })
    }
  }
  const indexes = await index.indexes()
  for (const { kind, release } of indexes) {
    if (!live.has(`${kind}/${release}`)) live.set(`${kind}/${release}`, { kind, release, liveKeys: 0 })
  }
  return [...live.values()].map((name) => {
    const found = indexes.find(({ kind, release }) => kind === name.kind && release === name.release)
    return { ...name, rows: found?.rows ?? 0 }
  })
}

/** Keys that stand and have no row, though their upload was not taken down since; at most `most` of them. */
export async function missingRows(
  index: VectorIndex,
  broker: Broker,
  catalogue: Catalogue,
  read: readonly PartitionLag[],
  most: number,
): Promise<string[]> {
  const known = new Set((await index.indexes()).map(({ kind, release }) => `${kind}/${release}`))
  const missing: string[] = []
  for await (const { kind, keys } of livePartitions(broker, read)) {
    for (const release of new Set(keys.map((key) => key.release))) {
      const ofRelease = keys.filter((key) => key.release === release)
      for (let i = 0; i < ofRelease.length && missing.length < most; i += LOOKED_UP_AT_ONCE) {
        const page = ofRelease.slice(i, i + LOOKED_UP_AT_ONCE)
        const ids = page.map(({ id }) => id)
        const found = known.has(`${kind}/${release}`)
          ? await index.vectors({ kind, release }, ids)
          : new Map<string, Float32Array>()
        for (const { id, receivedAt } of page) {
          if (found.has(id) || (await isVoid(id, receivedAt, await catalogue.takenDownAt(id), catalogue))) continue
          missing.push(`${id}/${release}`)
        }
      }
    }
  }
  return missing.slice(0, most)
}

/** Embeddings that stand on their topics, of all releases, partition by partition. */
export async function* livePartitions(
  broker: Broker,
  read: readonly PartitionLag[],
): AsyncGenerator<{ kind: IndexKind; keys: LiveKey[] }> {
  for (const { topic, partition, committedOffset } of read) {
    const source = sources.find((one) => one.topic === topic)
    if (source === undefined) continue
    const keys = new Map<string, LiveKey>()
    for await (const { key, value, headers, offset } of readPartition(broker, topic, partition, READ_AT_ONCE)) {
      if (offset >= committedOffset) break
      if (key === null) continue
      const [id, release] = splitEmbeddingKey(key)
      if (value === null) keys.delete(key)
      else keys.set(key, { id, release, receivedAt: receivedAtOf(headers) })
    }
    yield { kind: source.kind, keys: [...keys.values()] }
  }
}
