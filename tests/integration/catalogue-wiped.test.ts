/** The catalogue is wiped alone, where the index lies on a Redis of its own: the live stage fills it again. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { pino } from 'pino'
import { openProduct } from '../../cli/open-product.ts'
import { projectionGeneration } from '../../cli/projection.ts'
import { loadConfig } from '../../runtime/config.ts'
import { startServices } from '../../services/start-services.ts'
import { eraseRedis } from '../support/erase-redis.ts'
import { onServices } from '../support/on-services.ts'
import { standInContent, standInDecoder } from '../support/stand-in-media.ts'
import { standInProfile } from '../support/stand-in-profile.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'
import { untilQuiet } from '../support/until-quiet.ts'

test('a catalogue that is wiped alone has every document and takedown again, and the index is what it was', async () => {
  const own = await startServices({ want: ['redis'], rungs: ['docker', 'local'] })
  after(() => own.stop())
  const env = await onServices()
  const config = loadConfig({
    env: { ...env, CUESTREAM_REDIS_INDEX_URLS: own.redisUrl },
    flags: { dataFolder: temporaryFolder() },
  })
  const product = await openProduct(config, {
    logger: pino({ level: process.env.TEST_LOG ?? 'silent' }),
    stages: 'all',
    profile: standInProfile,
    decoder: standInDecoder,
  })
  after(() => product.close())
  const { catalogue, index, uploads } = product
  const quiet = () => untilQuiet(product)

  const ids = ['one', 'two', 'taken-down']
  for (const id of ids) {
    const content = standInContent({ kind: 'track', seconds: 1.5, silent: false, seed: id })
    await uploads.submit({ id, kind: 'track', title: `Title of ${id}`, source: { content } })
  }
  await quiet()
  await uploads.remove('taken-down')
  await quiet()
  const known = async () => ({
    tracks: await catalogue.tracks(ids),
    counts: await catalogue.counts(),
    takedowns: await Promise.all(ids.map((id) => catalogue.takenDownAt(id))),
    release: (await catalogue.releasePlan())?.serving,
  })
  const before = await known()
  assert.deepEqual([...before.tracks.keys()], ['one', 'two'])
  const ofIndex = await index.generation()
  const projection = await projectionGeneration(product)

  await eraseRedis(env.REDIS_URL!, env.CUESTREAM_REDIS_KEY_PREFIX!)
  assert.equal((await catalogue.counts()).tracks, 0)
  const restored = async () => JSON.stringify((await known()).counts) === JSON.stringify(before.counts)
  await until('the documents are there again', restored)
  await quiet()
  assert.deepEqual(await known(), before)
  assert.equal(await index.generation(), ofIndex)
  assert.notEqual(await projectionGeneration(product), projection)
  assert.equal((await index.indexes()).find(({ kind }) => kind === 'music')?.rows, 2)
})
