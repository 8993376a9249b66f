/** What stands on uploads.received.v1: what is not there was taken down. */
import type { Broker } from '../../ports/broker.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import type { Codec } from '../../runtime/codec.ts'
import { readPartition } from '../../runtime/read-partition.ts'
import { onlyFields } from '../../topics/topic.ts'
import { uploadsReceived } from '../../topics/topics.ts'
import type { ShardFolder } from './shard-folder.ts'
import { TRAINING_GROUP } from './shard-topic.ts'

const READ_AT_ONCE = 500

export interface StandingUpload {
  /** sha256 of its file. */
  readonly media: string
  /** '' where unknown. */
  readonly artist: string
  /** Unix epoch, ms. */
  readonly receivedAt: number
}

const uploads = onlyFields(uploadsReceived, ['media', 'artist', 'receivedAt'])

/** @returns those of the ids that stand. */
export async function standingUploads(
  source: {
    readonly broker: Pick<Broker, 'read' | 'lag'>
    readonly codec: Codec
    readonly signal?: AbortSignal | undefined
  },
  ids: ReadonlySet<string>,
): Promise<ReadonlyMap<string, StandingUpload>> {
  const { broker, codec, signal } = source
  const standing = new Map<string, StandingUpload>()
  if (ids.size === 0) return standing
  for (const { topic, partition } of await broker.lag(TRAINING_GROUP, [uploadsReceived.name])) {
    for await (const { key, value } of readPartition(broker, topic, partition, READ_AT_ONCE)) {
      signal?.throwIfAborted()
      if (key === null || !ids.has(key)) continue
      const upload = value === null ? undefined : await codec.decode(uploads, value).catch(ofInvalid)
      if (upload === undefined) standing.delete(key)
      else {
        const { media, artist, receivedAt } = upload
        standing.set(key, { media: media.sha256, artist: artist ?? '', receivedAt })
      }
    }
  }
  return standing
}

/** Rows of uploads that do not stand, or of an earlier receipt, go; the others learn what their upload is. @returns how many went. */
export async function keepStanding(
  shards: ShardFolder,
  standing: ReadonlyMap<string, StandingUpload>,
): Promise<number> {
  let removed = 0
  for (const row of [...shards.rows()]) {
    const upload = standing.get(row.id)
    if (upload === undefined || (row.receivedAt ?? upload.receivedAt) < upload.receivedAt) {
      shards.remove(row.id)
      removed++
    } else shards.describe(row, { media: upload.media, artist: upload.artist })
  }
  await shards.commit(shards.position)
  return removed
}

function ofInvalid(error: unknown): undefined {
  if (!(error instanceof InvalidRecordError)) throw error
}
