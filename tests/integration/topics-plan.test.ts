/** The plan of the topics against a real Kafka: from nothing to in sync, what is refused, and two that apply at once. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { kafkaClient } from '../../adapters/kafka/client.ts'
import { openKafkaTopicAdmin } from '../../adapters/kafka/topic-admin.ts'
import type { TopicAdmin } from '../../ports/topic-admin.ts'
import type { TopicSettings } from '../../ports/topic-settings.ts'
import { applyTopics, readPlan, withDeadLetters } from '../../topics/apply.ts'
import { topics } from '../../topics/topics.ts'
import { testServices } from '../support/services.ts'
import { tcpProxy } from '../support/tcp-proxy.ts'

const { kafkaBrokers } = await testServices()
const client = (brokers = kafkaBrokers) => kafkaClient({ brokers, clientId: 'topics-plan-test' })
const prefix = `plan-${randomUUID().slice(0, 8)}.`
const named = (topic: TopicSettings, part = '') => ({ ...topic, name: `${prefix}${part}${topic.name}` })

describe('the topics of a real Kafka', () => {
  let admin: TopicAdmin
  before(async () => {
    admin = await openKafkaTopicAdmin(client())
  })
  after(async () => {
    const mine = (await admin.names()).filter((name) => name.startsWith(prefix))
    await admin.close()
    const cleaner = client().admin()
    await cleaner.connect()
    await cleaner.deleteTopics({ topics: mine })
    await cleaner.disconnect()
  })

  test('come from nothing to what is defined, by two who apply at once, and stay so', async () => {
    const wanted = withDeadLetters(topics).map((topic) => named(topic))
    const plan = await readPlan(admin, wanted)
    assert.ok(plan.changes.length === 2 * topics.length && plan.changes.every(({ what }) => what === 'create'))
    const other = await openKafkaTopicAdmin(client())
    const both = await Promise.all([applyTopics(admin, wanted), applyTopics(other, wanted)])
    await other.close()
    for (const { left } of both) assert.deepEqual(left, [])
    assert.deepEqual((await readPlan(admin, wanted)).changes, [])
    assert.deepEqual(await applyTopics(admin, wanted), { done: [], left: [] })
  })

  test('keep what an operator set beside our settings, and keep what a risky change would lose', async () => {
    const topic = named({ name: 'kept.v1', partitions: 2, retention: { ms: 86_400_000 }, maxRecordBytes: 10_000 })
    await applyTopics(admin, [topic])
    await admin.alter(topic.name, { 'retention.bytes': '123456789' })
    const changed: TopicSettings = { ...topic, retention: 'compacted', partitions: 3, maxRecordBytes: 20_000 }
    const { done, left } = await applyTopics(admin, [changed])
    assert.deepEqual(
      left.map((change) => (change.what === 'config' ? change.key : change.what)),
      ['cleanup.policy', 'partitions'],
    )
    assert.ok(done.length > 0)
    const [kept] = await admin.describe([topic.name])
    assert.equal(kept!.config['cleanup.policy'], 'delete')
    assert.equal(kept!.config['retention.ms'], '86400000')
    assert.equal(kept!.config['retention.bytes'], '123456789')
    assert.equal(kept!.partitions, 2)
    const allowed = await applyTopics(admin, [changed], new Set(['cleanup-policy', 'more-partitions']))
    assert.deepEqual(allowed.left, [])
    const [now] = await admin.describe([topic.name])
    assert.deepEqual([now!.config['cleanup.policy'], now!.partitions], ['compact', 3])
    assert.equal(now!.config['retention.bytes'], '123456789')
  })

  test('that are older versions or nobody defines are listed and left alone', async () => {
    const topic = named({ name: 'old.made.v1', partitions: 1, retention: { ms: 1_000_000 }, maxRecordBytes: 1_000 })
    await applyTopics(admin, [topic])
    const plan = await readPlan(admin, [{ ...topic, name: topic.name.replace('.v1', '.v2') }])
    assert.ok(plan.foreign.includes(topic.name))
    assert.deepEqual(
      plan.changes.map(({ what }) => what),
      ['create'],
    )
    assert.equal((await admin.describe([topic.name])).length, 1)
  })

  test('cannot be compared while Kafka is away, and that is said as an outage', async () => {
    const [host, port] = kafkaBrokers[0]!.split(':')
    const proxy = await tcpProxy({ host: host!, port: Number(port) })
    proxy.cut()
    await assert.rejects(openKafkaTopicAdmin(client([`127.0.0.1:${proxy.port}`])), { name: 'OutageError' })
    await proxy.close()
  })
})
