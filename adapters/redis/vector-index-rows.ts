/**
 * The rows of one generation on one server, or of the one that serves there: written by scripts, searched by the engine.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ChainableCommander } from 'ioredis'
import { CuestreamError, InvalidRequestError, RetryableError, SetupError } from '../../ports/errors.ts'
import type { Attributes, Filter, Hit, IndexKind, IndexName, IndexRow, VectorIndex } from '../../ports/vector-index.ts'
import { checkAttributes, checkId, checkVector } from '../vector-index-checks.ts'
import type { RedisOptions } from './connection.ts'
import { isChanged, unknownIndex } from './vector-index-errors.ts'
import { attributeFields, filterQuery, numericFields, type Query } from './vector-index-filter.ts'
import { scripts } from './vector-index-scripts.ts'
import {
  ALWAYS_SCANNED,
  MatchMemory,
  planSearch,
  queueKnn,
  queueSampleCount,
  readHits,
  readSampleCount,
  wantedRows,
} from './vector-index-search.ts'
import { failOnTimeout } from './vector-index-server.ts'
import { type Entry, nameText, newId, readEntry, type VectorIndexStore } from './vector-index-store.ts'
import { readVector, vectorFields } from './vector-index-vector.ts'

export interface RedisVectorIndexOptions extends RedisOptions {
  readonly hnsw?: HnswOptions
  /** A rebuild whose process was silent for so long may be replaced by another. Default 30,000. */
  readonly rebuildLeaseMs?: number
  /** How long promote() waits for the engine to have indexed all rows. Default 60,000. */
  readonly readyWithinMs?: number
}

export interface HnswOptions {
  /** Edges a node; 16. */
  readonly m?: number
  /** Candidates while building; 200. */
  readonly efConstruction?: number
  /** Candidates while searching; 200. */
  readonly efRuntime?: number
}

const MAX_DIMS = 32_768
/** Their float32 vectors come with the answer: some 10 MB at 256 dims. */
const MAX_K = 10_000
/** So that each command of a long upsert has its own deadline. */
const ROWS_A_PIPELINE = 100
const ATTEMPTS = 4
const DEFAULT_EF_RUNTIME = 200
const READY_POLL_MS = 100

/** Everything of the port but generations, which are of the whole store (vector-index.ts). */
export class IndexRows implements Omit<VectorIndex, 'generation' | 'rebuild' | 'close'> {
  /** The generation that is read; '' for the one that serves. */
  readonly reads: string
  /** The one that is written to. */
  protected writes: string
  protected readonly store: VectorIndexStore
  protected readonly options: RedisVectorIndexOptions
  readonly #efRuntime: number
  readonly #entries = new Map<string, Entry>()
  readonly #matches = new MatchMemory()

  constructor(store: VectorIndexStore, options: RedisVectorIndexOptions, generation: string) {
    this.store = store
    this.options = options
    this.reads = generation
    this.writes = generation
    this.#efRuntime = options.hnsw?.efRuntime ?? DEFAULT_EF_RUNTIME
  }

  async create(name: IndexName, dims: number): Promise<void> {
    if (!Number.isInteger(dims) || dims < 1 || dims > MAX_DIMS) {
      throw new SetupError(
        'dims-mismatch',
        `Index ${nameText(name)} cannot have ${dims} dims; give an integer of 1 to ${MAX_DIMS}.`,
      )
    }
    const schema = this.#schema(dims)
    const text = await this.store.run(scripts.create, this.writes, nameText(name), newId(), dims, ...schema)
    const entry = readEntry(text as string, 0, [])
    if (entry.dims !== dims) {
      throw new SetupError(
        'dims-mismatch',
        `Index ${nameText(name)} has ${entry.dims} dims, not ${dims}; a release with other dims needs another name.`,
      )
    }
  }

