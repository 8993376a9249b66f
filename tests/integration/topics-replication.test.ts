/** Topics made while most of a cluster's brokers are still down: here one answers, and the cluster keeps three replicas. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { kafkaClient } from '../../adapters/kafka/client.ts'
import { openKafkaTopicAdmin } from '../../adapters/kafka/topic-admin.ts'
import { SetupError } from '../../ports/errors.ts'
import { type Services, startServices } from '../../services/start-services.ts'
import { readPlan } from '../../topics/apply.ts'
import { newTopic, testBroker } from './kafka-fixtures.ts'

let services: Services
before(async () => {
  const kafkaSettings = { 'default.replication.factor': '3' }
  services = await startServices({ want: ['kafka'], rungs: ['docker', 'local'], kafkaSettings })
})
after(() => services?.stop())

const settings = { partitions: 1, retention: 'compacted', maxRecordBytes: 1_000 } as const

test('with one of three brokers up a topic is refused, not made with a single replica for ever', async (t) => {
  const broker = await testBroker(t, { brokers: services.kafkaBrokers })
  await assert.rejects(newTopic(broker, { ...settings, name: 'early' }), (error) => {
    assert.ok(error instanceof SetupError && error.code === 'too-few-brokers', String(error))
    return error.message.includes('early')
  })
  assert.deepEqual(await broker.topics(), [])
})

test('a number of replicas that is configured comes before the cluster’s, and without one the plan compares none', async (t) => {
  const broker = await testBroker(t, { brokers: services.kafkaBrokers, replicationFactor: 1 })
  const name = await newTopic(broker, { ...settings, name: 'single' })
  const admin = await openKafkaTopicAdmin(kafkaClient({ brokers: services.kafkaBrokers, clientId: 'test' }))
  t.after(() => admin.close())
  const [found] = await admin.describe([name])
  assert.deepEqual([found?.replicationFactor, found?.config['min.insync.replicas']], [1, '1'])
  assert.deepEqual((await readPlan(admin, [{ ...settings, name }])).changes, [])
})
