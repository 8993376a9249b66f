/** What is left of an upload once it was taken down and its topics were compacted, through the whole pipeline. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { pino } from 'pino'
import type { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { openProduct, type Product } from '../../cli/open-product.ts'
import { loadConfig } from '../../runtime/config.ts'
import { splitEmbeddingKey } from '../../topics/embedding-key.ts'
import { deadLetterTopic } from '../../topics/topic.ts'
import { topics, uploadsRemoved } from '../../topics/topics.ts'
import { standInContent, standInDecoder } from '../support/stand-in-media.ts'
import { standInProfile } from '../support/stand-in-profile.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { untilQuiet } from '../support/until-quiet.ts'

const DAY_MS = 86_400_000

describe('after a takedown', () => {
  const dataFolder = temporaryFolder()
  let product: Product
  before(async () => {
    const config = loadConfig({ env: {}, flags: { dataFolder } })
    const logger = pino({ level: 'silent' })
    product = await openProduct(config, {
      logger,
      stages: 'all',
      profile: standInProfile,
      decoder: standInDecoder,
    })
  })
  after(() => product.close())

  const submit = (id: string, kind: 'track' | 'video') =>
    product.uploads.submit({
      id,
      kind,
      title: `Title of ${id}`,
      source: {
        content: standInContent({ kind, seconds: 1.5, silent: false, seed: id }),
      },
    })
  const quiet = () => untilQuiet(product)

  /** Topics with a record of the id, by whether it is a value. */
  async function tracesOf(id: string): Promise<{ values: string[]; tombstones: string[] }> {
    const traces = { values: new Set<string>(), tombstones: new Set<string>() }
    for (const { name, partitions } of [...topics, ...topics.map(deadLetterTopic)]) {
      for (let partition = 0; partition < partitions; partition++) {
        for (const { key, value } of await product.broker.read(name, partition, 0, 1_000)) {
          if (key === null || splitEmbeddingKey(key)[0] !== id) continue
          ;(value === null ? traces.tombstones : traces.values).add(name)
        }
      }
    }
    return { values: [...traces.values].sort(), tombstones: [...traces.tombstones].sort() }
  }

  for (const kind of ['track', 'video'] as const) {
    test(`of a ${kind} its removal record alone is left, and its neighbours are whole`, async () => {
      await Promise.all([submit(`goes-${kind}`, kind), submit(`stays-${kind}`, kind)])
      await quiet()
      const before = await tracesOf(`goes-${kind}`)
      assert.ok(before.values.length >= 5, `so much there is of it: ${before.values}`)
      await product.uploads.remove(`goes-${kind}`)
      await quiet()
      const taken = await tracesOf(`goes-${kind}`)
      assert.deepEqual(taken.values, [uploadsRemoved.name])
      assert.deepEqual(
        before.values.filter((topic) => !taken.tombstones.includes(topic)),
        [],
        'each topic that knew it has a tombstone',
      )
      const neighbour = await tracesOf(`stays-${kind}`)
      assert.deepEqual(neighbour, { values: before.values, tombstones: [] })

      await (product.broker as EmbeddedBroker).enforceRetention(Date.now() + DAY_MS + 1_000)
      assert.deepEqual(await tracesOf(`goes-${kind}`), { values: [uploadsRemoved.name], tombstones: [] })
      const documents = [
        await product.catalogue.track(`goes-${kind}`),
        await product.catalogue.video(`goes-${kind}`),
        await product.catalogue.upload(`goes-${kind}`),
      ]
      assert.deepEqual(documents, [undefined, undefined, undefined])
      for (const name of await product.index.indexes()) {
        assert.equal((await product.index.vectors(name, [`goes-${kind}`])).size, 0)
      }
    })
  }
})
