/**
 * Catalogue in Redis, by redis-om on its own client (om-client.ts). Keys, after the prefix:
 *
 *   catalogue:tracks:<id>     hash: id, and a section in each other field, as JSON
 *   catalogue:videos:<id>     the same; catalogue:features:<id> holds the feature sequence, raw
 *   catalogue:uploads:<id>    hash (catalogue-scripts.ts)
 *   catalogue:ids:<what>      ids of tracks, videos, uploads, in the order of their bytes: pages and counts come from here
 *   catalogue:failed          ids of uploads with a failure that stands
 *   catalogue:takedowns       id → when
 *   catalogue:release-plan    which releases are in use, as JSON
 *   catalogue:filled          generations of the projection that were filled once
 *   catalogue:generation      random id of this content; gone with it when the store is wiped
 *   catalogue:run, writes, base, history, ended   whether the server still has every write (server-memory.ts)
 *
 * redis-om's repositories say what a document is and read it. Its `save` writes the whole of a document over what another
 * process wrote meanwhile, so writes are commands on the same client: a section is one field of a hash, put with its id in
 * one MULTI [sections]; what depends on what is there is a script. redis-om has no vectors (redis/redis-om-node#85): those
 * are the vector index's.
 *
 * Each write of the projection brings back the generation that it was made in, which is compared afterwards [generation]:
 * to write into a newer one does no harm, because the replay of that one writes the same again.
 */

import { commandOptions } from 'redis'
import { Repository, Schema } from 'redis-om'
import type {
  Catalogue,
  Page,
  TrackDocument,
  UploadFailure,
  UploadStatus,
  VideoDocument,
} from '../../ports/catalogue.ts'
import { SetupError } from '../../ports/errors.ts'
import type { ReleasePlan } from '../../ports/release-plan.ts'
import { checkId, checkPage, decodeFeatures, encodeFeatures, isId, uploadStatus } from '../catalogue-rules.ts'
import { DEFAULT_KEY_PREFIX, type RedisOptions } from './connection.ts'
import { type OmClient, type OmRedis, openOmClient, sendOn } from './om-client.ts'
import { checkKeepsKeys } from './server-checks.ts'
import { OncePerConnection, SeenWrites, standingGeneration } from './server-memory.ts'

type Kind = 'tracks' | 'videos' | 'uploads'
type Hash = Record<string, string>

const TRACK_SECTIONS = ['upload', 'tagged', 'described'] as const
const VIDEO_SECTIONS = ['upload'] as const
/** Documents that one page is read in at a time. */
const FETCH_AT_ONCE = 200

/** @throws as openRedis; SetupError 'redis-evicts' | 'redis-cluster' */
export async function openRedisCatalogue(options: RedisOptions): Promise<Catalogue> {
  const om = await openOmClient(options)
  try {
    await checkKeepsKeys((...words) => om.ask((client) => sendOn(client)(...words)))
  } catch (error) {
    await om.close()
    throw error
  }
  return new RedisCatalogue(om, options.keyPrefix ?? DEFAULT_KEY_PREFIX, () => om.close())
}

class RedisCatalogue implements Catalogue {
  readonly #om: OmClient
  readonly #prefix: string
  readonly #repositories: Readonly<Record<Kind, Repository>>
  readonly #memory: OncePerConnection<OmRedis>
  readonly #seen = new SeenWrites()
  readonly #close: () => Promise<void>
  readonly #keyPrefix: string
  /** The generation that generation() gave last. */
  #named: string | undefined

  constructor(om: OmClient, keyPrefix: string, close: () => Promise<void>) {
    this.#om = om
    this.#close = close
    this.#keyPrefix = keyPrefix
    this.#prefix = `${keyPrefix}catalogue:`
    const repository = (kind: Kind, fields: readonly string[]) => {
      const strings = Object.fromEntries(['id', ...fields].map((name) => [name, { type: 'string' as const }]))
      const schema = new Schema(this.#prefix + kind, strings, { dataStructure: 'HASH' })
      return new Repository(schema, om.handle)
    }
    this.#repositories = {
      tracks: repository('tracks', TRACK_SECTIONS),
      videos: repository('videos', VIDEO_SECTIONS),
      uploads: repository('uploads', ['kind', 'title']),
    }
    this.#memory = new OncePerConnection((client) => this.#standing(client))
  }

  async generation(): Promise<string> {
    this.#named = await this.#om.ask((client) => this.#standing(client))
    return this.#named
  }

