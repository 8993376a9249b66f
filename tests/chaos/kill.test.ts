/** kill −9 at twenty random points of ingestion: every upload ends indexed once, or in the dead letters with a cause. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { openVectorIndex } from '../../adapters/embedded/vector-index.ts'
import { connectApi } from '../../cli/api-client.ts'
import { readManifest } from '../../cli/manifest.ts'
import { dataPaths, repositoryPaths } from '../../cli/paths.ts'
import { seededRandom } from '../../model/random.ts'
import { deadLetterCause, deadLetterName } from '../../runtime/dead-letter.ts'
import { musicEmbedded, uploadsReceived } from '../../topics/topics.ts'
import { startProduct } from '../support/product-process.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

const KILLS = 20
/** Longest life of a process, ms: from its first moments to several uploads done. */
const LONGEST_LIFE_MS = 2_500

describe('ingestion under kill -9', () => {
  const folder = temporaryFolder()

  test('every upload is indexed exactly once or has its cause in the dead letters', async () => {
    const random = seededRandom(42)
    const samples = await readManifest(repositoryPaths.samples)
    const tracks = samples.filter(({ kind }) => kind === 'track').slice(0, 6)
    const videos = samples.filter(({ kind }) => kind === 'video').slice(0, 2)
    const broken = join(folder, 'not-music.mp3')
    writeFileSync(broken, 'This is a text file.')
    const wanted = [
      ...[...tracks, ...videos].map(({ path, kind, id }) => ({ path: path!, kind: kind!, id: id! })),
      { path: broken, kind: 'track' as const, id: 'broken' },
    ]
    const data = join(folder, 'data')
    let acknowledged = new Set<string>()

    for (let kills = 0; kills < KILLS; kills++) {
      const product = await startProduct(data)
      const api = connectApi(product.url)
      // Whoever was not acknowledged asks again, as a client would.
      const uploading = Promise.allSettled(
        wanted
          .filter(({ id }) => !acknowledged.has(id))
          .map(async (upload) => {
            await api.submit(upload)
            acknowledged.add(upload.id)
          }),
      )
      await new Promise((resolve) => setTimeout(resolve, random() * LONGEST_LIFE_MS))
      await product.kill()
      await uploading
    }

    const product = await startProduct(data)
    const api = connectApi(product.url)
    await Promise.all(wanted.filter(({ id }) => !acknowledged.has(id)).map((upload) => api.submit(upload)))
    acknowledged = new Set(wanted.map(({ id }) => id))
    for (const { id } of wanted) {
      const upload = await until(
        `${id} to be ready or failed`,
        async () => {
          const view = await api.upload(id)
          return view.state !== 'analysing' && view
        },
        240_000,
      )
      assert.equal(upload.state, id === 'broken' ? 'failed' : 'ready', id)
    }
    await until('every stage to have caught up', async () =>
      (await api.pipeline()).stages.every(({ lagRecords }) => lagRecords === 0),
    )
    assert.equal(await product.stop(), 0)

    const index = await openVectorIndex({ folder: dataPaths(data).index })
    for (const { release, kind, rows } of await index.indexes()) {
      assert.equal(rows, kind === 'music' ? tracks.length : videos.length, `${kind} of ${release}`)
    }
    await index.close()

    const broker = await EmbeddedBroker.open({ dataFolder: data })
    const embedded = await readAll(broker, musicEmbedded.name, musicEmbedded.partitions)
    assert.deepEqual(
      embedded.map(({ key }) => key?.split('/')[0]).sort(),
      tracks.map(({ id }) => id!).sort(),
      'one embedding a track',
    )
    const letters = await readAll(broker, deadLetterName(uploadsReceived.name), uploadsReceived.partitions)
    assert.ok(letters.length >= 1)
    for (const { key, headers } of letters) {
      assert.equal(key, 'broken')
      assert.equal(deadLetterCause(headers)?.code, 'media-format')
    }
    await broker.close()
  })
})

async function readAll(broker: EmbeddedBroker, topic: string, partitions: number) {
  const records = []
  for (let partition = 0; partition < partitions; partition++) {
    records.push(...(await broker.read(topic, partition, 0, 1_000)))
  }
  return records
}
