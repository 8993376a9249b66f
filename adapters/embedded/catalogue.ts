/**
 * Catalogue in LMDB.
 *
 *     tracks, videos     id → sections
 *     video-features     id → header and values; the values are raw float32 bytes
 *     uploads            id → kind, title, times of stages
 *     failures           id → standing failures by stage; an entry exists only while there is one
 *     takedowns          id → when the latest was asked for; kept when the upload is gone
 *
 * A write reads and writes inside one LMDB transaction, and LMDB runs one at a time, whatever the process [sections].
 * Counts are the numbers of entries, which LMDB knows.
 */
import type { Database, RootDatabase } from 'lmdb'
import type {
  Catalogue,
  Page,
  TrackDocument,
  UploadFailure,
  UploadStatus,
  VideoDocument,
} from '../../ports/catalogue.ts'
import type { ReleasePlan } from '../../ports/release-plan.ts'
import { checkId, checkPage, decodeFeatures, defined, encodeFeatures, isId, uploadStatus } from '../catalogue-rules.ts'
import { openStore } from './store.ts'

type Sections<T> = Omit<T, 'id'>
type VideoSections = Omit<VideoDocument, 'id' | 'features'>

interface UploadEntry {
  readonly kind: 'track' | 'video'
  readonly title?: string
  /** When each stage was done: the earliest time is shown, the latest one settles failures. */
  readonly stages: Readonly<Record<string, { readonly first: number; readonly last: number }>>
}
type FailureEntry = Readonly<Record<string, UploadFailure>>

const PLAN = 'release-plan'
const filledKey = (generation: string) => `filled ${generation}`

export function openCatalogue(options: { folder: string }): Catalogue {
  return new EmbeddedCatalogue(openStore(options.folder))
}

class EmbeddedCatalogue implements Catalogue {
  readonly #store: RootDatabase
  readonly #tracks: Database<Sections<TrackDocument>, string>
  readonly #videos: Database<VideoSections, string>
  readonly #features: Database<Uint8Array, string>
  readonly #uploads: Database<UploadEntry, string>
  readonly #failures: Database<FailureEntry, string>
  readonly #takedowns: Database<number, string>
  readonly #settings: Database<string, string>

  constructor(store: RootDatabase) {
    this.#store = store
    this.#tracks = store.openDB({ name: 'tracks' })
    this.#videos = store.openDB({ name: 'videos' })
    this.#features = store.openDB({ name: 'video-features', encoding: 'binary' })
    this.#uploads = store.openDB({ name: 'uploads' })
    this.#failures = store.openDB({ name: 'failures' })
    this.#takedowns = store.openDB({ name: 'takedowns' })
    this.#settings = store.openDB({ name: 'settings' })
  }

  async generation(): Promise<string> {
    return ''
  }

  /** There is no generation to name. */
  handle(): Catalogue {
    return this
  }

