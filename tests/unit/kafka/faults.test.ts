import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isTransient, patiently, translated } from '../../../adapters/kafka/faults.ts'
import { errorOf } from '../../../adapters/kafka/requests.ts'
import { OutageError, SetupError } from '../../../ports/errors.ts'

test('what was called off before it began is not begun', async () => {
  let attempts = 0
  const patience = { deadline: Number.POSITIVE_INFINITY, signal: AbortSignal.abort() }
  await assert.rejects(
    patiently('asking', patience, async () => void attempts++),
    OutageError,
  )
  assert.equal(attempts, 0)
})

test('what Kafka calls retriable, does not expect itself, or refuses for a quota, is an outage and ends no process', () => {
  const codes = {
    UNKNOWN: -1,
    CORRUPT_MESSAGE: 2,
    NOT_ENOUGH_REPLICAS: 19,
    KAFKA_STORAGE_ERROR: 56,
    LISTENER_NOT_FOUND: 72,
  }
  for (const [type, code] of Object.entries({ ...codes, THROTTLING_QUOTA_EXCEEDED: 89 })) {
    const error = errorOf(code)!
    assert.equal(error.type, type)
    assert.ok(isTransient(error), type)
    assert.ok(translated('asking', error) instanceof OutageError, type)
  }
})

test('what no waiting mends is not taken for an outage', () => {
  const codes = {
    MESSAGE_TOO_LARGE: 10,
    TOPIC_AUTHORIZATION_FAILED: 29,
    INVALID_PRODUCER_EPOCH: 47,
    PRODUCER_FENCED: 90,
  }
  for (const [type, code] of Object.entries(codes)) {
    const error = errorOf(code)!
    assert.equal(error.type, type)
    assert.ok(!isTransient(error), type)
    assert.ok(translated('asking', error) instanceof SetupError, type)
  }
})

test('a connection that is lost during its login is an outage, a login that is refused is not', () => {
  const failed = (why: string) =>
    Object.assign(new Error(`SASL SCRAM SHA256 authentication failed: ${why}`), {
      name: 'KafkaJSSASLAuthenticationError', // kafkajs exports no such class
    })
  for (const why of ['Closed connection', 'Connection error: read ECONNRESET', 'Request SaslAuthenticate timed out'])
    assert.ok(translated('asking', failed(why)) instanceof OutageError, why)
  const refused = translated('asking', failed('Authentication failed during authentication due to invalid credentials'))
  assert.equal((refused as SetupError).code, 'kafka-access')
})
