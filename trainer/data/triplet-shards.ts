/**
 * The training data of the topics on this machine's disk, to be read by a process that has no broker:
 *
 *     triplets.materialized.v1 ───────────────────────┐
 *     feedback.recorded.v1 ──▶ pairs that were chosen │
 *     video.features.v1, music.features.v1, ──────────┼──▶ sync ──▶ <folder>/<topic>/<partition>/   shard-folder.ts
 *     music.described.v1      of these alone          │             <folder>/feedback.json          feedback-pairs.ts
 *     uploads.received.v1 ────────────────────────────┘
 *
 * A sync may be killed anywhere and goes on where it was. What stands on uploads.received.v1 decides what is kept: a
 * takedown leaves tombstones, and those are compacted away after a day, but an upload that is not there was taken down,
 * however late the sync comes. The same record says which media it is, and whose.
 *
 * Features of what was chosen are found by reading their topics; another choice than last time has these read from the
 * start.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Broker } from '../../ports/broker.ts'
import type { Codec } from '../../runtime/codec.ts'
import type { Topic } from '../../topics/topic.ts'
import { musicDescribed, musicFeatures, tripletsMaterialized, videoFeatures } from '../../topics/topics.ts'
import { readFeedback, writeFeedback } from './feedback-pairs.ts'
import { type ChosenPair, weighPairs } from './feedback-weights.ts'
import { readShardManifest, type ShardFolder } from './shard-folder.ts'
import { partitionsOf, recordsAhead, type SyncedTopic, syncTopic } from './shard-topic.ts'
import { keepStanding, standingUploads } from './standing-uploads.ts'

export interface SyncTripletsOptions {
  readonly broker: Pick<Broker, 'read' | 'lag'>
  readonly codec: Codec
  readonly folder: string
  readonly signal?: AbortSignal | undefined
  /** A shard is closed once it has this many. Default 32 MiB. */
  readonly fullBytes?: number | undefined
  /** Records read, of those that stood on the topics. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

export interface SyncReport {
  /** That count now. */
  readonly triplets: number
  /** Pairs that users chose and that have a weight. */
  readonly chosenPairs: number
  /** Triplets read by this sync; one that replaces another counts as well. */
  readonly added: number
  /** Triplets whose upload was taken down. */
  readonly removed: number
  /** Triplets that could not be decoded. */
  readonly unreadable: number
}

/** Where vectors of the texts are kept; they go with any change, since they may be of what was taken down. */
export const textsFolder = (folder: string): string => join(folder, 'texts')

/** @throws OutageError when the broker is away; the signal's reason once it is aborted. */
export async function syncTriplets(options: SyncTripletsOptions): Promise<SyncReport> {
  const { folder, onProgress } = options
  await mkdir(folder, { recursive: true })
  const chosen = await readFeedback(options)
  const parts = partsOf(chosen)
  let ahead = 0
  for (const part of parts) ahead += await recordsAhead({ ...options, ...part })
  let done = 0
  const onRecords = (records: number) => {
    done += records
    onProgress?.(done, Math.max(done, ahead))
  }
  const beforeChange = () => rm(textsFolder(folder), { recursive: true, force: true })
  const synced: SyncedTopic[] = []
  for (const part of parts) synced.push(await syncTopic({ ...options, ...part, beforeChange, onRecords }))

  const ids = new Set(synced.flatMap(({ partitions }) => partitions.flatMap(idsOf)))
  const standing = await standingUploads(options, ids)
  const [triplets, ...features] = synced
  let removed = triplets!.removed
  for (const shards of triplets!.partitions) removed += await keepStanding(shards, standing)
  for (const { partitions } of features) for (const shards of partitions) await keepStanding(shards, standing)
  const weighed = weighPairs(chosen, (id) => standing.get(id)?.receivedAt)
  await writeFeedback(folder, weighed)
  return {
    triplets: triplets!.partitions.flatMap(idsOf).length,
    chosenPairs: weighed.length,
    added: triplets!.added,
    removed,
    unreadable: triplets!.unreadable,
  }
}

/** @param since Unix epoch, ms. @returns how many triplets came to the topic later, as of the last sync. */
export async function newTriplets(folder: string, since: number): Promise<number> {
  let count = 0
  for (const partition of await partitionsOf(folder, tripletsMaterialized)) {
    const manifest = await readShardManifest(partition)
    for (const { rows } of manifest?.shards ?? []) {
      count += rows.filter(({ at, replaced, upload }) => at > since && !replaced && upload !== null).length
    }
  }
  return count
}

/** What is read of which topic; the triplets first. */
function partsOf(chosen: readonly ChosenPair[]): { topic: Topic; chosen?: ReadonlySet<string> }[] {
  const videos = new Set(chosen.map(({ videoId }) => videoId))
  const tracks = new Set(chosen.map(({ trackId }) => trackId))
  return [
    { topic: tripletsMaterialized as Topic },
    { topic: videoFeatures as Topic, chosen: videos },
    { topic: musicFeatures as Topic, chosen: tracks },
    { topic: musicDescribed as Topic, chosen: tracks },
  ]
}

function idsOf(shards: ShardFolder): string[] {
  return [...shards.rows()].map(({ id }) => id)
}
