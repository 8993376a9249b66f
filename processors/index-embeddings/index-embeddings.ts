/**
 * Projects everything that answers need into the vector index and the catalogue, and each upload's way through the stages.
 *
 *     uploads.received.v1, music.tagged.v1, music.described.v1, ──▶ index-embeddings ──▶ vector index, catalogue
 *     video.features.v1, music.embedded.v1, video.embedded.v1,
 *     uploads.removed.v1, and the dead letters of all stages
 *
 * Key: uploadId; the inputs are co-partitioned, so one upload's records are handled one after the other.
 * Delivery: at least once; every write is an upsert by (id, release) or a section of a document, so a record that comes
 * again changes nothing: effectively once in the index. A stage is recorded under its processor's name, done or failed.
 *
 *   [receipt]   all that is kept of an id stems from one receipt of it, the latest that any record tells of
 *               (topics/upload-stamp.ts): its first record drops what is there of an earlier one, and records of that
 *               are void from then on
 *   [takedown]  it drops what was received up to its time, and voids what is still on its way
 *   [any order] both are notes of a time that only grows (Catalogue.recordTakedown), so that the topics may be read in
 *               any order, from their beginning or again, with the same end. Records from before there were stamps
 *               belong to the receipt that is known when they come
 */
import { unpackFloats } from '../../model/features.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import { InvalidRecordError, SetupError } from '../../ports/errors.ts'
import type { IndexName, VectorIndex } from '../../ports/vector-index.ts'
import { defineProcessor, type InputOf } from '../../runtime/define-processor.ts'
import type { UploadReceived } from '../../schemas/types.ts'
import { splitEmbeddingKey } from '../../topics/embedding-key.ts'
import {
  musicDescribed,
  musicEmbedded,
  musicFeatures,
  musicTagged,
  uploadsReceived,
  uploadsRemoved,
  videoEmbedded,
  videoFeatures,
} from '../../topics/topics.ts'
import { receivedAtOf, removedAtOf } from '../../topics/upload-stamp.ts'
import { trackAttributes } from './attributes.ts'

export interface IndexEmbeddingsDeps {
  readonly index: VectorIndex
  readonly catalogue: Catalogue
  readonly now: () => number
}

const inputs = [
  uploadsReceived,
  uploadsRemoved,
  musicTagged,
  musicDescribed,
  videoFeatures,
  musicEmbedded,
  videoEmbedded,
] as const

export const indexEmbeddings = defineProcessor({
  name: 'index-embeddings',
  from: inputs,
  to: [],
  deadLettersOf: [...inputs, musicFeatures],
  delivery: 'at-least-once',
  maxRecords: 64,
  concurrency: 8,
  orderBy: (key) => splitEmbeddingKey(key)[0],

  async handle(record: InputOf<(typeof inputs)[number]>, deps: IndexEmbeddingsDeps) {
    await project(record, deps)
    return []
  },

  async handleTombstone({ topic, key, headers }, deps: IndexEmbeddingsDeps) {
    const [id, release] = splitEmbeddingKey(key)
    const removedAt = removedAtOf(headers)
    if (removedAt !== undefined) await takeDown(id, removedAt, deps)
    else if (topic === musicEmbedded.name) await removeRow({ release, kind: 'music' }, id, deps)
    else if (topic === videoEmbedded.name) await removeRow({ release, kind: 'video' }, id, deps)
    return []
  },

  async handleDeadLetter({ topic, key, value, headers, stage, code, message, at }, deps: IndexEmbeddingsDeps) {
    if (key === null) return
    const [id] = splitEmbeddingKey(key)
    const upload = topic === uploadsReceived.name ? (value as UploadReceived | undefined) : undefined
    if (!(await isCurrent(id, upload?.receivedAt ?? receivedAtOf(headers), deps))) return
    await deps.catalogue.recordFailure({ id }, { stage, code, message, at })
  },
})

async function project(record: InputOf<(typeof inputs)[number]>, deps: IndexEmbeddingsDeps): Promise<void> {
  const { index, catalogue, now } = deps
  if (record.topic === uploadsRemoved.name) return takeDown(record.key, record.value.removedAt, deps)
  const receivedAt = record.topic === uploadsReceived.name ? record.value.receivedAt : receivedAtOf(record.headers)
  if (!(await isCurrent(splitEmbeddingKey(record.key)[0], receivedAt, deps))) return
  switch (record.topic) {
    case 'uploads.received.v1': {
      const { value } = record
      await noteUpload(value, deps)
      return value.kind === 'track' ? refreshAttributes(record.key, deps) : undefined
    }
    case 'music.tagged.v1': {
      const { value } = record
      const kind = value.source === 'track' ? 'track' : 'video'
      await catalogue.recordStage({ id: record.key, kind }, 'analyse-music', value.taggedAt)
      if (kind === 'video') return
      await catalogue.putTrack(record.key, { tagged: value })
      return refreshAttributes(record.key, deps)
    }
    case 'music.described.v1': {
      const { value } = record
      const kind = value.source === 'track' ? 'track' : 'video'
      await catalogue.recordStage({ id: record.key, kind }, 'describe-music', value.describedAt)
      if (kind === 'video') return
      return catalogue.putTrack(record.key, { described: value })
    }
    case 'video.features.v1': {
      const { value } = record
      const { segments, dims, segmentSeconds, durationSeconds } = value
      const features = { encoderId: value.encoder.id, values: unpackFloats(value.values), segments, dims }
      await catalogue.putVideo(record.key, { features: { ...features, segmentSeconds, durationSeconds } })
      return catalogue.recordStage({ id: record.key, kind: 'video' }, 'analyse-video', value.computedAt)
    }
    case 'music.embedded.v1': {
      const { trackId: id, release, dims } = record.value
      const name = { release, kind: 'music' } as const
      await createIndex(name, dims, deps)
      const attributes = trackAttributes((await catalogue.track(id)) ?? { id })
      await index.upsert(name, [{ id, vector: unpackFloats(record.value.vector), attributes }])
      await catalogue.recordStage({ id, kind: 'track' }, 'embed-music', record.value.embeddedAt)
      return catalogue.recordStage({ id, kind: 'track' }, 'index-embeddings', now())
    }
    case 'video.embedded.v1': {
      const { videoId: id, release, dims } = record.value
      const name = { release, kind: 'video' } as const
      await createIndex(name, dims, deps)
      await index.upsert(name, [{ id, vector: unpackFloats(record.value.vector), attributes: {} }])
      await catalogue.recordStage({ id, kind: 'video' }, 'embed-video', record.value.embeddedAt)
      return catalogue.recordStage({ id, kind: 'video' }, 'index-embeddings', now())
    }
  }
}