  handle(): Catalogue {
    return new RedisCatalogue(this.#om, this.#keyPrefix, async () => {})
  }

  async putTrack(id: string, section: Omit<TrackDocument, 'id'>): Promise<void> {
    checkId(id)
    await this.#put('tracks', id, section)
  }

  async track(id: string): Promise<TrackDocument | undefined> {
    return (await this.tracks([id])).get(id)
  }

  async tracks(ids: readonly string[]): Promise<ReadonlyMap<string, TrackDocument>> {
    const found = await this.#fetch('tracks', ids)
    return new Map([...found].map(([id, hash]) => [id, sectionsOf<TrackDocument>(hash, TRACK_SECTIONS)]))
  }

  listTracks(options: { after?: string; limit: number }): Promise<Page<TrackDocument>> {
    return this.#page('tracks', options, (hash) => sectionsOf<TrackDocument>(hash, TRACK_SECTIONS))
  }

  async removeTrack(id: string): Promise<void> {
    checkId(id)
    await this.#remove('tracks', id)
  }

  async putVideo(id: string, section: Omit<VideoDocument, 'id'>): Promise<void> {
    checkId(id)
    const { features, ...rest } = section
    await this.#put('videos', id, rest, features && encodeFeatures(id, features))
  }

  async video(id: string): Promise<VideoDocument | undefined> {
    const [found, bytes] = await Promise.all([
      this.#fetch('videos', [id]),
      this.#om.ask((client) => client.get(commandOptions({ returnBuffers: true }), this.#key('features', id))),
    ])
    const hash = found.get(id)
    if (hash === undefined) return undefined
    const document = sectionsOf<VideoDocument>(hash, VIDEO_SECTIONS)
    return bytes === null ? document : { ...document, features: decodeFeatures(bytes) }
  }

  listVideos(options: { after?: string; limit: number }): Promise<Page<Omit<VideoDocument, 'features'>>> {
    return this.#page('videos', options, (hash) => sectionsOf<VideoDocument>(hash, VIDEO_SECTIONS))
  }

  async removeVideo(id: string): Promise<void> {
    checkId(id)
    await this.#remove('videos', id, this.#key('features', id))
  }

  async recordStage(
    upload: { id: string; kind: 'track' | 'video'; title?: string },
    stage: string,
    at: number,
  ): Promise<void> {
    const { id, kind, title } = upload
    checkId(id)
    const about = [id, stage, String(at), kind, ...(title === undefined ? [] : [title])]
    await this.#write((client) => client.recordStage(this.#generationKey, ...this.#uploadKeys(id), ...about))
  }

  async recordFailure(upload: { id: string; kind?: 'track' | 'video' }, failure: UploadFailure): Promise<void> {
    const { id, kind } = upload
    checkId(id)
    const { stage, at } = failure
    const about = [id, stage, String(at), JSON.stringify(failure), ...(kind === undefined ? [] : [kind])]
    await this.#write((client) => client.recordFailure(this.#generationKey, ...this.#uploadKeys(id), ...about))
  }

  async upload(id: string): Promise<UploadStatus | undefined> {
    const hash = (await this.#fetch('uploads', [id])).get(id)
    return hash && statusOf(hash)
  }

  listUploads(options: { after?: string; limit: number }): Promise<Page<UploadStatus>> {
    return this.#page('uploads', options, statusOf)
  }

  async removeUpload(id: string): Promise<void> {
    checkId(id)
    const [document, ids, failed] = this.#uploadKeys(id)
    await this.#write((client) => this.#exec(client.multi().unlink(document).zRem(ids, id).sRem(failed, id)))
  }

  async recordTakedown(id: string, at: number): Promise<void> {
    checkId(id)
    await this.#write((client) =>
      client.recordTakedown(this.#generationKey, `${this.#prefix}takedowns`, id, String(at)),
    )
  }

  async takenDownAt(id: string): Promise<number | undefined> {
    const at = await this.#om.ask((client) => client.hGet(`${this.#prefix}takedowns`, id))
    return at === undefined || at === null ? undefined : Number(at)
  }

  async releasePlan(): Promise<ReleasePlan | undefined> {
    const plan = await this.#om.ask((client) => client.get(`${this.#prefix}release-plan`))
    return plan === null ? undefined : (JSON.parse(plan) as ReleasePlan)
  }

  async replaceReleasePlan(expected: number, next: ReleasePlan): Promise<boolean> {
    const written = [`${this.#prefix}release-plan`, String(expected), JSON.stringify(next)] as const
    return this.#om.ask((client) => client.replaceReleasePlan(...written))
  }

  async isFilled(generation: string): Promise<boolean> {
    return Boolean(await this.#om.ask((client) => client.sIsMember(`${this.#prefix}filled`, generation)))
  }

  async markFilled(generation: string): Promise<void> {
    await this.#om.ask((client) => client.sAdd(`${this.#prefix}filled`, generation))
  }

  async counts(): Promise<{ tracks: number; videos: number; uploads: number; failed: number }> {
    const count = (kind: Kind) => this.#om.ask((client) => client.zCard(this.#ids(kind)))
    const [tracks, videos, uploads, failed] = await Promise.all([
      count('tracks'),
      count('videos'),
      count('uploads'),
      this.#om.ask((client) => client.sCard(`${this.#prefix}failed`)),
    ])
    return { tracks, videos, uploads, failed }
  }

  async close(): Promise<void> {
    await this.#close()
  }

  #key(what: Kind | 'features', id: string): string {
    return `${this.#prefix}${what}:${id}`
  }

  #ids(kind: Kind): string {
    return `${this.#prefix}ids:${kind}`
  }

  #uploadKeys(id: string): [document: string, ids: string, failed: string] {
    return [this.#key('uploads', id), this.#ids('uploads'), `${this.#prefix}failed`]
  }

  async #put(kind: 'tracks' | 'videos', id: string, sections: object, features?: Buffer): Promise<void> {
    const given = Object.entries(sections).filter(([, value]) => value !== undefined)
    const fields = Object.fromEntries(given.map(([name, value]) => [name, JSON.stringify(value)]))
    await this.#write((client) => {
      const together = client
        .multi()
        .hSet(this.#key(kind, id), { id, ...fields })
        .zAdd(this.#ids(kind), { score: 0, value: id })
      if (features !== undefined) together.set(this.#key('features', id), features)
      return this.#exec(together)
    })
  }

  async #remove(kind: 'tracks' | 'videos', id: string, ...more: string[]): Promise<void> {
    await this.#write((client) =>
      this.#exec(
        client
          .multi()
          .unlink([this.#key(kind, id), ...more])
          .zRem(this.#ids(kind), id),
      ),
    )
  }

  get #generationKey(): string {
    return `${this.#prefix}generation`
  }

