import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Recent } from '../../../adapters/confluent/recent.ts'
import { openConfluentRegistry } from '../../../adapters/confluent/schema-registry.ts'
import { InvalidRecordError, OutageError, SetupError } from '../../../ports/errors.ts'

/** Nothing listens there. */
const nowhere = 'http://127.0.0.1:1'

describe('the client of the schema registry, with no server', () => {
  test('ids that no registry gives are unknown without a question, so garbage on a topic cannot block it', async () => {
    const registry = openConfluentRegistry({ url: nowhere })
    for (const id of [0, -1, -2_147_483_648, 1.5, Number.NaN]) {
      await assert.rejects(registry.schemaById(id), (error) => isUnknown(error))
    }
  })

  test('kafkajs/confluent-schema-registry#306: a registry that is offline is an outage, not a bad request', async () => {
    const registry = openConfluentRegistry({ url: nowhere })
    const calls = [registry.schemaById(1), registry.versions('s'), registry.register('s', { type: 'string' })]
    const isOutage = (error: unknown) => error instanceof OutageError && error.code === 'registry-unavailable'
    await Promise.all(calls.map((call) => assert.rejects(call, isOutage)))
  })

  test('what is no Avro schema is refused without a question', async () => {
    const registry = openConfluentRegistry({ url: nowhere })
    await assert.rejects(registry.register('s', { type: 'recrod' }), (error: SetupError) => {
      assert.equal(error.code, 'invalid-schema')
      return error instanceof SetupError
    })
  })

  test('credentials in the URL or beside it are in no error', async () => {
    const urls = [
      'http://me:hush-hush@127.0.0.1:1/',
      'http://me:hush-hush%zz@127.0.0.1:1',
      'ftp://me:hush-hush@h',
      'hush-hush',
    ]
    for (const url of urls) {
      const call = async () => openConfluentRegistry({ url }).schemaById(1)
      await assert.rejects(call, (error) => !everythingIn(error).includes('hush-hush'))
    }
    const beside = openConfluentRegistry({ url: nowhere, username: 'me', password: 'hush-hush' })
    await assert.rejects(beside.schemaById(1), (error) => !everythingIn(error).includes('hush-hush'))
  })
})

describe('what is remembered', () => {
  test('is the latest that was asked for, and never more than the limit', () => {
    const recent = new Recent<number, string>(2)
    recent.set(1, 'one')
    recent.set(2, 'two')
    assert.equal(recent.get(1), 'one')
    recent.set(3, 'three')
    assert.deepEqual([recent.get(1), recent.get(2), recent.get(3)], ['one', undefined, 'three'])
    recent.delete(3)
    recent.set(4, 'four')
    assert.deepEqual([recent.get(1), recent.get(3), recent.get(4)], ['one', undefined, 'four'])
  })
})

function isUnknown(error: unknown): boolean {
  return error instanceof InvalidRecordError && error.code === 'unknown-schema'
}

/** Message, stack and own properties of an error and of its causes. */
function everythingIn(error: unknown): string {
  if (!(error instanceof Error)) return JSON.stringify(error)
  const own = JSON.stringify(Object.fromEntries(Object.entries(error).filter(([, value]) => typeof value !== 'object')))
  return `${error.stack}${own}${error.cause === undefined ? '' : everythingIn(error.cause)}`
}
