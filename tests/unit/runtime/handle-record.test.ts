import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { InvalidRecordError, RetryableError } from '../../../ports/errors.ts'
import { REDRIVE_HEADER } from '../../../runtime/dead-letter.ts'
import { defineProcessor, wire } from '../../../runtime/define-processor.ts'
import { createTestDriver } from '../../../runtime/test-driver.ts'
import type { UploadReceived } from '../../../schemas/types.ts'
import { feedbackRecorded, modelsReleased, uploadsReceived, uploadsRemoved } from '../../../topics/topics.ts'

const upload = (uploadId: string, title: string): UploadReceived => ({
  uploadId,
  kind: 'track',
  media: { uri: `media:${uploadId}`, sha256: uploadId, bytes: 1 },
  title,
  artist: null,
  owner: null,
  rights: { licence: null, territories: [], explicit: false },
  receivedAt: 1,
})

/** Writes a takedown for each upload, unless its title says otherwise. */
function stage(seen: string[] = []) {
  return defineProcessor({
    name: 'take-down',
    from: [uploadsReceived],
    to: [uploadsRemoved],
    delivery: 'exactly-once',
    async handle({ key, value }, _deps: object, { attempt }) {
      seen.push(`${key}#${attempt}`)
      if (value.title === 'poison') throw new InvalidRecordError('poison', `Upload ${key} is poison`)
      if (value.title === 'never') throw new RetryableError('busy', 'The other side is busy')
      if (value.title === 'third time' && attempt < 3) throw new RetryableError('busy', 'The other side is busy')
      if (value.title === 'bug') throw new TypeError('undefined is not a function')
      return [uploadsRemoved.record(key, { uploadId: key, kind: 'track', reason: null, removedAt: 2 })]
    },
    async handleTombstone({ key }) {
      return [uploadsRemoved.record(key, null)]
    },
  })
}

describe('a record through a stage', () => {
  test('an output is the typed record that the handler returned', async () => {
    const driver = createTestDriver([wire(stage(), {})])
    await driver.pipe(uploadsReceived.record('a', upload('a', 'fine')))
    const [output] = await driver.records(uploadsRemoved)
    assert.equal(output?.key, 'a')
    assert.equal(output?.value?.removedAt, 2)
  })

  test('a poison record goes to the dead letters with its cause, and its neighbours go through', async () => {
    const driver = createTestDriver([wire(stage(), {})])
    for (const [id, title] of [
      ['a', 'fine'],
      ['b', 'poison'],
      ['c', 'fine'],
    ] as const) {
      await driver.pipe(uploadsReceived.record(id, upload(id, title)))
    }
    assert.deepEqual(
      (await driver.records(uploadsRemoved)).map(({ key }) => key),
      ['a', 'c'],
    )
    const [letter, ...others] = driver.deadLetters(uploadsReceived)
    assert.equal(others.length, 0)
    assert.equal(letter?.key, 'b')
    assert.equal(letter?.headers['dlq-code'], 'poison')
    assert.equal(letter?.headers['dlq-stage'], 'take-down')
    assert.equal(letter?.headers['dlq-message'], 'Upload b is poison')
    assert.equal(letter?.headers['dlq-offset'], '1')
  })

  test('bytes that are not Avro go to the dead letters as they came', async () => {
    const driver = createTestDriver([wire(stage(), {})])
    const bytes = Buffer.from('{"uploadId":"a"}')
    await driver.pipeRaw({ topic: uploadsReceived.name, key: 'a', value: bytes })
    await driver.pipeRaw({ topic: uploadsReceived.name, key: 'b', value: Buffer.from([0, 0, 0, 0, 99, 1]) })
    const letters = driver.deadLetters(uploadsReceived)
    assert.deepEqual(
      letters.map(({ headers }) => headers['dlq-code']),
      ['undecodable', 'unknown-schema'],
    )
    assert.deepEqual(letters[0]?.value, bytes)
  })

  test('a truncated record goes to the dead letters', async () => {
    const driver = createTestDriver([wire(stage(), {})])
    const bytes = await driver.codec.encode(uploadsReceived, upload('a', 'fine'))
    await driver.pipeRaw({ topic: uploadsReceived.name, key: 'a', value: bytes.subarray(0, bytes.length - 3) })
    assert.equal(driver.deadLetters(uploadsReceived)[0]?.headers['dlq-code'], 'undecodable')
  })

  test('what may work later is tried again, and the wait grows', async () => {
    const seen: string[] = []
    const driver = createTestDriver([wire(stage(seen), {})])
    const start = driver.clock.nowMs
    await driver.pipe(uploadsReceived.record('a', upload('a', 'third time')))
    assert.deepEqual(seen, ['a#1', 'a#2', 'a#3'])
    assert.equal(driver.clock.nowMs - start, 150 + 300)
    assert.equal((await driver.records(uploadsRemoved)).length, 1)
  })

  test('what never works goes to the dead letters after the last try', async () => {
    const seen: string[] = []
    const retry = { maxAttempts: 4, baseMs: 10, maxMs: 100 }
    const driver = createTestDriver([wire(stage(seen), {})], { retry })
    await driver.pipe(uploadsReceived.record('a', upload('a', 'never')))
    assert.equal(seen.length, 4)
    const [letter] = driver.deadLetters(uploadsReceived)
    assert.equal(letter?.headers['dlq-code'], 'busy')
    assert.equal(letter?.headers['dlq-attempts'], '4')
  })

  test('an unknown error is not swallowed', async () => {
    const driver = createTestDriver([wire(stage(), {})])
    await assert.rejects(driver.pipe(uploadsReceived.record('a', upload('a', 'bug'))), TypeError)
  })

  test('a tombstone reaches the handler of tombstones', async () => {
    const driver = createTestDriver([wire(stage(), {})])
    await driver.pipe(uploadsReceived.record('a', null))
    assert.deepEqual(await driver.records(uploadsRemoved), [{ key: 'a', value: null, headers: {} }])
  })

  test('a record redriven for another stage passes by', async () => {
    const seen: string[] = []
    const driver = createTestDriver([wire(stage(seen), {})])
    await driver.pipe(uploadsReceived.record('a', upload('a', 'fine')), { [REDRIVE_HEADER]: 'embed-music' })
    await driver.pipe(uploadsReceived.record('b', upload('b', 'fine')), { [REDRIVE_HEADER]: 'take-down' })
    assert.deepEqual(seen, ['b#1'])
  })

  test('a record that does not fit its schema is refused with the field named', async () => {
    const driver = createTestDriver([wire(stage(), {})])
    const wrong = { ...upload('a', 'fine'), receivedAt: 'yesterday' } as unknown as UploadReceived
    await assert.rejects(driver.pipe(uploadsReceived.record('a', wrong)), /receivedAt = yesterday/)
  })
})

/** Checked by the compiler: a stage cannot return a record for a topic that it does not name. */
export const wrongTopic = defineProcessor({
  name: 'wrong-topic',
  from: [uploadsReceived],
  to: [uploadsRemoved],
  delivery: 'exactly-once',
  // @ts-expect-error feedback.recorded.v1 is not in `to`
  async handle({ key }) {
    return [feedbackRecorded.record(key, null), modelsReleased.record(key, null)]
  },
})
