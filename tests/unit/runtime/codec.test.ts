import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { openConfluentRegistry } from '../../../adapters/confluent/schema-registry.ts'
import { EmbeddedSchemaRegistry } from '../../../adapters/embedded/schema-registry.ts'
import type { StoredRecord } from '../../../ports/broker.ts'
import { InvalidRecordError, OutageError, RetryableError, SetupError } from '../../../ports/errors.ts'
import type { SchemaRegistry } from '../../../ports/schema-registry.ts'
import { createCodec } from '../../../runtime/codec.ts'
import { deadLetterRecord } from '../../../runtime/dead-letter.ts'
import { defineProcessor } from '../../../runtime/define-processor.ts'
import { handleRecord } from '../../../runtime/handle-record.ts'
import type { UploadRemoved } from '../../../schemas/types.ts'
import { onlyFields } from '../../../topics/topic.ts'
import { uploadsRemoved } from '../../../topics/topics.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const removed: UploadRemoved = { uploadId: 'u', kind: 'track', reason: null, removedAt: 1 }
/** Nothing listens there. */
const away = openConfluentRegistry({ url: 'http://127.0.0.1:1' })

/** Passes takedowns on, and notes dead letters of them. */
function stage(letters: unknown[] = []) {
  return defineProcessor({
    name: 'pass-on',
    from: [uploadsRemoved],
    to: [uploadsRemoved],
    deadLettersOf: [uploadsRemoved],
    delivery: 'exactly-once',
    async handle({ key, value }) {
      return [uploadsRemoved.record(key, value)]
    },
    async handleDeadLetter({ value }) {
      letters.push(value)
    },
  })
}

describe('while the schema registry is away', () => {
  const folder = temporaryFolder()
  const here = new EmbeddedSchemaRegistry({ dataFolder: join(folder, 'registry') })
  after(() => here.close())
  const record = async (value?: Uint8Array): Promise<StoredRecord> => ({
    topic: uploadsRemoved.name,
    partition: 0,
    offset: 0,
    key: 'u',
    value: value ?? (await createCodec(here).encode(uploadsRemoved, removed)),
    headers: {},
    timestamp: 1,
  })
  const outcome = (stored: StoredRecord, registry: SchemaRegistry, letters: unknown[] = []) =>
    handleRecord(stage(letters), stored, {}, createCodec(registry), {
      signal: new AbortController().signal,
      attempt: 1,
    })
  /** Knows all schemas and takes no new ones. */
  const readsOnly: SchemaRegistry = {
    schemaById: (id) => here.schemaById(id),
    versions: (subject) => here.versions(subject),
    register: (subject, schema) => away.register(subject, schema),
  }
  const refuses = async () => {
    throw new SetupError('registry-refused', 'It does not let us in')
  }

  test('a record waits, whether its own schema or that of an output cannot be had', async () => {
    for (const registry of [away, readsOnly]) {
      const { kind, ...rest } = await outcome(await record(), registry)
      assert.equal(kind, 'retry')
      assert.ok('error' in rest && rest.error instanceof OutageError)
    }
  })

  test('a registry that refuses us holds records up and crashes no stage', async () => {
    for (const registry of [
      { ...readsOnly, schemaById: refuses },
      { ...readsOnly, register: refuses },
    ]) {
      const { kind, ...rest } = await outcome(await record(), registry)
      assert.equal(kind, 'retry')
      assert.ok('error' in rest && rest.error instanceof OutageError && rest.error.code === 'registry-refused')
    }
  })

  test('a dead letter waits with its value; only bytes that nobody can read come without one', async () => {
    const letterOf = async (value?: Uint8Array, code = 'bad'): Promise<StoredRecord> => {
      const original = await record(value)
      const failure = { stage: 'x', error: new InvalidRecordError(code, code), attempts: 1, at: 1 }
      const { topic, headers = {} } = deadLetterRecord(original, failure)
      return { ...original, topic, headers }
    }
    const letters: (object | undefined)[] = []
    assert.equal((await outcome(await letterOf(), away, letters)).kind, 'retry')
    assert.equal(letters.length, 0)
    await outcome(await letterOf(), here, letters)
    await outcome(await letterOf(Buffer.from('no Avro')), here, letters)
    const unknown = async () => {
      throw new RetryableError('unknown-schema', 'It does not know it yet')
    }
    const behind: SchemaRegistry = { ...readsOnly, schemaById: unknown }
    assert.equal((await outcome(await letterOf(), behind, letters)).kind, 'retry')
    await outcome(await letterOf(undefined, 'unknown-schema'), behind, letters)
    assert.deepEqual(
      letters.map((letter) => letter && { ...letter }),
      [removed, undefined, undefined],
    )
  })

  test('what was encoded and decoded before goes on', async () => {
    let gone = false
    const codec = createCodec({
      register: (subject, schema) => (gone ? away : here).register(subject, schema),
      schemaById: (id) => (gone ? away : here).schemaById(id),
      versions: (subject) => here.versions(subject),
    })
    await codec.decode(uploadsRemoved, await codec.encode(uploadsRemoved, removed))
    gone = true
    assert.deepEqual({ ...(await codec.decode(uploadsRemoved, await codec.encode(uploadsRemoved, removed))) }, removed)
  })
})

describe('a record on a topic', () => {
  const registry = new EmbeddedSchemaRegistry({ dataFolder: join(temporaryFolder(), 'registry') })
  after(() => registry.close())
  const codec = createCodec(registry)

  test('a reader that asks for some fields gets these alone, and another of the same topic still gets all', async () => {
    const bytes = await codec.encode(uploadsRemoved, removed)
    const some = await codec.decode(onlyFields(uploadsRemoved, ['kind', 'removedAt']), bytes)
    assert.deepEqual({ ...some }, { kind: 'track', removedAt: 1 })
    assert.deepEqual({ ...(await codec.decode(uploadsRemoved, bytes)) }, removed)
  })

  test('records of every length come back as they were', async () => {
    for (const length of [0, 1, 63, 64, 65_000, 65_505, 65_520, 65_536, 66_000, 1_000_000]) {
      const value = { ...removed, reason: 'é'.repeat(length / 2) + 'x'.repeat(length % 2) }
      const bytes = await codec.encode(uploadsRemoved, value)
      assert.deepEqual({ ...(await codec.decode(uploadsRemoved, bytes)) }, value)
    }
    const all = await Promise.all(['a', 'b'].map((uploadId) => codec.encode(uploadsRemoved, { ...removed, uploadId })))
    const ids = await Promise.all(all.map(async (bytes) => (await codec.decode(uploadsRemoved, bytes)).uploadId))
    assert.deepEqual(ids, ['a', 'b'])
  })

  test('asking for some fields registers no schema that lacks the others', async () => {
    const bytes = await codec.encode(onlyFields(uploadsRemoved, ['kind']) as typeof uploadsRemoved, removed)
    assert.deepEqual({ ...(await codec.decode(uploadsRemoved, bytes)) }, removed)
    assert.equal((await registry.versions(uploadsRemoved.subject)).length, 1)
  })

  test('a record that is cut off, or that something follows, is undecodable whether read whole or in part', async () => {
    const bytes = Buffer.from(await codec.encode(uploadsRemoved, removed))
    const damaged = [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.of(0)])]
    for (const topic of [uploadsRemoved, onlyFields(uploadsRemoved, ['kind'])]) {
      for (const some of damaged) {
        await assert.rejects(codec.decode(topic as typeof uploadsRemoved, some), { code: 'undecodable' })
      }
    }
  })
})