async function noteUpload(upload: UploadReceived, { catalogue }: IndexEmbeddingsDeps): Promise<void> {
  const { uploadId: id, kind, title } = upload
  if (kind === 'track') await catalogue.putTrack(id, { upload })
  else await catalogue.putVideo(id, { upload })
  await catalogue.recordStage({ id, kind, ...(title === null ? {} : { title }) }, 'received', upload.receivedAt)
}

/** What an index of other dims refuses is wrong with the record: the index has those of its release. */
async function createIndex(name: IndexName, dims: number, { index }: IndexEmbeddingsDeps): Promise<void> {
  try {
    await index.create(name, dims)
  } catch (cause) {
    if (!(cause instanceof SetupError) || cause.code !== 'dims-mismatch') throw cause
    throw new InvalidRecordError(cause.code, cause.message, { cause })
  }
}

/** Whether a record of this receipt counts. [receipt] */
async function isCurrent(id: string, receivedAt: number | undefined, deps: IndexEmbeddingsDeps): Promise<boolean> {
  const { catalogue } = deps
  const voidUpTo = await catalogue.takenDownAt(id)
  if (await isVoid(id, receivedAt, voidUpTo, catalogue)) return false
  if (receivedAt === undefined || voidUpTo === receivedAt - 1) return true
  if (voidUpTo === undefined) await catalogue.recordTakedown(id, receivedAt - 1)
  else await beginAnew(id, receivedAt, deps)
  return true
}

/** Drops what is there of earlier receipts. What the gateway noted of this one stays, so that its client finds it. */
async function beginAnew(id: string, receivedAt: number, deps: IndexEmbeddingsDeps): Promise<void> {
  const { catalogue } = deps
  const noted = await uploadOf(id, catalogue)
  // Of an earlier receipt, the status would be older.
  if ((await catalogue.upload(id))?.stages.received !== receivedAt) {
    await forget(id, deps)
    if (noted?.receivedAt === receivedAt) await noteUpload(noted, deps)
  }
  await catalogue.recordTakedown(id, receivedAt - 1)
}

/**
 * @param receivedAt of the upload that a record stems from; undefined where it has no stamp.
 * @param voidUpTo what the catalogue notes of the id (takenDownAt).
 */
export async function isVoid(
  id: string,
  receivedAt: number | undefined,
  voidUpTo: number | undefined,
  catalogue: Catalogue,
): Promise<boolean> {
  if (voidUpTo === undefined) return false
  if (receivedAt !== undefined) return receivedAt <= voidUpTo
  const upload = await uploadOf(id, catalogue)
  return upload === undefined || upload.receivedAt <= voidUpTo
}

async function uploadOf(id: string, catalogue: Catalogue): Promise<UploadReceived | undefined> {
  const [track, video] = [await catalogue.track(id), await catalogue.video(id)]
  const [one, other] = [track?.upload, video?.upload]
  return (one?.receivedAt ?? 0) > (other?.receivedAt ?? 0) ? one : (other ?? one)
}

/** Of what was received up to `at`; a later receipt stays. [takedown] */
async function takeDown(id: string, at: number, deps: IndexEmbeddingsDeps): Promise<void> {
  const voidUpTo = await deps.catalogue.takenDownAt(id)
  if (voidUpTo !== undefined && voidUpTo > at) return
  const upload = await uploadOf(id, deps.catalogue)
  if (upload !== undefined && upload.receivedAt > at) return beginAnew(id, upload.receivedAt, deps)
  await deps.catalogue.recordTakedown(id, at)
  await forget(id, deps)
}

/** Tags or rights that come after the embedding still reach the filters. */
async function refreshAttributes(id: string, { index, catalogue }: IndexEmbeddingsDeps): Promise<void> {
  const document = await catalogue.track(id)
  if (document === undefined) return
  const attributes = trackAttributes(document)
  for (const { release, kind } of await index.indexes()) {
    if (kind === 'music') await index.setAttributes({ release, kind }, id, attributes)
  }
}

/** The index of a release that is no longer kept holds nothing to remove. */
async function removeRow(name: IndexName, id: string, { index }: IndexEmbeddingsDeps): Promise<void> {
  const known = (await index.indexes()).some(({ release, kind }) => release === name.release && kind === name.kind)
  if (known) await index.remove(name, [id])
}

async function forget(id: string, { index, catalogue }: IndexEmbeddingsDeps): Promise<void> {
  for (const name of await index.indexes()) await index.remove(name, [id])
  await catalogue.removeTrack(id)
  await catalogue.removeVideo(id)
  await catalogue.removeUpload(id)
}
