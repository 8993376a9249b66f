import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidRecordError } from '../../../ports/errors.ts'
import { deadLetterCause, deadLetterRecord, REDRIVE_HEADER, redriveRecord } from '../../../runtime/dead-letter.ts'

const record = {
  topic: 'uploads.received.v1',
  partition: 3,
  offset: 41,
  key: 'trk_1',
  value: Buffer.from('bytes'),
  headers: { traceparent: '00-1', [REDRIVE_HEADER]: 'analyse-music' },
  timestamp: 5,
}
const error = new InvalidRecordError('media-empty', 'The file of upload trk_1 is empty')

test('a dead letter keeps key, bytes and headers, and says why, where and when', () => {
  const letter = deadLetterRecord(record, { stage: 'analyse-music', error, attempts: 2, at: 99 })
  assert.equal(letter.topic, 'uploads.received.v1.dlq')
  assert.equal(letter.key, 'trk_1')
  assert.equal(letter.value, record.value)
  assert.equal(letter.headers?.traceparent, '00-1')
  assert.deepEqual(deadLetterCause(letter.headers ?? {}), {
    stage: 'analyse-music',
    code: 'media-empty',
    message: 'The file of upload trk_1 is empty',
    errorClass: 'InvalidRecordError',
    attempts: 2,
    at: 99,
    topic: 'uploads.received.v1',
    partition: 3,
    offset: 41,
  })
})

test('redriving gives back the original, to its partition, for the stage that failed', () => {
  const letter = deadLetterRecord(record, { stage: 'analyse-music', error, attempts: 1, at: 99 })
  const redriven = redriveRecord({ ...record, topic: letter.topic, headers: letter.headers ?? {} })
  assert.deepEqual(redriven, {
    topic: 'uploads.received.v1',
    key: 'trk_1',
    value: record.value,
    partition: 3,
    headers: { traceparent: '00-1', [REDRIVE_HEADER]: 'analyse-music' },
  })
})

test('a record with no cause cannot be redriven', () => {
  assert.equal(redriveRecord({ ...record, headers: {} }), undefined)
})

test('a long message is cut, so that a dead letter always fits its topic', () => {
  const long = new InvalidRecordError('media-unreadable', 'x'.repeat(1_000_000))
  const letter = deadLetterRecord(record, { stage: 'analyse-music', error: long, attempts: 1, at: 99 })
  assert.ok((letter.headers?.['dlq-message']?.length ?? 0) <= 2_000)
})
