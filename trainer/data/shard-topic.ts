/**
 * Streams a topic, or the records of some keys, into shards:
 *
 *     <folder>/<topic>/<partition>/     a ShardFolder
 *
 * A sync reads to where the topic ended when it began, so that it ends while records keep coming.
 */
import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import avro from 'avsc'
import type { Broker, StoredRecord } from '../../ports/broker.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import type { Codec } from '../../runtime/codec.ts'
import { readPartition } from '../../runtime/read-partition.ts'
import type { Topic } from '../../topics/topic.ts'
import { receivedAtOf } from '../../topics/upload-stamp.ts'
import { ofDamaged, readShardManifest, ShardFolder, type ShardOptions, shardRows } from './shard-folder.ts'
import { damaged, type ShardRow } from './shard-manifest.ts'

/** Asks for offsets alone; no member ever joins it. */
export const TRAINING_GROUP = 'training'
/** The largest records have 16 MB. */
const READ_AT_ONCE = 16

export interface TopicSync<T> extends ShardOptions {
  readonly broker: Pick<Broker, 'read' | 'lag'>
  readonly codec: Codec
  readonly folder: string
  readonly topic: Topic<string, T>
  /** Keys whose records are kept; all of them if absent. Another choice than last time has the topic read anew. */
  readonly chosen?: ReadonlySet<string>
  readonly signal?: AbortSignal | undefined
  readonly onRecords?: (done: number) => void
}

export interface SyncedTopic {
  readonly partitions: readonly ShardFolder[]
  readonly added: number
  /** By tombstones. */
  readonly removed: number
  /** Records that could not be decoded; they are passed over. */
  readonly unreadable: number
}

/** @returns records to read, at most: compaction leaves holes. */
export async function recordsAhead(
  sync: Pick<TopicSync<unknown>, 'broker' | 'topic' | 'folder' | 'chosen'>,
): Promise<number> {
  const { broker, topic, folder, chosen } = sync
  if (chosen?.size === 0) return 0
  let ahead = 0
  for (const { partition, endOffset } of await broker.lag(TRAINING_GROUP, [topic.name])) {
    const manifest = await readShardManifest(partitionFolder(folder, topic, partition)).catch(ofDamaged)
    const next = manifest?.next ?? 0
    ahead += next > endOffset ? endOffset : endOffset - next
  }
  return ahead
}

/** @throws OutageError; the signal's reason once it is aborted. What was committed by then stays. */
export async function syncTopic<T>(sync: TopicSync<T>): Promise<SyncedTopic> {
  const { broker, topic, folder, chosen } = sync
  const wantsNone = chosen?.size === 0
  const ends = wantsNone ? [] : await broker.lag(TRAINING_GROUP, [topic.name])
  await removeOthers(
    join(folder, topic.name),
    ends.map(({ partition }) => `${partition}`),
  )
  const partitions: ShardFolder[] = []
  const counts = { added: 0, removed: 0, unreadable: 0 }
  for (const { partition, endOffset } of ends) {
    partitions.push(await syncPartition(sync, partition, endOffset, counts))
  }
  return { partitions, ...counts }
}

async function syncPartition<T>(
  { broker, codec, folder, topic, chosen, signal, onRecords, ...options }: TopicSync<T>,
  partition: number,
  endOffset: number,
  counts: { added: number; removed: number; unreadable: number },
): Promise<ShardFolder> {
  const type = typeOf(topic)
  const kind = { schema: hashOf(JSON.stringify(topic.schema)), choice: chosen ? choiceOf(chosen) : null }
  const shards = await ShardFolder.open(partitionFolder(folder, topic, partition), kind, options)
  if (await isAnother(broker, topic, partition, endOffset, shards.position)) await shards.clear()
  const { next } = shards.position
  let position = shards.position
  let done = next
  for await (const record of readPartition(broker, topic.name, partition, READ_AT_ONCE, next)) {
    signal?.throwIfAborted()
    if (record.offset >= endOffset) break
    position = { next: record.offset + 1, last: { offset: record.offset, at: record.timestamp } }
    onRecords?.(position.next - done)
    done = position.next
    if (record.key === null || chosen?.has(record.key) === false) continue
    if (record.value === null) {
      if (shards.remove(record.key)) counts.removed++
      continue
    }
    const value = await decoded(codec, topic, record)
    if (value === undefined) {
      counts.unreadable++
      continue
    }
    counts.added++
    const row = { id: record.key, at: record.timestamp, receivedAt: receivedAtOf(record.headers) ?? null }
    if (await shards.put(row, type.toBuffer(value))) await shards.commit(position)
  }
  onRecords?.(Math.max(0, endOffset - done)) // holes
  await shards.commit(position)
  return shards
}

/** Whether the topic was made anew since: it ends earlier, or another record stands where the last was. */
async function isAnother(
  broker: Pick<Broker, 'read'>,
  topic: Topic,
  partition: number,
  endOffset: number,
  { next, last }: ShardFolder['position'],
): Promise<boolean> {
  if (next > endOffset) return true
  if (last === null) return false
  const [there] = await broker.read(topic.name, partition, last.offset, 1)
  return there !== undefined && there.offset === last.offset && there.timestamp !== last.at
}

/** What cannot be decoded is in the dead letters of who reads it by group; here it is left out. */
async function decoded<T>(codec: Codec, topic: Topic<string, T>, { value }: StoredRecord): Promise<T | undefined> {
  try {
    return await codec.decode(topic, value!)
  } catch (error) {
    if (error instanceof InvalidRecordError) return undefined
    throw error
  }
}

/** @throws InvalidRecordError 'damaged-shard' */
export async function* topicRows<T>(
  folder: string,
  topic: Topic<string, T>,
): AsyncGenerator<{ row: ShardRow; value: T }> {
  const type = typeOf(topic)
  for (const partition of await partitionsOf(folder, topic)) {
    for await (const { row, bytes } of shardRows(partition)) yield { row, value: decodedRow<T>(type, bytes, partition) }
  }
}

function decodedRow<T>(type: avro.Type, bytes: Uint8Array, folder: string): T {
  try {
    return type.fromBuffer(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)) as T
  } catch (cause) {
    throw damaged(folder, `a row is not of its schema (${(cause as Error).message})`, cause)
  }
}

/** Folders of the partitions, in their order. */
export async function partitionsOf(folder: string, topic: Pick<Topic, 'name'>): Promise<string[]> {
  const names = await readdir(join(folder, topic.name)).catch(() => [])
  const numbers = names.filter((name) => /^\d{1,5}$/.test(name)).map(Number)
  return numbers.sort((a, b) => a - b).map((partition) => partitionFolder(folder, topic, partition))
}

function partitionFolder(folder: string, topic: Pick<Topic, 'name'>, partition: number): string {
  return join(folder, topic.name, `${partition}`)
}

/** Partitions that the topic no longer has. */
async function removeOthers(folder: string, partitions: readonly string[]): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!partitions.includes(name)) await rm(join(folder, name), { recursive: true })
  }
}

const types = new WeakMap<object, avro.Type>()

function typeOf(topic: Topic<string, never> | Topic): avro.Type {
  let type = types.get(topic.schema)
  if (type === undefined) {
    type = avro.Type.forSchema(topic.schema as unknown as avro.Schema)
    types.set(topic.schema, type)
  }
  return type
}

function choiceOf(chosen: ReadonlySet<string>): string {
  return hashOf(JSON.stringify([...chosen].sort()))
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
