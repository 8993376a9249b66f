import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { embeddedTopicAdmin } from '../../adapters/embedded/topic-admin.ts'
import { prefixedTopicAdmin } from '../../adapters/prefixed-topic-admin.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { topicAdminConformance } from './topic-admin.ts'

let broker: EmbeddedBroker
topicAdminConformance('a broker that others use too', {
  async open() {
    broker = await EmbeddedBroker.open({ dataFolder: temporaryFolder() })
    return prefixedTopicAdmin(embeddedTopicAdmin(broker), 'ours.')
  },
  close: () => broker.close(),
})

test('topics of others are neither seen nor touched', async () => {
  const shared = await EmbeddedBroker.open({ dataFolder: temporaryFolder() })
  const [theirs, ours] = [embeddedTopicAdmin(shared), prefixedTopicAdmin(embeddedTopicAdmin(shared), 'ours.')]
  const topic = { name: 'a.made.v1', partitions: 1, retention: 'compacted', maxRecordBytes: 1_000 } as const
  await theirs.create(await theirs.wanted([topic]))
  assert.deepEqual(await ours.names(), [])
  assert.deepEqual(await ours.describe([topic.name]), [])
  await ours.create((await ours.wanted([topic])).map((wanted) => ({ ...wanted, partitions: 3 })))
  assert.deepEqual(await theirs.names(), ['a.made.v1', 'ours.a.made.v1'])
  assert.equal((await theirs.describe([topic.name]))[0]!.partitions, 1)
  await shared.close()
})
