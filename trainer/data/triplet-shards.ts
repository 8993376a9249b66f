/**
 * The training data of the topics on this machine's disk, ready to be read by a process that has no broker:
 *
 *     triplets.materialized.v1 ──┐
 *     uploads.received.v1 ───────┴──▶ sync ──▶ <folder>/triplets.materialized.v1/<partition>/  (shard-folder.ts)
 *
 * A sync may be killed anywhere and goes on where it was. What stands on uploads.received.v1 decides what is kept: a
 * takedown leaves a tombstone on every topic, which is compacted away after a day, but an upload that is not there was
 * taken down, however late the sync comes. The same record says which media it is, and whose.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Broker } from '../../ports/broker.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import type { Codec } from '../../runtime/codec.ts'
import { readPartition } from '../../runtime/read-partition.ts'
import { onlyFields } from '../../topics/topic.ts'
import { tripletsMaterialized, uploadsReceived } from '../../topics/topics.ts'
import type { ShardFolder } from './shard-folder.ts'
import { recordsAhead, syncTopic } from './shard-topic.ts'

const UPLOADS_AT_ONCE = 500

export interface SyncTripletsOptions {
  readonly broker: Pick<Broker, 'read' | 'lag'>
  readonly codec: Codec
  readonly folder: string
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

export interface SyncReport {
  /** That count now. */
  readonly triplets: number
  /** Read by this sync; one that replaces another counts as well. */
  readonly added: number
  /** Whose upload was taken down. */
  readonly removed: number
  /** Records that could not be decoded. */
  readonly unreadable: number
}

/** Where vectors of the texts are kept; they go with any change, since they may be of what was taken down. */
export const textsFolder = (folder: string): string => join(folder, 'texts')

/** @throws OutageError when the broker is away; the signal's reason once it is aborted. */
export async function syncTriplets(options: SyncTripletsOptions): Promise<SyncReport> {
  const { folder, onProgress } = options
  await mkdir(folder, { recursive: true })
  const topic = tripletsMaterialized
  const ahead = await recordsAhead({ ...options, topic })
  let done = 0
  const onRecords = (records: number) => {
    done += records
    onProgress?.(done, Math.max(done, ahead))
  }
  const beforeChange = () => rm(textsFolder(folder), { recursive: true, force: true })
  const { partitions, added, unreadable, ...byTombstone } = await syncTopic({
    ...options,
    topic,
    beforeChange,
    onRecords,
  })
  const removed = byTombstone.removed + (await keepWhatStands(options, partitions))
  const triplets = partitions.reduce((sum, shards) => sum + [...shards.rows()].length, 0)
  return { triplets, added, removed, unreadable }
}

interface StandingUpload {
  readonly media: string
  readonly artist: string
  /** Unix epoch, ms. */
  readonly receivedAt: number
}

/** Rows of uploads that were taken down, or of an earlier receipt, go; the others learn what their upload is. */
async function keepWhatStands(options: SyncTripletsOptions, partitions: readonly ShardFolder[]): Promise<number> {
  const ids = new Set(partitions.flatMap((shards) => [...shards.rows()].map(({ id }) => id)))
  const standing = await standingUploads(options, ids)
  let removed = 0
  for (const shards of partitions) {
    for (const row of [...shards.rows()]) {
      const upload = standing.get(row.id)
      if (upload === undefined || (row.receivedAt ?? upload.receivedAt) < upload.receivedAt) {
        shards.remove(row.id)
        removed++
      } else shards.describe(row, { media: upload.media, artist: upload.artist })
    }
    await shards.commit(shards.position)
  }
  return removed
}

const uploadFields = onlyFields(uploadsReceived, ['media', 'artist', 'receivedAt'])

async function standingUploads(
  { broker, codec, signal }: SyncTripletsOptions,
  ids: ReadonlySet<string>,
): Promise<ReadonlyMap<string, StandingUpload>> {
  const standing = new Map<string, StandingUpload>()
  if (ids.size === 0) return standing
  const { name } = uploadsReceived
  for (const { partition } of await broker.lag('training', [name])) {
    for await (const { key, value } of readPartition(broker, name, partition, UPLOADS_AT_ONCE)) {
      signal?.throwIfAborted()
      if (key === null || !ids.has(key)) continue
      const upload = value === null ? undefined : await codec.decode(uploadFields, value).catch(asNone)
      if (upload === undefined) standing.delete(key)
      else {
        const { media, artist, receivedAt } = upload
        standing.set(key, { media: media.sha256, artist: artist ?? '', receivedAt })
      }
    }
  }
  return standing
}

function asNone(error: unknown): undefined {
  if (!(error instanceof InvalidRecordError)) throw error
}
