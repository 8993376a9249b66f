import assert from 'node:assert/strict'
import { existsSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { openJoinState } from '../../../adapters/embedded/join-state.ts'
import { EmbeddedSchemaRegistry } from '../../../adapters/embedded/schema-registry.ts'
import { openFileMediaStore } from '../../../adapters/media/file-media-store.ts'
import { keepHouse, startHousekeeping } from '../../../cli/housekeeping.ts'
import type { Catalogue } from '../../../ports/catalogue.ts'
import { OutageError } from '../../../ports/errors.ts'
import type { JoinState } from '../../../ports/join-state.ts'
import type { MediaStore, StoredMedia } from '../../../ports/media.ts'
import { createCodec } from '../../../runtime/codec.ts'
import { uploadsReceived } from '../../../topics/topics.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const DAY_MS = 86_400_000

describe('housekeeping', () => {
  const folder = temporaryFolder()
  const now = Date.now
  const logger = pino({ level: 'silent' })
  let [broker, catalogue, mediaStore, joins] = [] as unknown as [EmbeddedBroker, Catalogue, MediaStore, JoinState]
  let registry: EmbeddedSchemaRegistry
  before(async () => {
    registry = new EmbeddedSchemaRegistry({ dataFolder: folder })
    broker = await EmbeddedBroker.open({ dataFolder: folder })
    await broker.ensureTopics([uploadsReceived])
    catalogue = openCatalogue({ folder: join(folder, 'catalogue') })
    mediaStore = await openFileMediaStore({ folder: join(folder, 'media') })
    joins = openJoinState(join(folder, 'joins'))
  })
  after(() => Promise.all([registry.close(), broker.close(), catalogue.close(), joins.close()]))

  const put = (text: string) =>
    mediaStore.put(
      (async function* () {
        yield Buffer.from(text)
      })(),
    )

  /** A file that nobody has put for a day. */
  async function putLongAgo(text: string): Promise<{ media: StoredMedia; path: string }> {
    const media = await put(text)
    const path = await mediaStore.path(media.uri)
    utimesSync(path, (now() - DAY_MS) / 1_000, (now() - DAY_MS) / 1_000)
    return { media, path }
  }

  const uploadOf = (uploadId: string, media: StoredMedia) => ({
    uploadId,
    kind: 'track' as const,
    media,
    title: null,
    artist: null,
    owner: null,
    rights: { licence: null, territories: [], explicit: false },
    receivedAt: 1,
  })
  const run = () => keepHouse({ broker, catalogue, mediaStore, joins, logger, now })

  test('media that no upload uses any more are removed, and used or young ones stay', async () => {
    const used = await putLongAgo('used')
    await catalogue.putTrack('used', { upload: uploadOf('used', used.media) })
    const unused = await putLongAgo('unused')
    const young = await mediaStore.path((await put('young')).uri)
    const renewed = await putLongAgo('renewed')
    await put('renewed')
    await run()
    assert.deepEqual(
      [used.path, unused.path, young, renewed.path].map((path) => existsSync(path)),
      [true, false, true, true],
    )
  })

  test('media of an upload that stands are kept though the catalogue does not know it: it lags, or was wiped', async () => {
    const { media, path } = await putLongAgo('waiting')
    const codec = createCodec(registry)
    const value = await codec.encode(uploadsReceived, uploadOf('waiting', media))
    await broker.produce([{ topic: uploadsReceived.name, key: 'waiting', value }])
    await run()
    assert.ok(existsSync(path))
    await broker.produce([{ topic: uploadsReceived.name, key: 'waiting', value: null }])
    await run()
    assert.ok(!existsSync(path), 'once it is taken down, they go')
  })

  test('a join that has waited for a week expires, a younger one does not', async () => {
    await joins.merge('old', 'video', Buffer.from('x'), now() - 8 * DAY_MS)
    await joins.merge('young', 'video', Buffer.from('x'), now() - 6 * DAY_MS)
    await run()
    assert.equal(await joins.incomplete(3), 1)
  })

  test('while the store of the joins is away the metrics can be read, with what was known last', async () => {
    const registry = new Registry()
    let away = false
    const store: JoinState = {
      ...joins,
      incomplete: async () => {
        if (away) throw new OutageError('store-away', 'The store does not answer')
        return 7
      },
    }
    const house = startHousekeeping({ broker, catalogue, mediaStore, joins: store, registry, logger, now })
    assert.match(await registry.metrics(), /cuestream_triplets_incomplete 7/)
    away = true
    assert.match(await registry.metrics(), /cuestream_triplets_incomplete 7/)
    await house.stop()
  })
})
