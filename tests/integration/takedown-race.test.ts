/** Two gateways on one Kafka: one takes an upload down while the other receives it anew. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { openCatalogue } from '../../adapters/embedded/catalogue.ts'
import { EmbeddedSchemaRegistry } from '../../adapters/embedded/schema-registry.ts'
import { openKafkaBroker } from '../../adapters/kafka/broker.ts'
import { kafkaClient } from '../../adapters/kafka/client.ts'
import { openFileMediaStore } from '../../adapters/media/file-media-store.ts'
import { prefixedBroker } from '../../adapters/prefixed-broker.ts'
import { createUploads } from '../../gateway/uploads.ts'
import type { Broker, StoredRecord } from '../../ports/broker.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import type { MediaStore } from '../../ports/media.ts'
import { type Codec, createCodec } from '../../runtime/codec.ts'
import { uploadsReceived, uploadsRemoved } from '../../topics/topics.ts'
import { testServices } from '../support/services.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const NOW = 1_700_000_000_000
const kafkaOptions = { brokers: (await testServices()).kafkaBrokers, clientId: 'takedown-race-test' }
const prefix = `race-${randomUUID().slice(0, 8)}.`
const dataFolder = temporaryFolder()
const ports = {} as { broker: Broker; catalogue: Catalogue; mediaStore: MediaStore; codec: Codec }
let registry: EmbeddedSchemaRegistry

before(async () => {
  ports.broker = prefixedBroker(await openKafkaBroker(kafkaOptions), prefix)
  await ports.broker.ensureTopics([uploadsReceived, uploadsRemoved])
  registry = new EmbeddedSchemaRegistry({ dataFolder })
  ports.codec = createCodec(registry)
  ports.catalogue = openCatalogue({ folder: `${dataFolder}/catalogue` })
  ports.mediaStore = await openFileMediaStore({ folder: `${dataFolder}/media`, maxBytes: 1_000 })
})
after(async () => {
  await Promise.all([ports.broker, registry, ports.catalogue].map((port) => port.close()))
  const admin = kafkaClient(kafkaOptions).admin()
  await admin.connect()
  await admin.deleteTopics({ topics: [uploadsReceived, uploadsRemoved].map(({ name }) => prefix + name) })
  await admin.disconnect()
})

/** In the order of the log. */
async function recordsOf(id: string): Promise<StoredRecord[]> {
  const partitions = Array.from({ length: uploadsReceived.partitions }, (_, partition) => partition)
  const logs = await Promise.all(partitions.map((at) => ports.broker.read(uploadsReceived.name, at, 0, 1_000)))
  return logs.flat().filter(({ key }) => key === id)
}

test('an upload that another gateway receives anew amid a takedown stands behind the tombstone', async () => {
  const content = () =>
    (async function* () {
      yield Buffer.from('song')
    })()
  const song = () => ({ kind: 'track', source: { content: content() } }) as const
  const other = createUploads({ ...ports, now: () => NOW })
  const catalogue = new Proxy(ports.catalogue, {
    get: (real, name: keyof Catalogue) => (name === 'recordTakedown' ? overtaken : real[name].bind(real)),
  })
  async function overtaken(id: string, at: number): Promise<void> {
    await ports.catalogue.recordTakedown(id, at)
    await other.submit(song()) // sees that the upload is taken down, and is quicker than the tombstone
  }
  const uploads = createUploads({ ...ports, catalogue, now: () => NOW })
  const { id } = await uploads.submit(song())
  await uploads.remove(id)
  const times = await Promise.all(
    (await recordsOf(id)).map(async ({ value }) =>
      value === null ? 'tombstone' : (await ports.codec.decode(uploadsReceived, value)).receivedAt,
    ),
  )
  assert.deepEqual(times, [NOW, NOW + 2, 'tombstone', NOW + 2])
})