  #standing(client: OmRedis): Promise<string> {
    return standingGeneration(sendOn(client), this.#prefix, this.#seen)
  }

  /** Carries out a transaction. @returns the generation that it was carried out in */
  async #exec(transaction: ReturnType<OmRedis['multi']>): Promise<string | null> {
    return (await transaction.get(this.#generationKey).exec()).at(-1) as string | null
  }

  /** @param work gives the generation that it was carried out in. @throws SetupError 'generation-ended' [generation] */
  async #write(work: (client: OmRedis) => Promise<string | null>): Promise<void> {
    const named = this.#named
    const written = await this.#om.ask(async (client) => {
      await this.#memory.check(client)
      const writes = `${this.#prefix}writes`
      const [generation, , counted] = await Promise.all([
        work(client),
        client.incr(writes),
        client.mGet([`${this.#prefix}history`, writes]),
      ])
      this.#seen.note(counted)
      return generation
    })
    if (named === undefined || named === written) return
    throw new SetupError(
      'generation-ended',
      'The catalogue in Redis was wiped, or may lack writes: it is filled again from the topics',
    )
  }

  /** Documents that are there, by id. */
  async #fetch(kind: Kind, ids: readonly string[]): Promise<Map<string, Hash>> {
    const found = new Map<string, Hash>()
    const known = ids.filter(isId)
    for (let start = 0; start < known.length; start += FETCH_AT_ONCE) {
      const some = known.slice(start, start + FETCH_AT_ONCE)
      const entities = await this.#om.ask(() => Promise.all(some.map((id) => this.#repositories[kind].fetch(id))))
      for (const entity of entities) {
        // An upload that is known by its failure alone has no id yet.
        if (entity.id !== undefined) found.set(entity.id as string, entity as Hash)
      }
    }
    return found
  }

  async #page<T>(kind: Kind, options: { after?: string; limit: number }, view: (hash: Hash) => T): Promise<Page<T>> {
    checkPage(options)
    const { after, limit } = options
    const start = after === undefined ? '-' : `(${after}`
    const LIMIT = { offset: 0, count: limit + 1 }
    const ids = await this.#om.ask((client) => client.zRangeByLex(this.#ids(kind), start, '+', { LIMIT }))
    const shown = ids.slice(0, limit)
    const found = await this.#fetch(kind, shown)
    const items = shown.flatMap((id) => {
      const hash = found.get(id)
      return hash === undefined ? [] : [view(hash)] // else removed meanwhile
    })
    return { items, ...(ids.length > limit && { next: shown.at(-1)! }) }
  }
}

function sectionsOf<T extends { readonly id: string }>(hash: Hash, sections: readonly string[]): T {
  const there = sections.filter((name) => hash[name] !== undefined)
  return { id: hash.id, ...Object.fromEntries(there.map((name) => [name, JSON.parse(hash[name]!)])) } as unknown as T
}

function statusOf(hash: Hash): UploadStatus {
  const of = (name: string) =>
    Object.entries(hash)
      .filter(([field]) => field.startsWith(`${name}:`))
      .map(([field, value]) => [field.slice(name.length + 1), value] as const)
  const stages = Object.fromEntries(of('first').map(([stage, at]) => [stage, Number(at)]))
  const failures = of('failure').map(([, json]) => JSON.parse(json) as UploadFailure)
  return uploadStatus({ id: hash.id!, kind: hash.kind as UploadStatus['kind'], title: hash.title, stages }, failures)
}
