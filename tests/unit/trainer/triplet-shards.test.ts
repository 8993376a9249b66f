import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { unpackFloats } from '../../../model/features.ts'
import { tripletsMaterialized } from '../../../topics/topics.ts'
import { sequenceOf } from '../../../trainer/data/pairs.ts'
import { pairsFromTriplets } from '../../../trainer/data/triplet-pairs.ts'
import { syncTriplets } from '../../../trainer/data/triplet-shards.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import {
  embeddedTripletTopics,
  mediaOf,
  RECEIVED_AT,
  sequence,
  takedown,
  triplet,
  upload,
  VIDEO_DIMS,
} from '../../support/triplet-topics.ts'

describe('triplets on disk', () => {
  let topics: Awaited<ReturnType<typeof embeddedTripletTopics>>
  let folder: string
  beforeEach(async () => {
    topics = await embeddedTripletTopics(temporaryFolder())
    folder = temporaryFolder()
  })
  afterEach(() => topics.close())
  const sync = (options = {}) => syncTriplets({ ...topics, folder, ...options })
  const ids = async () => (await pairsFromTriplets(folder)).pairs.videoIds

  test('are the triplets of the topic, in the order of their ids', async () => {
    await topics.produce(upload('b', { artist: ' The  Band' }), upload('a'), triplet('b'), triplet('a'))
    assert.deepEqual(await sync(), { triplets: 2, added: 2, removed: 0, unreadable: 0 })
    const { pairs, encoders, methods } = await pairsFromTriplets(folder)
    assert.deepEqual(pairs.videoIds, ['a', 'b'])
    assert.deepEqual(pairs.trackIds, [mediaOf('a'), mediaOf('b')])
    assert.deepEqual(pairs.artists, ['', 'the band'])
    assert.deepEqual(encoders, { video: 'video@1', music: 'music@1' })
    assert.deepEqual(methods, { data2text: 2 })
    const { values } = sequence('b/video', VIDEO_DIMS, 'video@1')
    assert.deepEqual(sequenceOf(pairs.video, 1), unpackFloats(values))
    assert.deepEqual(pairs.texts?.strings, ['', 'Text of a.', 'Text of b.'])
  })
})