  async upsert(name: IndexName, rows: readonly IndexRow[]): Promise<void> {
    for (const { id, attributes } of rows) {
      checkId(id)
      checkAttributes(id, attributes)
    }
    const last = [...new Map(rows.map((row) => [row.id, row])).values()]
    const dims = rows[0]?.vector.length
    await this.#write(name, dims, async (entry) => {
      for (const { id, vector } of rows) checkVector(vector, entry.dims, `of ${id}`)
      await this.#declare(name, entry, last)
      for (let from = 0; from < last.length; from += ROWS_A_PIPELINE) {
        const replies = await this.store.pipelined((pipeline) => {
          for (const { id, vector, attributes } of last.slice(from, from + ROWS_A_PIPELINE)) {
            const fields = [...vectorFields(vector), ...attributeFields(id, attributes)]
            this.store.queue(pipeline, scripts.write, this.writes, nameText(name), entry.text, id, 0, ...fields)
          }
        })
        for (const reply of replies) if (reply instanceof Error) throw reply
      }
    })
  }

  async setAttributes(name: IndexName, id: string, attributes: Attributes): Promise<void> {
    checkAttributes(id, attributes)
    const fields = attributeFields(id, attributes)
    await this.#write(name, undefined, async (entry) => {
      await this.#declare(name, entry, [{ attributes }])
      await this.store.run(scripts.write, this.writes, nameText(name), entry.text, id, 1, ...fields)
    })
  }

  async remove(name: IndexName, ids: readonly string[]): Promise<void> {
    await this.#write(name, undefined, async (entry) => {
      for (let from = 0; from < ids.length; from += ROWS_A_PIPELINE) {
        const some = ids.slice(from, from + ROWS_A_PIPELINE)
        await this.store.run(scripts.remove, this.writes, nameText(name), entry.text, ...some)
      }
    })
  }

  async search(name: IndexName, vector: Float32Array, k: number, filter: Filter = []): Promise<readonly Hit[]> {
    if (!Number.isInteger(k) || k < 1) {
      throw new InvalidRequestError('bad-limit', `A search for ${k} rows cannot be answered; ask for 1 or more.`)
    }
    const query = filter.length === 0 ? undefined : filterQuery(filter)
    const known = await this.#entry(name, this.reads, vector.length)
    checkVector(vector, known.dims, 'of the query')
    const limit = k > MAX_K ? await this.#boundedLimit(name, k) : k
    if (filter.length > 0 && query === undefined) return []
    const matches = query === undefined ? undefined : await this.#matching(name, known, query)
    for (let wanted = wantedRows(limit); ; ) {
      const { hits, rows, exact } = await this.#nearest(name, vector, wanted, query, matches)
      const tied = hits.length === wanted && hits[limit - 1]!.score === hits[wanted - 1]!.score
      if (tied && wanted < MAX_K) {
        wanted *= 4 // more ties than were fetched
      } else if (hits.length === wanted || exact || (query === undefined && hits.length === rows)) {
        return hits.slice(0, limit)
      } else {
        return (await this.#nearest(name, vector, wanted, query, 0)).hits.slice(0, limit)
      }
    }
  }

  async vectors(name: IndexName, ids: readonly string[]): Promise<ReadonlyMap<string, Float32Array>> {
    const { replies } = await this.#ask(name, (entry, pipeline) => {
      for (const id of ids) pipeline.hgetBuffer(`${this.#rowPrefix(entry)}${id}`, 'v')
    })
    const found = new Map<string, Float32Array>()
    ids.forEach((id, i) => {
      const bytes = replies[i] as Buffer | null
      if (bytes !== null) found.set(id, readVector(bytes))
    })
    return found
  }

  async count(name: IndexName, filter: Filter = []): Promise<number> {
    if (filter.length === 0) return (await this.#ask(name)).entry.rows
    const query = filterQuery(filter)
    const { entry, replies } = await this.#ask(name, (known, pipeline) => {
      if (query === undefined || !hasFields(known, query)) return
      const how = ['LIMIT', '0', '0', 'TIMEOUT', this.store.commandTimeoutMs, 'DIALECT', '2']
      pipeline.call('FT.SEARCH', this.#ftName(known), query.text, ...how)
    })
    return query === undefined || !hasFields(entry, query) ? 0 : (replies[0] as [number])[0]
  }

  async indexes(): Promise<readonly (IndexName & { dims: number; rows: number })[]> {
    return (await this.#list()).map(({ name, entry }) => ({ ...name, dims: entry.dims, rows: entry.rows }))
  }

  async drop(name: IndexName): Promise<void> {
    if ((await this.store.run(scripts.drop, this.writes, nameText(name))) === 1) await this.store.sweep()
  }

  /** @throws RetryableError 'index-not-ready' when the engine has not indexed every row in time. */
  async ready(): Promise<void> {
    const { readyWithinMs = 60_000 } = this.options
    const deadline = performance.now() + readyWithinMs
    for (;;) {
      const listed = await this.#list()
      const states = await Promise.all(listed.map(({ entry }) => this.store.indexed(this.#ftName(entry))))
      const late = listed.findIndex(({ entry }, i) => !states[i]!.done || states[i]!.rows !== entry.rows)
      if (late === -1) return
      if (performance.now() > deadline) {
        const { name, entry } = listed[late]!
        throw new RetryableError(
          'index-not-ready',
          `The engine has indexed ${states[late]!.rows} of ${entry.rows} rows of ${nameText(name)}; promote it later.`,
        )
      }
      await delay(READY_POLL_MS)
    }
  }

  /** How many rows match, about; all of a small index. */
  async #matching(name: IndexName, { uid, rows }: Entry, query: Query): Promise<number> {
    if (rows <= ALWAYS_SCANNED) return rows
    const key = `${uid} ${query.text}`
    const known = this.#matches.get(key, performance.now())
    if (known !== undefined) return known
    const { replies } = await this.#ask(name, (entry, pipeline) => {
      if (!hasFields(entry, query)) return
      queueSampleCount(pipeline, this.#ftName(entry), query.text, this.store.commandTimeoutMs)
    })
    const matches = replies.length === 0 ? 0 : readSampleCount(replies[0])
    this.#matches.set(key, matches, performance.now())
    return matches
  }

  /**
   * @param matches of the filter, about; 0 has all that match scanned.
   * @returns at most `wanted` hits, best first, of an index of `rows`; `exact` if every row that matches was scored.
   */
  async #nearest(
    name: IndexName,
    vector: Float32Array,
    wanted: number,
    query: Query | undefined,
    matches: number | undefined,
  ): Promise<{ hits: Hit[]; rows: number; exact: boolean }> {
    let exact = true
    const { entry, replies } = await this.#ask(name, (known, pipeline) => {
      checkVector(vector, known.dims, 'of the query')
      if (query !== undefined && !hasFields(known, query)) return
      const { rows } = known
      const plan = planSearch({ rows, matches: matches ?? rows, wanted, filtered: query !== undefined })
      exact = plan.policy === 'scan'
      queueKnn(pipeline, {
        index: this.#ftName(known),
        vector,
        rows: wanted,
        plan,
        filter: query?.text,
        efRuntime: this.#efRuntime,
        timeoutMs: this.store.commandTimeoutMs,
      })
    })
    const hits = replies.length === 0 ? [] : readHits(replies[0], this.#rowPrefix(entry), vector)
    return { hits, rows: entry.rows, exact }
  }

  async #boundedLimit(name: IndexName, k: number): Promise<number> {
    const { rows } = (await this.#ask(name)).entry
    if (rows <= MAX_K) return MAX_K
    throw new InvalidRequestError('bad-limit', `A search gives at most ${MAX_K} rows; ${k} are too many.`)
  }

  /**
   * What `queue` asks of the index, in one round trip with a look at what the index is; asked again if that has changed.
   * @returns the index as it is now, and the replies.
   */
  async #ask(
    name: IndexName,
    queue: (entry: Entry, pipeline: ChainableCommander) => void = () => {},
  ): Promise<{ entry: Entry; replies: unknown[] }> {
    const { store } = this
    for (let attempt = 1; ; attempt++) {
      const known = await this.#entry(name)
      await store.checkWhole(this.#ftName(known)).catch(unlessOutage)
      const [look, onTimeout, ...replies] = await store.pipelined((pipeline) => {
        store.queue(pipeline, scripts.look, this.reads, nameText(name))
        pipeline.call('FT.CONFIG', 'GET', 'ON_TIMEOUT')
        queue(known, pipeline)
      })
      const entry = this.#remember(name, this.reads, look)
      const failed = [onTimeout, ...replies].find((reply) => reply instanceof Error)
      const failing = (onTimeout as [[string, string]])[0]?.[1] === 'fail'
      if (failed === undefined && failing && entry.text === known.text && entry.fields.size === known.fields.size) {
        return { entry, replies }
      }
      if (failed instanceof CuestreamError || (failed !== undefined && attempt === ATTEMPTS)) throw failed
      if (attempt === ATTEMPTS) {
        throw new RetryableError('index-changing', `Index ${nameText(name)} changes all the time; ask again.`)
      }
      if (!failing) await failOnTimeout(store.redis)
    }
  }

  /** A write on what the index is known to be, made again if that has changed. */
  async #write(name: IndexName, dims: number | undefined, write: (entry: Entry) => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const entry = await this.#entry(name, this.writes, dims)
      try {
        return await write(entry)
      } catch (error) {
        this.#entries.delete(cacheKey(name, this.writes))
        if (!isChanged(error) || attempt === ATTEMPTS) throw error
      }
    }
  }

  /** Numeric fields are in the schema before a row has them. */
  async #declare(name: IndexName, entry: Entry, rows: readonly Pick<IndexRow, 'attributes'>[]): Promise<void> {
    const missing = new Set<string>()
    for (const { attributes } of rows) {
      for (const field of numericFields(attributes)) if (!entry.fields.has(field)) missing.add(field)
    }
    if (missing.size === 0) return
    const fields = await this.store.run(scripts.declare, this.writes, nameText(name), entry.text, ...missing)
    this.#entries.set(cacheKey(name, this.writes), readEntry(entry.text, entry.rows, fields as string[]))
  }

  /** @param dims that the caller counts on: what is known is looked at anew before a vector is refused by it. */
  async #entry(name: IndexName, generation = this.reads, dims?: number): Promise<Entry> {
    const known = this.#entries.get(cacheKey(name, generation))
    if (known !== undefined && (dims === undefined || dims === known.dims)) return known
    return this.#remember(name, generation, await this.store.run(scripts.look, generation, nameText(name)))
  }

  #remember(name: IndexName, generation: string, look: unknown): Entry {
    const key = cacheKey(name, generation)
    this.#entries.delete(key)
    if (look instanceof Error) throw look
    const [, text, rows, fields] = look as [string?, string?, number?, string[]?]
    if (text === undefined) throw unknownIndex(nameText(name))
    const entry = readEntry(text, rows!, fields!)
    this.#entries.set(key, entry)
    return entry
  }

  async #list(): Promise<{ name: IndexName; entry: Entry }[]> {
    const reply = (await this.store.run(scripts.list, this.reads)) as (string | number)[]
    const listed = []
    for (let i = 0; i < reply.length; i += 3) {
      const [name, text, rows] = reply.slice(i, i + 3) as [string, string, number]
      const [kind] = name.split('/', 1) as [IndexKind]
      listed.push({ name: { release: name.slice(kind.length + 1), kind }, entry: readEntry(text, rows, []) })
    }
    return listed
  }

  #schema(dims: number): (string | number)[] {
    const { m = 16, efConstruction = 200 } = this.options.hnsw ?? {}
    const vector = [
      'TYPE',
      'FLOAT16',
      'DIM',
      dims,
      'DISTANCE_METRIC',
      'COSINE',
      'M',
      m,
      'EF_CONSTRUCTION',
      efConstruction,
    ]
    return [
      ...['STOPWORDS', 0, 'SCHEMA', 'h', 'VECTOR', 'HNSW', vector.length, ...vector],
      ...['tags', 'TAG', 'SEPARATOR', ',', 'CASESENSITIVE'],
    ]
  }

  #ftName({ uid }: Entry): string {
    return `${this.store.prefix}ix:${uid}`
  }

  #rowPrefix({ uid }: Entry): string {
    return `${this.store.prefix}row:${uid}:`
  }
}

/** An index that is not there any more is noticed by the look at it. */
function unlessOutage(error: unknown): void {
  if (error instanceof CuestreamError) throw error
}

function hasFields(entry: Entry, query: Query): boolean {
  return query.numericFields.every((field) => entry.fields.has(field))
}

function cacheKey(name: IndexName, generation: string): string {
  return `${generation} ${nameText(name)}`
}