  async putTrack(id: string, section: Sections<TrackDocument>): Promise<void> {
    checkId(id)
    await this.#store.transaction(() => {
      this.#tracks.put(id, { ...this.#tracks.get(id), ...defined(section) })
    })
  }

  async track(id: string): Promise<TrackDocument | undefined> {
    const sections = isId(id) ? this.#tracks.get(id) : undefined
    return sections && { id, ...sections }
  }

  async tracks(ids: readonly string[]): Promise<ReadonlyMap<string, TrackDocument>> {
    const found = new Map<string, TrackDocument>()
    for (const id of ids) {
      const document = await this.track(id)
      if (document !== undefined) found.set(id, document)
    }
    return found
  }

  async listTracks(options: { after?: string; limit: number }): Promise<Page<TrackDocument>> {
    return page(this.#tracks, options, (id, sections) => ({ id, ...sections }))
  }

  async removeTrack(id: string): Promise<void> {
    checkId(id)
    await this.#tracks.remove(id)
  }

  async putVideo(id: string, section: Sections<VideoDocument>): Promise<void> {
    checkId(id)
    const { features, ...rest } = section
    const bytes = features && encodeFeatures(id, features)
    await this.#store.transaction(() => {
      this.#videos.put(id, { ...this.#videos.get(id), ...defined(rest) })
      if (bytes) this.#features.put(id, bytes)
    })
  }

  async video(id: string): Promise<VideoDocument | undefined> {
    const sections = isId(id) ? this.#videos.get(id) : undefined
    if (sections === undefined) return undefined
    const bytes = this.#features.get(id)
    return { id, ...sections, ...(bytes && { features: decodeFeatures(bytes) }) }
  }

  async listVideos(options: { after?: string; limit: number }): Promise<Page<Omit<VideoDocument, 'features'>>> {
    return page(this.#videos, options, (id, sections) => ({ id, ...sections }))
  }

  async removeVideo(id: string): Promise<void> {
    checkId(id)
    await this.#store.transaction(() => {
      this.#videos.remove(id)
      this.#features.remove(id)
    })
  }

  async recordStage(
    upload: { id: string; kind: 'track' | 'video'; title?: string },
    stage: string,
    at: number,
  ): Promise<void> {
    checkId(upload.id)
    await this.#store.transaction(() => {
      const entry = this.#putUpload(upload, (stages) => {
        const before = stages[stage] ?? { first: at, last: at }
        return { ...stages, [stage]: { first: Math.min(before.first, at), last: Math.max(before.last, at) } }
      })
      this.#putFailures(upload.id, this.#failures.get(upload.id) ?? {}, entry)
    })
  }

  async recordFailure(upload: { id: string; kind?: 'track' | 'video' }, failure: UploadFailure): Promise<void> {
    const { id, kind } = upload
    checkId(id)
    await this.#store.transaction(() => {
      const entry = kind === undefined ? this.#uploads.get(id) : this.#putUpload({ id, kind }, (stages) => stages)
      const failures = this.#failures.get(id) ?? {}
      const before = failures[failure.stage]
      if (before !== undefined && before.at > failure.at) return
      this.#putFailures(id, { ...failures, [failure.stage]: failure }, entry)
    })
  }

  async upload(id: string): Promise<UploadStatus | undefined> {
    const entry = isId(id) ? this.#uploads.get(id) : undefined
    return entry && this.#status(id, entry)
  }

  async listUploads(options: { after?: string; limit: number }): Promise<Page<UploadStatus>> {
    return page(this.#uploads, options, (id, entry) => this.#status(id, entry))
  }

  async removeUpload(id: string): Promise<void> {
    checkId(id)
    await this.#store.transaction(() => {
      this.#uploads.remove(id)
      this.#failures.remove(id)
    })
  }

  async recordTakedown(id: string, at: number): Promise<void> {
    checkId(id)
    await this.#store.transaction(() => {
      this.#takedowns.put(id, Math.max(at, this.#takedowns.get(id) ?? at))
    })
  }

  async takenDownAt(id: string): Promise<number | undefined> {
    return isId(id) ? this.#takedowns.get(id) : undefined
  }

  async releasePlan(): Promise<ReleasePlan | undefined> {
    const plan = this.#settings.get(PLAN)
    return plan === undefined ? undefined : (JSON.parse(plan) as ReleasePlan)
  }

  async replaceReleasePlan(expected: number, next: ReleasePlan): Promise<boolean> {
    return this.#store.transaction(() => {
      const standing = this.#settings.get(PLAN)
      const revision = standing === undefined ? 0 : (JSON.parse(standing) as ReleasePlan).revision
      if (revision !== expected) return false
      this.#settings.put(PLAN, JSON.stringify(next))
      return true
    })
  }

  async isFilled(generation: string): Promise<boolean> {
    return this.#settings.get(filledKey(generation)) !== undefined
  }

  async markFilled(generation: string): Promise<void> {
    await this.#settings.put(filledKey(generation), '')
  }

  async counts(): Promise<{ tracks: number; videos: number; uploads: number; failed: number }> {
    return {
      tracks: entries(this.#tracks),
      videos: entries(this.#videos),
      uploads: entries(this.#uploads),
      failed: entries(this.#failures),
    }
  }

  async close(): Promise<void> {
    await this.#store.flushed
    await this.#store.close()
  }

  /** Inside a transaction. */
  #putUpload(
    { id, kind, title }: { id: string; kind: 'track' | 'video'; title?: string },
    change: (stages: UploadEntry['stages']) => UploadEntry['stages'],
  ): UploadEntry {
    const before = this.#uploads.get(id)
    const entry = { ...before, kind, ...(title !== undefined && { title }), stages: change(before?.stages ?? {}) }
    this.#uploads.put(id, entry)
    return entry
  }

  /** Keeps the failures that no later success of their stage has settled. Inside a transaction. */
  #putFailures(id: string, failures: FailureEntry, upload: UploadEntry | undefined): void {
    const standing = Object.values(failures).filter(({ stage, at }) => at > (upload?.stages[stage]?.last ?? -1))
    if (standing.length === 0) this.#failures.remove(id)
    else this.#failures.put(id, Object.fromEntries(standing.map((failure) => [failure.stage, failure])))
  }

  #status(id: string, { kind, title, stages }: UploadEntry): UploadStatus {
    const firsts = Object.fromEntries(Object.entries(stages).map(([stage, { first }]) => [stage, first]))
    return uploadStatus({ id, kind, title, stages: firsts }, Object.values(this.#failures.get(id) ?? {}))
  }
}

function page<V, T>(
  entriesById: Database<V, string>,
  { after, limit }: { after?: string; limit: number },
  view: (id: string, value: V) => T,
): Page<T> {
  checkPage({ after, limit })
  const start = after === undefined ? {} : { start: after, exclusiveStart: true }
  const range = [...entriesById.getRange({ ...start, limit: limit + 1 })]
  const items = range.slice(0, limit)
  const last = items.at(-1)?.key
  return {
    items: items.map(({ key, value }) => view(key, value)),
    ...(range.length > limit && last !== undefined && { next: last }),
  }
}

function entries(database: Database<unknown, string>): number {
  return (database.getStats() as { entryCount: number }).entryCount
}
