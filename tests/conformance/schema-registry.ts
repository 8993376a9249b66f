/** What every SchemaRegistry must do (ports/schema-registry.ts). Subjects have names of their own. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { InvalidRecordError, OutageError, RetryableError, SetupError } from '../../ports/errors.ts'
import type { AvroSchema, SchemaRegistry } from '../../ports/schema-registry.ts'

export interface SchemaRegistryHarness {
  open(): Promise<SchemaRegistry>
  /** Ends the registry that is open and opens another on the same durable state. */
  reopen(): Promise<SchemaRegistry>
  close(): Promise<void>
}

type Field = { name: string; type: unknown; default?: unknown; doc?: string }

export function schemaRegistryConformance(adapter: string, harness: SchemaRegistryHarness): void {
  describe(`SchemaRegistry by ${adapter}`, { timeout: 120_000 }, () => {
    let registry: SchemaRegistry
    before(async () => {
      registry = await harness.open()
    })
    after(() => harness.close())

    const trackId: Field = { name: 'trackId', type: 'string' }
    const bpm: Field = { name: 'bpm', type: 'double' }
    const title: Field = { name: 'title', type: ['null', 'string'], default: null }

    async function assertIncompatible(subject: string, schema: AvroSchema, field: string): Promise<void> {
      await assert.rejects(registry.register(subject, schema), (error: SetupError) => {
        assert.ok(error instanceof SetupError)
        assert.equal(error.code, 'incompatible-schema')
        assert.ok(error.message.includes(subject), error.message)
        assert.ok(error.message.includes(field), error.message)
        return true
      })
    }

    test('a schema comes back by its id', async () => {
      const id = await registry.register(newSubject(), record(trackId, bpm))
      assert.ok(Number.isInteger(id) && id > 0)
      assert.deepEqual(fieldNames(await registry.schemaById(id)), ['trackId', 'bpm'])
    })

    test('the same schema keeps its id, whatever the order of its keys and its docs', async () => {
      const subject = newSubject()
      const id = await registry.register(subject, record(trackId, bpm))
      const again = {
        fields: [
          { type: 'string', name: 'trackId', doc: 'Which track.' },
          { type: 'double', name: 'bpm' },
        ],
        doc: 'A track.',
        name: 'Track',
        type: 'record',
      }
      assert.equal(await registry.register(subject, again), id)
      assert.equal((await registry.versions(subject)).length, 1)
    })

    test('other schemas get other ids, at the same time too', async () => {
      const subjects = Array.from({ length: 10 }, newSubject)
      const ids = await Promise.all(
        subjects.map((subject, i) => registry.register(subject, record(trackId, { name: `f${i}`, type: 'int' }))),
      )
      assert.equal(new Set(ids).size, 10)
    })

    test('a new field with a default makes the next version', async () => {
      const subject = newSubject()
      const first = await registry.register(subject, record(trackId))
      const second = await registry.register(subject, record(trackId, title))
      assert.notEqual(first, second)
      assert.deepEqual((await registry.versions(subject)).map(fieldNames), [['trackId'], ['trackId', 'title']])
    })

    test('an earlier version is found again without becoming the newest', async () => {
      const subject = newSubject()
      const first = await registry.register(subject, record(trackId))
      await registry.register(subject, record(trackId, title))
      assert.equal(await registry.register(subject, record(trackId)), first)
      assert.equal((await registry.versions(subject)).length, 2)
    })

    test('a new field without a default is refused, and the subject stays as it was', async () => {
      const subject = newSubject()
      await registry.register(subject, record(trackId))
      await assertIncompatible(subject, record(trackId, bpm), 'bpm')
      assert.deepEqual((await registry.versions(subject)).map(fieldNames), [['trackId']])
    })

    test('a changed type is refused wherever it is nested', async () => {
      const subject = newSubject()
      const tags = (confidence: string): Field => ({
        name: 'tags',
        type: {
          type: 'array',
          items: { type: 'record', name: 'Tag', fields: [{ name: 'confidence', type: confidence }] },
        },
      })
      await registry.register(subject, record(tags('string')))
      await assertIncompatible(subject, record(tags('double')), 'confidence')
    })

    test('a schema that reads the last version but not the first is refused (transitive)', async () => {
      const subject = newSubject()
      await registry.register(subject, record(trackId, { name: 'extra', type: 'string' }))
      await registry.register(subject, record(trackId))
      // Reads version 2, which has no such field, and cannot read the string of version 1.
      await assertIncompatible(subject, record(trackId, { name: 'extra', type: 'int', default: 0 }), 'extra')
    })

    test('subjects do not bind each other', async () => {
      const [one, two] = [newSubject(), newSubject()]
      await registry.register(one, record(trackId))
      await registry.register(two, record(bpm))
      assert.deepEqual((await registry.versions(one)).map(fieldNames), [['trackId']])
    })

    test('an id that nobody has is unknown, and no outage; a subject that nobody has is empty', async () => {
      await assert.rejects(registry.schemaById(2_000_000_000), (error) => {
        const isTold = error instanceof InvalidRecordError || error instanceof RetryableError
        return isTold && !(error instanceof OutageError) && error.code === 'unknown-schema'
      })
      assert.deepEqual(await registry.versions(newSubject()), [])
    })

    test('ids and versions are the same after a restart', async () => {
      const subject = newSubject()
      const first = await registry.register(subject, record(trackId))
      registry = await harness.reopen()
      assert.deepEqual(fieldNames(await registry.schemaById(first)), ['trackId'])
      assert.equal(await registry.register(subject, record(trackId)), first)
      assert.ok((await registry.register(subject, record(trackId, title))) > first)
      await assertIncompatible(subject, record(trackId, title, bpm), 'bpm')
    })
  })
}

function newSubject(): string {
  return `conformance.${randomUUID()}-value`
}

function record(...fields: Field[]): AvroSchema {
  return { type: 'record', name: 'Track', fields }
}

function fieldNames(schema: AvroSchema): string[] {
  return (schema.fields as Field[]).map(({ name }) => name)
}
