import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { prefixedBroker } from '../../adapters/prefixed-broker.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { brokerConformance } from './broker.ts'

const dataFolder = temporaryFolder()
let broker: EmbeddedBroker | undefined
const open = async () => {
  broker = await EmbeddedBroker.open({ dataFolder })
  return prefixedBroker(broker, 'ours.')
}
const close = async () => broker?.close()
brokerConformance('a prefix on a broker that others use', { open, close, reopen: () => close().then(open) })

test('two prefixes on one broker do not see each other', async () => {
  const shared = await EmbeddedBroker.open({ dataFolder: temporaryFolder() })
  const [one, two] = [prefixedBroker(shared, 'one.'), prefixedBroker(shared, 'two.')]
  const settings = { name: 't', partitions: 1, retention: { ms: 3_600_000 }, maxRecordBytes: 1_000 }
  await Promise.all([one.ensureTopics([settings]), two.ensureTopics([settings])])
  await one.produce([{ topic: 't', key: 'k', value: Buffer.from('mine') }])
  assert.equal((await one.read('t', 0, 0, 10)).length, 1)
  assert.deepEqual(await two.read('t', 0, 0, 10), [])
  assert.deepEqual(await two.topics(), [{ name: 't', partitions: 1 }])
  await shared.close()
})
