/**
 * The embedded SchemaRegistry: ids and versions under `<dataFolder>/registry`.
 *
 * As with Confluent's, one schema has one id whatever the subject, ids are never reused, and a subject takes a new
 * version only if it reads all earlier ones (BACKWARD_TRANSITIVE).
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Database, RootDatabase } from 'lmdb'
import { InvalidRecordError } from '../../ports/errors.ts'
import type { AvroSchema, SchemaRegistry } from '../../ports/schema-registry.ts'
import { assertReadsAll, canonicalFormOf } from '../schema-rules.ts'
import { openStore } from './store.ts'

export class EmbeddedSchemaRegistry implements SchemaRegistry {
  readonly #root: RootDatabase
  readonly #schemas: Database<AvroSchema, number>
  /** SHA-256 of the canonical form → id. */
  readonly #ids: Database<number, string>
  /** Subject → ids of its versions, earlier first. */
  readonly #subjects: Database<readonly number[], string>

  constructor(options: { readonly dataFolder: string }) {
    this.#root = openStore(join(options.dataFolder, 'registry'))
    this.#schemas = this.#root.openDB({ name: 'schemas', encoding: 'json' })
    this.#ids = this.#root.openDB({ name: 'ids', encoding: 'json' })
    this.#subjects = this.#root.openDB({ name: 'subjects', encoding: 'json' })
  }

  async register(subject: string, schema: AvroSchema): Promise<number> {
    const fingerprint = createHash('sha256').update(canonicalFormOf(subject, schema)).digest('hex')
    return this.#root.childTransaction(() => {
      const versions = this.#subjects.get(subject) ?? []
      const known = this.#ids.get(fingerprint)
      if (known !== undefined && versions.includes(known)) return known
      assertReadsAll(
        subject,
        schema,
        versions.map((version) => this.#schemas.get(version)!),
      )
      const id = known ?? this.#nextId()
      if (known === undefined) {
        this.#ids.put(fingerprint, id)
        this.#schemas.put(id, schema)
      }
      this.#subjects.put(subject, [...versions, id])
      return id
    })
  }

  async schemaById(id: number): Promise<AvroSchema> {
    const schema = this.#schemas.get(id)
    if (schema === undefined) throw new InvalidRecordError('unknown-schema', `no schema has the id ${id}`)
    return schema
  }

  async versions(subject: string): Promise<readonly AvroSchema[]> {
    return (this.#subjects.get(subject) ?? []).map((id) => this.#schemas.get(id)!)
  }

  async close(): Promise<void> {
    await this.#root.close()
  }

  #nextId(): number {
    for (const id of this.#schemas.getKeys({ reverse: true, limit: 1 })) return id + 1
    return 1
  }
}
