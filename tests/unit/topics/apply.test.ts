import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { embeddedTopicAdmin } from '../../../adapters/embedded/topic-admin.ts'
import type { TopicAdmin } from '../../../ports/topic-admin.ts'
import type { TopicSettings } from '../../../ports/topic-settings.ts'
import { applyTopics, readPlan } from '../../../topics/apply.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const HOUR_MS = 3_600_000
const settings = (name: string, change: Partial<TopicSettings> = {}): TopicSettings => ({
  name,
  partitions: 2,
  retention: { ms: HOUR_MS },
  maxRecordBytes: 1_000,
  ...change,
})

describe('applying the plan of the topics', () => {
  let broker: EmbeddedBroker
  let admin: TopicAdmin
  before(async () => {
    broker = await EmbeddedBroker.open({ dataFolder: temporaryFolder() })
    admin = embeddedTopicAdmin(broker)
  })
  after(() => broker.close())
  const kept = async (name: string) => (await admin.describe([name]))[0]!

  test('comes to the same when it is done again, or by two at once', async () => {
    const wanted = [settings('two.a.v1'), settings('two.b.v1', { retention: 'compacted' })]
    const both = await Promise.all([applyTopics(admin, wanted), applyTopics(admin, wanted)])
    for (const { left } of both) assert.deepEqual(left, [])
    assert.deepEqual(await applyTopics(admin, wanted), { done: [], left: [] })
    assert.deepEqual((await readPlan(admin, wanted)).changes, [])
  })

  test('does what is safe, and leaves what loses something until its risk is named', async () => {
    await applyTopics(admin, [settings('risk.a.v1')])
    const wanted = [settings('risk.a.v1', { retention: { ms: HOUR_MS / 2 }, maxRecordBytes: 2_000, partitions: 4 })]
    const first = await applyTopics(admin, wanted)
    assert.deepEqual(
      first.done.map((change) => change.what === 'config' && change.key),
      ['max.message.bytes'],
    )
    assert.equal(first.left.length, 2)
    assert.equal((await kept('risk.a.v1')).config['retention.ms'], String(HOUR_MS))
    const second = await applyTopics(admin, wanted, new Set(['shorter-retention']))
    assert.deepEqual(
      second.left.map(({ what }) => what),
      ['partitions'],
    )
    assert.deepEqual((await applyTopics(admin, wanted, new Set(['more-partitions']))).left, [])
    assert.equal((await kept('risk.a.v1')).partitions, 4)
  })

  test('decides by what is there now, not by what an earlier plan saw', async () => {
    const wanted = [settings('now.a.v1')]
    await readPlan(admin, wanted)
    await applyTopics(admin, [settings('now.a.v1', { maxRecordBytes: 5_000 })]) // somebody else, meanwhile
    const { done, left } = await applyTopics(admin, wanted)
    assert.deepEqual(done, [])
    assert.deepEqual(
      left.map(({ verdict }) => verdict),
      ['refused'],
    )
  })

  test('says so when the broker takes a change and does not show it', async () => {
    const deaf: TopicAdmin = { ...admin, create: async () => {} }
    await assert.rejects(applyTopics(deaf, [settings('deaf.a.v1')]), {
      code: 'topics-not-applied',
      message: /deaf\.a\.v1/,
    })
  })
})
