/**
 * SchemaRegistry on a Confluent-compatible server, by @kafkajs/confluent-schema-registry.
 *
 * The library registers, finds ids, and fetches and parses schemas, over a transport of ours (registry-http.ts). What it
 * has no method for is asked there at once: the versions of a subject, and its level before its first version.
 *
 *   [known]    a schema that was once seen is never asked for again, so what is known goes on while the registry is away
 *   [unknown]  an id that nobody has is asked for at most once a second (kafkajs/confluent-schema-registry#301: the
 *              library asks for it with every record); look-ups of one id at the same time are one (the library's)
 *   [lag]      a follower of the registry may not know yet what its leader gave out: for the first seconds an unknown id
 *              is worth another try, and only then condemns its record
 *   [word]     a record is condemned only on the registry's own word: its error code for an unknown schema, or a schema
 *              that is no Avro. A proxy's 404, an error, garbage and silence are outages
 *   [level]    a subject is BACKWARD_TRANSITIVE before its first version; a stricter level that stands there stays.
 *              Servers differ in what they check and say, so schemas/compatibility.ts checks first and names the field
 *   [conflict] a 409 may mean that another process was first: what stands there then is looked at again
 *
 * Fails: OutageError 'registry-unavailable'; SetupError 'registry-refused' for credentials that do not do.
 */
import { COMPATIBILITY, SchemaRegistry as Library, SchemaType } from '@kafkajs/confluent-schema-registry'
import avro from 'avsc'
import { CuestreamError, InvalidRecordError, RetryableError, SetupError } from '../../ports/errors.ts'
import type { AvroSchema, SchemaRegistry } from '../../ports/schema-registry.ts'
import { canonicalForm } from '../../schemas/compatibility.ts'
import { assertReadsAll, canonicalFormOf } from '../schema-rules.ts'
import { Recent } from './recent.ts'
import { fieldOf, quoted, type RegistryAddress, RegistryHttp, RegistryRefusal } from './registry-http.ts'

export interface ConfluentRegistryOptions extends RegistryAddress {
  /** For one request and its answer. */
  readonly timeoutMs?: number
  readonly now?: () => number
  /** Schemas, and unknown ids, that are remembered. */
  readonly maxRemembered?: number
}

/** Between two look-ups of an id that nobody had. */
const UNKNOWN_MS = 1000
/** So long an unknown id may yet become known. [lag] */
const LAG_MS = 5000
/** The registry's codes (Confluent Schema Registry API reference). */
const SUBJECT_NOT_FOUND = 40401
const SCHEMA_NOT_FOUND = 40403
/** What a refusal of a schema means, by status. */
const refusals: Readonly<Record<number, string>> = { 409: 'incompatible-schema', 422: 'invalid-schema' }

/** Times in ms. */
interface Unknown {
  readonly since: number
  readonly askAgainAt: number
}

interface Version {
  readonly id: number
  readonly schema: AvroSchema
}

/** Opens no connection yet. @throws SetupError 'bad-config' */
export function openConfluentRegistry(options: ConfluentRegistryOptions): SchemaRegistry & { close(): Promise<void> } {
  return new ConfluentRegistry(options)
}

class ConfluentRegistry implements SchemaRegistry {
  readonly #http: RegistryHttp
  readonly #library: Library
  readonly #now: () => number
  /** By id: the schema, or why it is none of ours. [known] */
  readonly #known: Recent<number, AvroSchema | InvalidRecordError>
  /** [unknown] */
  readonly #unknown: Recent<number, Unknown>

  constructor({ timeoutMs = 10_000, now = Date.now, maxRemembered = 10_000, ...address }: ConfluentRegistryOptions) {
    this.#http = new RegistryHttp(address, timeoutMs)
    this.#library = libraryOver(this.#http)
    this.#now = now
    this.#known = new Recent(maxRemembered)
    this.#unknown = new Recent(maxRemembered)
  }

  async register(subject: string, schema: AvroSchema): Promise<number> {
    const form = canonicalFormOf(subject, schema)
    const level = await this.#ensureLevel(subject)
    for (let versions = await this.#versions(subject), seen = -1; ; versions = await this.#versions(subject)) {
      const same = versions.find((version) => canonicalForm(version.schema) === form)
      if (same !== undefined) return same.id
      assertReadsAll(subject, schema, schemasOf(versions))
      try {
        return await this.#registerVersion(subject, schema, level)
      } catch (error) {
        const mayBeConflict = error instanceof RegistryRefusal && error.status === 409 && versions.length > seen
        if (!mayBeConflict) throw this.#fault(`register a schema for ${subject}`, error)
        seen = versions.length // [conflict]
      }
    }
  }

  async schemaById(id: number): Promise<AvroSchema> {
    const known = this.#known.get(id)
    if (known instanceof InvalidRecordError) throw known
    if (known !== undefined) return known
    if (!Number.isInteger(id) || id < 1) throw noSchema(id)
    const unknown = this.#unknown.get(id)
    if (unknown !== undefined && this.#now() < unknown.askAgainAt) throw this.#stillUnknown(id, unknown)
    return this.#lookUp(id)
  }

  async versions(subject: string): Promise<readonly AvroSchema[]> {
    return schemasOf(await this.#versions(subject))
  }

  async close(): Promise<void> {
    this.#http.close()
  }

  async #lookUp(id: number): Promise<AvroSchema> {
    try {
      const type = await this.#library.getSchema(id)
      delete this.#library.cache.schemasByRegistryId[id] // #known is bounded, the library's cache is not
      if (!avro.Type.isType(type)) throw new TypeError('it is no Avro schema')
      const schema = (type as unknown as avro.Type).schema({ exportAttrs: true }) as unknown as AvroSchema
      this.#known.set(id, schema)
      return schema
    } catch (error) {
      if (error instanceof CuestreamError) throw error
      if (error instanceof RegistryRefusal) {
        if (error.errorCode !== SCHEMA_NOT_FOUND) throw this.#http.outage(`the look-up of schema ${id}`, error)
        throw this.#stillUnknown(id, this.#noteUnknown(id))
      }
      // The answer was whole, and the schema in it is none that we can read. What stands under an id never changes.
      const unreadable = new InvalidRecordError('undecodable', `Schema ${id} cannot be read: ${quoted(error)}`)
      this.#known.set(id, unreadable)
      throw unreadable
    }
  }

  #noteUnknown(id: number): Unknown {
    const now = this.#now()
    const before = this.#unknown.get(id)
    // What nobody has asked for meanwhile may be another, new schema.
    const since = before !== undefined && now < before.askAgainAt + LAG_MS ? before.since : now
    const unknown = { since, askAgainAt: now + UNKNOWN_MS }
    this.#unknown.set(id, unknown)
    return unknown
  }

