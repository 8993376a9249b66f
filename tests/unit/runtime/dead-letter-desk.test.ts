import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { InvalidRecordError } from '../../../ports/errors.ts'
import { deadLetterRecord, REDRIVE_HEADER } from '../../../runtime/dead-letter.ts'
import { deadLetters, findDeadLetter, redrive } from '../../../runtime/dead-letter-desk.ts'
import { deadLetterTopic } from '../../../topics/topic.ts'
import { feedbackRecorded, musicTagged, topics, uploadsReceived } from '../../../topics/topics.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

describe('the desk of dead letters', () => {
  const folder = temporaryFolder()
  let broker: EmbeddedBroker
  before(async () => {
    broker = await EmbeddedBroker.open({ dataFolder: folder })
    await broker.ensureTopics([...topics, ...topics.map(deadLetterTopic)])
  })
  after(() => broker.close())

  /** Produces a record and the dead letter that a stage made of it. */
  async function fail(topic: string, key: string, value: string) {
    const record = { topic, key, value: Buffer.from(value), headers: { trace: 'x' } }
    const [position] = await broker.produce([record])
    const stored = { ...record, ...position!, timestamp: 1 }
    const error = new InvalidRecordError('bad', `${key} is bad`)
    await broker.produce([deadLetterRecord(stored, { stage: 'describe-music', error, attempts: 1, at: 5 })])
    return position!
  }

  async function filed(key: string) {
    for await (const letter of deadLetters(broker, topics)) if (letter.record.key === key) return letter
    throw new Error(`no letter of ${key}`)
  }
  const last = async (topic: string, partition: number) => (await broker.read(topic, partition, 0, 1_000)).at(-1)!

  test('letters of every topic are listed with their causes, and found by position', async () => {
    await fail(uploadsReceived.name, 'listed', 'x')
    const letter = await filed('listed')
    assert.equal(letter.cause.code, 'bad')
    assert.deepEqual((await findDeadLetter(broker, topics, letter.position)).record, letter.record)
  })

  test('a position that is not there is named in the error', async () => {
    for (const position of ['uploads.received.v1/0/999', 'uploads.received.v1/99/0', 'no.such.topic/0/0', 'x', '']) {
      await assert.rejects(findDeadLetter(broker, topics, position), { code: 'unknown-dead-letter', status: 404 })
    }
  })

  test('a letter of a topic kept by time is redriven for the stage that failed only', async () => {
    const { partition } = await fail(feedbackRecorded.name, 'again', 'bytes')
    assert.deepEqual(await redrive(broker, topics, [await filed('again')]), {
      redriven: 1,
      superseded: 0,
      incomplete: 0,
    })
    const record = await last(feedbackRecorded.name, partition)
    assert.deepEqual([record.key, String(record.value)], ['again', 'bytes'])
    assert.deepEqual(record.headers, { trace: 'x', [REDRIVE_HEADER]: 'describe-music' })
  })

  test('on a compacted topic a redriven record is for every stage, since it takes the place of the original', async () => {
    const { partition } = await fail(musicTagged.name, 'compacted', 'bytes')
    assert.deepEqual(await redrive(broker, topics, [await filed('compacted')]), {
      redriven: 1,
      superseded: 0,
      incomplete: 0,
    })
    assert.deepEqual((await last(musicTagged.name, partition)).headers, { trace: 'x' })
  })

  test('on a compacted topic an old letter never overwrites a newer record of its key', async () => {
    const { partition } = await fail(musicTagged.name, 'renewed', 'old')
    await broker.produce([{ topic: musicTagged.name, key: 'renewed', value: Buffer.from('new'), partition }])
    assert.deepEqual(await redrive(broker, topics, [await filed('renewed')]), {
      redriven: 0,
      superseded: 1,
      incomplete: 0,
    })
    assert.equal(String((await last(musicTagged.name, partition)).value), 'new')
  })
})
