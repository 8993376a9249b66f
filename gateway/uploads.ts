/**
 * Takes uploads in and asks for takedowns, for HTTP and the command line alike.
 *
 *     content ──▶ media store ──▶ uploads.received.v1 ──▶ catalogue (upload, stage 'received')
 *
 *   [order]      each step is durable before the next begins: after a crash anywhere, submitting again completes it
 *   [content]    without an id of its own an upload is named by its content, so the same file is one upload
 *   [once]       what the catalogue knows with the same media is answered as a duplicate and not produced again;
 *                submissions of one id take turns, so this holds within a process. Two gateways at the same moment may
 *                both produce: the stages are idempotent by upload id.
 *   [takedown]   a tombstone on uploads.received.v1 ends the upload, and uploads.removed.v1 keeps that it was so
 *   [anew]       what was taken down and is submitted again is received anew, later than the takedown by its time, even
 *                while the takedown is being carried out: by these times the stages tell the two apart. Where another
 *                gateway's tombstone lands on such an upload, that gateway puts the upload after it
 *   [conflict]   an id never changes its content or kind: that is refused until the upload is removed
 */
import type { Broker } from '../ports/broker.ts'
import type { Catalogue } from '../ports/catalogue.ts'
import { InvalidRecordError, InvalidRequestError } from '../ports/errors.ts'
import type { MediaStore, StoredMedia } from '../ports/media.ts'
import type { Codec } from '../runtime/codec.ts'
import { newestBetween } from '../runtime/newest-between.ts'
import type { Rights, UploadKind, UploadReceived } from '../schemas/types.ts'
import { uploadsReceived, uploadsRemoved } from '../topics/topics.ts'
import { takedownStamp } from '../topics/upload-stamp.ts'

/** Ids that people give: safe in a URL path, a file name and a log. */
export const UPLOAD_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** Hex digits of the content's sha256 in an id: 104 bits. */
const ID_HASH_DIGITS = 26

export interface NewUpload {
  readonly kind: UploadKind
  /** The bytes themselves, where an allow-listed host has them, or what the media store keeps already. */
  readonly source:
    | { readonly content: AsyncIterable<Uint8Array> }
    | { readonly uri: string }
    | { readonly media: StoredMedia }
  readonly id?: string | undefined
  readonly title?: string | undefined
  readonly artist?: string | undefined
  readonly owner?: string | undefined
  readonly rights?: Partial<Rights> | undefined
}

export interface SubmittedUpload {
  readonly id: string
  readonly kind: UploadKind
  readonly media: StoredMedia
  /** True when this very content was received before; nothing was produced. */
  readonly duplicate: boolean
}

export interface Uploads {
  /** @throws InvalidRequestError 'id-invalid' (400) | 'id-conflict' (409) | 'uri-not-allowed' (422), and those of MediaStore.put */
  submit(upload: NewUpload, signal?: AbortSignal): Promise<SubmittedUpload>
  /** Asks for the takedown; the stages carry it out. @throws InvalidRequestError 'unknown-upload' (404) */
  remove(id: string, reason?: string): Promise<void>
}

export interface UploadDeps {
  readonly broker: Broker
  readonly codec: Codec
  readonly catalogue: Catalogue
  readonly mediaStore: MediaStore
  /** Downloads from allow-listed hosts; absent where no host is allowed. */
  readonly fetchMedia?: ((uri: string, signal?: AbortSignal) => Promise<StoredMedia>) | undefined
  /** Unix epoch, ms. */
  readonly now: () => number
}