  /** [lag] */
  #stillUnknown(id: number, { since }: Unknown): RetryableError | InvalidRecordError {
    if (this.#now() - since >= LAG_MS) return noSchema(id)
    const message = `The schema registry at ${this.#http.host} does not know schema ${id} yet`
    return new RetryableError('unknown-schema', message, { retryAfterMs: UNKNOWN_MS })
  }

  /** Earlier first. */
  async #versions(subject: string): Promise<readonly Version[]> {
    const numbers = await this.#http.ask('get', `/subjects/${encodeURIComponent(subject)}/versions`).catch((error) => {
      if (error instanceof RegistryRefusal && error.errorCode === SUBJECT_NOT_FOUND) return []
      throw this.#fault(`list the versions of ${subject}`, error)
    })
    if (!Array.isArray(numbers)) throw this.#http.outage(`the versions of ${subject}`, new Error('it gave no list'))
    const versions: Version[] = []
    for (const number of numbers as readonly number[]) {
      try {
        const id = checkedId(await this.#library.getRegistryId(subject, number))
        versions.push({ id, schema: await this.schemaById(id) })
      } catch (error) {
        throw this.#fault(`read version ${number} of ${subject}`, error)
      }
    }
    return versions
  }

  /** @returns the level that the subject has. [level] */
  async #ensureLevel(subject: string): Promise<COMPATIBILITY> {
    const path = `/config/${encodeURIComponent(subject)}`
    const wanted = COMPATIBILITY.BACKWARD_TRANSITIVE
    const standing = async () => {
      const config = await this.#http.ask('get', path).catch((error) => {
        if (error instanceof RegistryRefusal && error.status === 404) return {}
        throw error
      })
      const level = fieldOf(config, 'compatibilityLevel')
      return level === wanted || level === COMPATIBILITY.FULL_TRANSITIVE ? level : undefined
    }
    try {
      const level = await standing()
      if (level !== undefined) return level
      await this.#http.ask('put', path, JSON.stringify({ compatibility: wanted }))
      return wanted
    } catch (error) {
      const isConflict = error instanceof RegistryRefusal && error.status === 409
      const level = isConflict ? await standing() : undefined // [conflict]
      if (level !== undefined) return level
      throw this.#fault(`set the compatibility of ${subject}`, error)
    }
  }

  async #registerVersion(subject: string, schema: AvroSchema, compatibility: COMPATIBILITY): Promise<number> {
    const body = { type: SchemaType.AVRO, schema: JSON.stringify(schema) } as const
    const id = checkedId((await this.#library.register(body, { subject, compatibility })).id)
    delete this.#library.cache.schemasByRegistryId[id]
    this.#unknown.delete(id)
    this.#known.set(id, schema)
    return id
  }

  /** What a fault means to whoever registers. */
  #fault(what: string, error: unknown): Error {
    const { host } = this.#http
    if (error instanceof RegistryRefusal) {
      const code = refusals[error.status] ?? 'registry-refused'
      const message = `The schema registry at ${host} does not ${what}: ${error.message}`
      return new SetupError(code, message, { cause: error })
    }
    if (error instanceof InvalidRecordError) {
      const message = `Cannot ${what}: ${error.message}; give the topic a subject of its own`
      return new SetupError('incompatible-schema', message, { cause: error })
    }
    // It lists a version and does not know it. [lag]
    if (error instanceof RetryableError && error.code === 'unknown-schema') return this.#http.outage(`“${what}”`, error)
    return error instanceof CuestreamError ? error : this.#http.outage(`“${what}”`, error as Error)
  }
}

/** The library with our transport: what would answer from its own is not called. */
function libraryOver(http: RegistryHttp): Library {
  type Middleware = NonNullable<ConstructorParameters<typeof Library>[0]['middlewares']>[number]
  const transport: Middleware = () => ({
    async response(_next, _renew, request) {
      const path = request.path()
      const body = await http.ask(request.method(), path, request.body() as string | undefined)
      if (path.startsWith('/schemas/ids/') && typeof fieldOf(body, 'schema') !== 'string') {
        throw http.outage(`GET ${path}`, new Error('it gave no schema'))
      }
      // The library takes nothing else from a response.
      return { data: () => body } as unknown as Awaited<ReturnType<typeof _next>>
    },
  })
  return new Library({ host: http.host, middlewares: [transport] })
}

function noSchema(id: number): InvalidRecordError {
  return new InvalidRecordError('unknown-schema', `no schema has the id ${id}`)
}

function checkedId(id: unknown): number {
  if (!Number.isInteger(id)) throw new TypeError('it gave no id')
  return id as number
}

function schemasOf(versions: readonly Version[]): readonly AvroSchema[] {
  return versions.map(({ schema }) => schema)
}
