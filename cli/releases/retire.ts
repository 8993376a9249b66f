/**
 * What a release leaves behind that is named by the plan no more: its index, and its embeddings on their topics. They get
 * tombstones, so that a takedown later on leaves nothing of an upload in them, and no rebuild brings the index back.
 * Its bundle stays in the model store.
 */
import type { Broker } from '../../ports/broker.ts'
import type { IndexKind, VectorIndex } from '../../ports/vector-index.ts'
import { readPartition } from '../../runtime/read-partition.ts'
import { splitEmbeddingKey } from '../../topics/embedding-key.ts'
import { musicEmbedded, videoEmbedded } from '../../topics/topics.ts'

const AT_ONCE = 100
const KINDS: readonly IndexKind[] = ['music', 'video']

/** May be done again, and at the same time by several. @param signal of who may not go on. */
export async function retireRelease(
  { broker, index }: { broker: Broker; index: VectorIndex },
  release: string,
  signal: AbortSignal,
): Promise<void> {
  for (const topic of [musicEmbedded, videoEmbedded]) {
    const { partitions } = topic
    for (let partition = 0; partition < partitions && !signal.aborted; partition++) {
      await endEmbeddings(broker, topic.name, partition, release)
    }
  }
  if (signal.aborted) return
  for (const kind of KINDS) await index.drop({ release, kind })
}

async function endEmbeddings(broker: Broker, topic: string, partition: number, release: string): Promise<void> {
  const standing = new Set<string>()
  for await (const { key, value } of readPartition(broker, topic, partition, AT_ONCE)) {
    if (key === null || splitEmbeddingKey(key)[1] !== release) continue
    if (value === null) standing.delete(key)
    else standing.add(key)
  }
  const tombstones = [...standing].map((key) => ({ topic, key, value: null, partition }))
  for (let i = 0; i < tombstones.length; i += AT_ONCE) await broker.produce(tombstones.slice(i, i + AT_ONCE))
}

/** Releases that have an index and that the plan does not name. */
export async function leftBehind(index: VectorIndex, named: readonly string[]): Promise<string[]> {
  const releases = (await index.indexes()).map(({ release }) => release)
  return [...new Set(releases)].filter((release) => !named.includes(release))
}