export function createUploads(deps: UploadDeps): Uploads {
  const { broker, codec, catalogue, mediaStore, fetchMedia, now } = deps
  const inTurn = createTurns()

  async function store(source: NewUpload['source'], signal?: AbortSignal): Promise<StoredMedia> {
    if ('media' in source) return source.media
    if ('content' in source) return mediaStore.put(source.content, signal ? { signal } : {})
    if (fetchMedia) return fetchMedia(source.uri, signal)
    const message = 'No host is allowed for uploads by URI; send the file itself, or let the operator allow a host'
    throw new InvalidRequestError('uri-not-allowed', message, { status: 422 })
  }

  async function latest(id: string, kind: UploadKind): Promise<UploadReceived | undefined> {
    return (await (kind === 'track' ? catalogue.track(id) : catalogue.video(id)))?.upload
  }

  /** [once] [conflict] @returns whether the catalogue has this content under this id. */
  async function isKnown(id: string, kind: UploadKind, media: StoredMedia): Promise<boolean> {
    const status = await catalogue.upload(id)
    if (status === undefined) return false
    const conflict = (reason: string) => {
      const message = `Upload ${id} exists and ${reason}; choose another id, or remove it first`
      return new InvalidRequestError('id-conflict', message, { status: 409 })
    }
    if (status.kind !== kind) throw conflict(`is a ${status.kind}`)
    const known = await latest(id, kind)
    if (known === undefined) return false // a crash came between: complete it
    if (known.media.sha256 !== media.sha256) throw conflict('holds other content')
    return known.receivedAt > ((await catalogue.takenDownAt(id)) ?? -1) // [anew]
  }

  async function receive(value: UploadReceived): Promise<void> {
    const { uploadId: id, kind, title } = value
    const bytes = await codec.encode(uploadsReceived, value)
    await broker.produce([{ topic: uploadsReceived.name, key: id, value: bytes }])
    if (kind === 'track') await catalogue.putTrack(id, { upload: value })
    else await catalogue.putVideo(id, { upload: value })
    await catalogue.recordStage({ id, kind, ...(title === null ? {} : { title }) }, 'received', value.receivedAt)
  }

  return {
    async submit(upload, signal) {
      if (upload.id !== undefined && !UPLOAD_ID_PATTERN.test(upload.id)) {
        const message = 'An id begins with a letter or digit and has up to 128 letters, digits, ".", "_" and "-"'
        throw new InvalidRequestError('id-invalid', message)
      }
      const { kind } = upload
      const media = await store(upload.source, signal)
      const id = upload.id ?? `${kind === 'track' ? 'trk' : 'vid'}_${media.sha256.slice(0, ID_HASH_DIGITS)}`
      return inTurn(id, async () => {
        const duplicate = await isKnown(id, kind, media)
        if (!duplicate) {
          await receive({
            uploadId: id,
            kind,
            media: { uri: media.uri, sha256: media.sha256, bytes: media.bytes },
            title: upload.title ?? null,
            artist: upload.artist ?? null,
            owner: upload.owner ?? null,
            rights: { licence: null, territories: [], explicit: false, ...upload.rights },
            receivedAt: Math.max(now(), ((await catalogue.takenDownAt(id)) ?? 0) + 2), // [anew]
          })
        }
        return { id, kind, media, duplicate }
      })
    },

    async remove(id, reason) {
      await inTurn(id, async () => {
        const status = await catalogue.upload(id)
        if (status === undefined) {
          throw new InvalidRequestError('unknown-upload', `There is no upload ${id}`, { status: 404 })
        }
        const { kind } = status
        const receivedAt = (await latest(id, kind))?.receivedAt
        const removedAt = Math.max(now(), receivedAt ?? 0)
        const bytes = await codec.encode(uploadsRemoved, { uploadId: id, kind, reason: reason ?? null, removedAt })
        const ends = await endsOfReceived()
        await catalogue.recordTakedown(id, removedAt) // first, so that no stage meets the upload without knowing
        const stamp = takedownStamp({ kind, removedAt, ...(receivedAt === undefined ? {} : { receivedAt }) })
        const [, tombstone] = await broker.produce([
          { topic: uploadsRemoved.name, key: id, value: bytes },
          { topic: uploadsReceived.name, key: id, value: null, headers: stamp },
        ])
        await putOvertaken(id, removedAt, { ...tombstone!, from: ends.get(tombstone!.partition) ?? 0 })
      })
    },
  }

  async function endsOfReceived(): Promise<ReadonlyMap<number, number>> {
    const lags = await broker.lag('gateway', [uploadsReceived.name])
    return new Map(lags.map(({ partition, endOffset }) => [partition, endOffset]))
  }

  /** Another gateway may have received the upload anew between our note of the takedown and our tombstone. [anew] */
  async function putOvertaken(id: string, removedAt: number, at: { partition: number; from: number; offset: number }) {
    const { name: topic } = uploadsReceived
    const newest = await newestBetween(broker, { topic, partition: at.partition, key: id }, at.from, at.offset)
    if (newest === undefined || newest.value === null) return
    const upload = await codec.decode(uploadsReceived, newest.value).catch(passOverInvalid)
    if (upload !== undefined && upload.receivedAt > removedAt)
      await broker.produce([{ topic, key: id, value: newest.value }])
  }
}

/** Such a record comes to the dead letters elsewhere. */
function passOverInvalid(error: unknown): undefined {
  if (!(error instanceof InvalidRecordError)) throw error
}

/** Work on one key runs in the order it was asked for; different keys run side by side. */
function createTurns() {
  const last = new Map<string, Promise<unknown>>()
  return async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const previous = last.get(key) ?? Promise.resolve()
    const turn = previous.catch(() => undefined).then(work)
    last.set(key, turn)
    try {
      return await turn
    } finally {
      if (last.get(key) === turn) last.delete(key)
    }
  }
}
