import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { openVectorIndex } from '../../../adapters/embedded/vector-index.ts'
import { countRows, missingRows } from '../../../cli/rebuild/live-rows.ts'
import type { Catalogue } from '../../../ports/catalogue.ts'
import type { VectorIndex } from '../../../ports/vector-index.ts'
import { embeddingKey } from '../../../topics/embedding-key.ts'
import { musicEmbedded, videoEmbedded } from '../../../topics/topics.ts'
import { receiptStamp } from '../../../topics/upload-stamp.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const music = { kind: 'music', release: 'r1' } as const

describe('what an index must hold by its topics', () => {
  const folder = temporaryFolder()
  let broker: EmbeddedBroker
  let index: VectorIndex
  let catalogue: Catalogue
  const read = () => broker.lag('nobody', [musicEmbedded.name, videoEmbedded.name])
  /** Where a group that has read everything stands. */
  const readAll = async () => (await read()).map((lag) => ({ ...lag, committedOffset: lag.endOffset }))

  async function embed(id: string, release: string, value: string | null, receivedAt?: number): Promise<void> {
    const headers = receivedAt === undefined ? {} : receiptStamp(receivedAt)
    const bytes = value === null ? null : Buffer.from(value)
    await broker.produce([
      { topic: musicEmbedded.name, key: embeddingKey(id, release), value: bytes, partitionBy: id, headers },
    ])
  }

  before(async () => {
    broker = await EmbeddedBroker.open({ dataFolder: folder })
    await broker.ensureTopics([musicEmbedded, videoEmbedded])
    index = await openVectorIndex({ folder: join(folder, 'index') })
    catalogue = openCatalogue({ folder: join(folder, 'catalogue') })
    for (const id of ['kept', 'again', 'lost', 'taken-down']) await embed(id, 'r1', 'x', 1_000)
    await embed('again', 'r1', 'y', 1_000)
    await embed('removed', 'r1', 'x', 1_000)
    await embed('removed', 'r1', null)
    await embed('kept', 'r0', 'x', 1_000)
    await catalogue.recordTakedown('taken-down', 2_000) // its tombstone is still on the way
    await index.create(music, 2)
    const row = (id: string) => ({ id, vector: Float32Array.of(1, 0), attributes: {} })
    await index.upsert(music, ['kept', 'again'].map(row))
  })
  after(() => Promise.all([broker.close(), index.close(), catalogue.close()]))

  test('keys count once, tombstones not, each release by itself', async () => {
    assert.deepEqual(await countRows(index, broker, await readAll()), [
      { kind: 'music', release: 'r1', liveKeys: 4, rows: 2 },
      { kind: 'music', release: 'r0', liveKeys: 1, rows: 0 },
    ])
  })

  test('what the projection has not read yet does not count', async () => {
    assert.deepEqual(await countRows(index, broker, await read()), [
      { kind: 'music', release: 'r1', liveKeys: 0, rows: 2 },
    ])
  })

  test('missing is what stands and has no row; what was taken down meanwhile is not', async () => {
    assert.deepEqual((await missingRows(index, broker, catalogue, await readAll(), 10)).sort(), ['kept/r0', 'lost/r1'])
    assert.equal((await missingRows(index, broker, catalogue, await readAll(), 1)).length, 1)
  })
})
