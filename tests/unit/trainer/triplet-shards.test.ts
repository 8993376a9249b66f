import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { unpackFloats } from '../../../model/features.ts'
import type { Broker } from '../../../ports/broker.ts'
import { InvalidRecordError, OutageError } from '../../../ports/errors.ts'
import type { Topic } from '../../../topics/topic.ts'
import { tripletsMaterialized } from '../../../topics/topics.ts'
import { sequenceOf } from '../../../trainer/data/pairs.ts'
import { pairsFromTriplets } from '../../../trainer/data/triplet-pairs.ts'
import { newTriplets, type SyncTripletsOptions, syncTriplets } from '../../../trainer/data/triplet-shards.ts'
import { standInProfile } from '../../support/stand-in-profile.ts'
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

const triplets = tripletsMaterialized as Topic
/** A few rows. */
const SMALL_SHARD_BYTES = 1_000
const names = (count: number) => Array.from({ length: count }, (_, i) => `v${i}`)

describe('triplets on disk', () => {
  let topics: Awaited<ReturnType<typeof embeddedTripletTopics>>
  let folder: string
  beforeEach(async () => {
    topics = await embeddedTripletTopics(temporaryFolder())
    folder = temporaryFolder()
  })
  afterEach(() => topics.close())

  const sync = (options: Partial<SyncTripletsOptions> = {}) =>
    syncTriplets({ ...topics, folder, fullBytes: SMALL_SHARD_BYTES, ...options })
  const read = async (from = folder) => (await pairsFromTriplets(from)).pairs
  const give = (ids: readonly string[]) =>
    topics.produce(...ids.map((id) => upload(id)), ...ids.map((id) => triplet(id)))

  test('are the triplets of the topic, in the order of their ids', async () => {
    await topics.produce(upload('b', { artist: ' The  Band' }), upload('a'), triplet('b'), triplet('a'))
    const report = { triplets: 2, chosenPairs: 0, added: 2, removed: 0, unreadable: 0 }
    assert.deepEqual(await sync(), report)
    const { pairs, encoders, methods } = await pairsFromTriplets(folder)
    assert.deepEqual(pairs.videoIds, ['a', 'b'])
    assert.deepEqual(pairs.trackIds, [mediaOf('a'), mediaOf('b')])
    assert.deepEqual(pairs.artists, ['', 'the band'])
    assert.deepEqual(encoders, { video: 'video@1', music: 'music@1' })
    assert.deepEqual(methods, { data2text: 2 })
    const { values } = sequence('b/video', VIDEO_DIMS, 'video@1')
    assert.deepEqual(sequenceOf(pairs.video, 1), unpackFloats(values))
    assert.deepEqual(pairs.texts?.strings, ['', 'Text of a.', 'Text of b.'])
    assert.deepEqual(await sync(), { ...report, added: 0 }, 'a second sync finds nothing new')
  })

  test('are the same wherever syncs before were cut off', async () => {
    const ids = names(60)
    await give(ids)
    await topics.produce(...ids.slice(0, 40).map((id) => triplet(id, { seed: `${id}, again` })))
    await topics.produce(takedown('v3'), takedown('v3', triplets), takedown('v50'), triplet('v50'))
    const whole = temporaryFolder()
    await sync({ folder: whole })
    const expected = await read(whole)
    let cut = 0
    for (; ; cut++) {
      const interrupted = temporaryFolder()
      const failed = await sync({ folder: interrupted, broker: cutOff(topics.broker, cut) }).catch(
        (error: unknown) => error,
      )
      if (!(failed instanceof OutageError)) break
      await sync({ folder: interrupted })
      assert.deepEqual(await read(interrupted), expected, `cut off at read ${cut}`)
      assert.deepEqual(
        filesOf(interrupted).filter((name) => name.endsWith('.partial')),
        [],
      )
    }
    assert.ok(cut > 20, `only ${cut} places to be cut off at`)
    assert.equal(expected.count, 58)
  })

  test('come in the same shards whether they came in one sync or in many', async () => {
    const many = temporaryFolder()
    for (const id of names(40)) {
      await give([id])
      await sync({ folder: many })
    }
    await sync()
    const shards = (from: string) => filesOf(from).filter((name) => name.endsWith('.rows'))
    assert.deepEqual(shards(many), shards(folder))
    assert.ok(shards(folder).length > 6, 'some partitions have several shards')
  })

  test('a sync goes on where the last one was', async () => {
    await give(names(30))
    await sync()
    const reads: number[] = []
    await give(['new'])
    const counting = { ...bound(topics.broker), read: countingReads(topics.broker, reads) }
    const { added, triplets: count } = await sync({ broker: counting })
    assert.deepEqual({ added, count }, { added: 1, count: 31 })
    assert.ok(!reads.includes(0), 'no partition of triplets is read from its start')
  })

  test('an aborted sync rejects with the reason and keeps what it had committed', async () => {
    await give(names(60))
    const stopping = new AbortController()
    const onProgress = (done: number) => {
      if (done > 30) stopping.abort(new Error('enough'))
    }
    await assert.rejects(sync({ signal: stopping.signal, onProgress }), /enough/)
    const reads: number[] = []
    await sync({ broker: { ...bound(topics.broker), read: countingReads(topics.broker, reads) } })
    assert.equal((await read()).count, 60)
    assert.ok(
      reads.some((offset) => offset > 0),
      'it does not begin at the start',
    )
  })

  test('progress ends with all that was to be read', async () => {
    await give(names(20))
    await topics.produce(...names(20).map((id) => triplet(id, { text: 'Another.' }))) // leaves holes
    const told: [number, number][] = []
    await sync({ onProgress: (done, of) => told.push([done, of]) })
    assert.deepEqual(told.at(-1), [40, 40])
    assert.ok(
      told.every(([done, of], i) => done <= of && done >= (told[i - 1]?.[0] ?? 0)),
      'it never goes back',
    )
  })

  test('the latest record of an id counts', async () => {
    await give(['a', 'b'])
    await sync()
    await topics.produce(triplet('a', { text: 'Better words.' }))
    assert.equal((await sync()).triplets, 2)
    assert.deepEqual((await read()).texts?.strings, ['', 'Better words.', 'Text of b.'])
  })

  test('shards that were mostly replaced are written anew', async () => {
    const ids = names(30)
    await give(ids)
    await sync()
    for (let round = 0; round < 5; round++) {
      await topics.produce(...ids.map((id) => triplet(id, { text: `Round ${round}.` })))
      await sync()
    }
    const bytes = filesOf(folder)
      .filter((name) => name.endsWith('.rows'))
      .reduce((sum, name) => sum + contents(name).length, 0)
    const fresh = temporaryFolder()
    await sync({ folder: fresh })
    const needed = filesOf(fresh)
      .filter((name) => name.endsWith('.rows'))
      .reduce((sum, name) => sum + contents(name, fresh).length, 0)
    assert.ok(bytes < 2 * needed + SMALL_SHARD_BYTES, `${bytes} bytes where ${needed} are needed`)
    assert.deepEqual(await read(), await read(fresh))
  })

  describe('of a taken-down upload', () => {
    const traces = (word: string) => filesOf(folder).filter((name) => contents(name).includes(word))
    beforeEach(async () => {
      await give(names(60))
      await sync()
      await topics.produce(triplet('v7', { text: 'Other words of v7 now.' }))
      await sync()
      assert.ok(traces('Text of v7.').length > 0, 'the replaced row still lies there')
      assert.ok(traces('words of v7 now').length > 0, 'and so does the one that counts')
    })

    for (const [how, left] of [
      ['by its tombstone', () => [takedown('v7'), takedown('v7', triplets)]],
      ['by the upload alone, where the tombstones are long gone', () => [takedown('v7')]],
    ] as const) {
      test(`nothing is left on disk after the next sync, told ${how}`, async () => {
        await topics.produce(...left())
        const { triplets: count, removed } = await sync()
        assert.deepEqual({ count, removed }, { count: 59, removed: 1 })
        for (const word of ['v7 now', 'Text of v7.', '"v7"']) assert.deepEqual(traces(word), [])
        assert.ok(!(await read()).videoIds.includes('v7'), 'it is not trained on')
      })
    }

    test('nothing is left where a triplet comes after its takedown', async () => {
      await topics.produce(takedown('v7'), takedown('v7', triplets))
      await sync()
      await topics.produce(triplet('v7', { text: 'Late words.' }))
      await sync()
      assert.deepEqual(traces('Late words'), [])
    })

    test('nothing of the first is left once the id is received again', async () => {
      const receivedAt = RECEIVED_AT + 1_000
      await topics.produce(takedown('v7'), upload('v7', { media: 'other', receivedAt }))
      await sync()
      assert.deepEqual(traces('v7 now'), [], 'before the second has been analysed')
      await topics.produce(triplet('v7', { text: 'Second words.', receivedAt }))
      await sync()
      const { pairs } = await pairsFromTriplets(folder)
      assert.equal(pairs.trackIds[pairs.videoIds.indexOf('v7')], mediaOf('other'))
    })

    test('not even the vectors of its text are left', async () => {
      await pairsFromTriplets(folder, { textEncoder: standInProfile.textEncoder })
      assert.equal(readdirSync(join(folder, 'texts')).length, 1)
      await topics.produce(takedown('v7'))
      await sync()
      assert.ok(!existsSync(join(folder, 'texts')), 'the vectors are gone')
    })
  })

  test('what a killed sync left half written is swept away', async () => {
    await give(['a'])
    await sync()
    const [shard] = filesOf(folder).filter((name) => name.endsWith('.rows'))
    const stray = join(folder, shard!, '..', `${'0'.repeat(64)}.rows`)
    writeFileSync(stray, 'of an upload that was taken down')
    writeFileSync(`${stray}.123.partial`, 'half')
    await sync()
    assert.ok(!existsSync(stray) && !existsSync(`${stray}.123.partial`), 'both are gone')
    assert.equal((await read()).count, 1)
  })

  for (const [what, damage] of [
    ['has another byte', (path: string) => writeFileSync(path, contents(path, '').fill(7, 20, 21))],
    ['is cut off', (path: string) => truncateSync(path, 30)],
  ] as const) {
    test(`a shard that ${what} is refused, and fetched again by the next sync`, async () => {
      await give(names(20))
      await sync()
      const expected = await read()
      const [shard] = filesOf(folder).filter((name) => name.endsWith('.rows'))
      damage(join(folder, shard!))
      await assert.rejects(read(), (error) => error instanceof InvalidRecordError && error.code === 'damaged-shard')
      await sync()
      assert.deepEqual(await read(), expected)
    })
  }

  for (const [what, text] of [
    ['is no JSON', '{"next": 3'],
    [
      'names a file outside',
      JSON.stringify({
        schema: '0'.repeat(64),
        choice: null,
        next: 0,
        last: null,
        shards: [{ sha256: '../../secret', rows: [] }],
      }),
    ],
  ] as const) {
    test(`a manifest that ${what} is refused, and its partition fetched again`, async () => {
      await give(names(20))
      await sync()
      const expected = await read()
      const [manifest] = filesOf(folder).filter((name) => name.endsWith('manifest.json'))
      writeFileSync(join(folder, manifest!), text)
      await assert.rejects(read(), (error) => error instanceof InvalidRecordError && error.code === 'damaged-shard')
      await sync()
      assert.deepEqual(await read(), expected)
    })
  }

  for (const [what, count] of [
    ['ends earlier', 3],
    ['has grown as far', 40],
  ] as const) {
    test(`a topic that was made anew and ${what} is read from its start`, async () => {
      await give(names(20))
      await sync()
      const other = await embeddedTripletTopics(temporaryFolder())
      try {
        const ids = Array.from({ length: count }, (_, i) => `w${i}`)
        await other.produce(...ids.map((id) => upload(id)), ...ids.map((id) => triplet(id)))
        await sync({ ...other })
        assert.deepEqual((await read()).videoIds, ids.toSorted())
      } finally {
        await other.close()
      }
    })
  }

  test('a record that cannot be decoded is passed over and told', async () => {
    await give(['a'])
    await topics.broker.produce([{ topic: triplets.name, key: 'broken', value: Buffer.from('nonsense') }])
    assert.equal((await sync()).unreadable, 1)
    assert.deepEqual((await read()).videoIds, ['a'])
  })

  test('those that came since a time are counted', async () => {
    await give(['a', 'b'])
    const before = Date.now()
    await sync()
    assert.equal(await newTriplets(folder, before), 0)
    assert.equal(await newTriplets(folder, before - 60_000), 2)
  })

  function contents(name: string, within = folder): Buffer {
    return readFileSync(join(within, name))
  }
})

/** Paths of all files, sorted. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

function bound(broker: Broker): Pick<Broker, 'read' | 'lag'> {
  return { read: broker.read.bind(broker), lag: broker.lag.bind(broker) }
}

/** The broker goes away after so many reads. */
function cutOff(broker: Broker, reads: number): Pick<Broker, 'read' | 'lag'> {
  let left = reads
  return {
    ...bound(broker),
    async read(...asked) {
      if (left-- <= 0) throw new OutageError('broker-away', 'The broker is away.')
      return broker.read(...asked)
    },
  }
}

function countingReads(broker: Broker, offsets: number[]): Broker['read'] {
  return (topic, partition, offset, maxRecords) => {
    if (topic === triplets.name) offsets.push(offset)
    return broker.read(topic, partition, offset, maxRecords)
  }
}
