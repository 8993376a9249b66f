import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { packFloats, unpackFloats } from '../../../model/features.ts'
import { SetupError } from '../../../ports/errors.ts'
import type { TripletMaterialized } from '../../../schemas/types.ts'
import type { TypedOutput } from '../../../topics/topic.ts'
import { musicFeatures } from '../../../topics/topics.ts'
import { sequenceOf } from '../../../trainer/data/pairs.ts'
import { pairsFromTriplets } from '../../../trainer/data/triplet-pairs.ts'
import { syncTriplets } from '../../../trainer/data/triplet-shards.ts'
import { splitTriplets } from '../../../trainer/data/triplet-split.ts'
import { standInProfile } from '../../support/stand-in-profile.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import {
  analysed,
  embeddedTripletTopics,
  feedback,
  MUSIC_DIMS,
  mediaOf,
  sequence,
  takedown,
  triplet,
  upload,
} from '../../support/triplet-topics.ts'

describe('pairs of triplets', () => {
  let topics: Awaited<ReturnType<typeof embeddedTripletTopics>>
  let folder: string
  beforeEach(async () => {
    topics = await embeddedTripletTopics(temporaryFolder())
    folder = temporaryFolder()
  })
  afterEach(() => topics.close())

  async function pairs(...records: TypedOutput[]) {
    await topics.produce(...records)
    await syncTriplets({ ...topics, folder })
    return pairsFromTriplets(folder)
  }
  const video = (id: string, about: Parameters<typeof upload>[1] = {}) => [
    upload(id, about),
    triplet(id),
    ...analysed(id, 'video'),
  ]
  const track = (id: string, about: Parameters<typeof upload>[1] = {}) => [
    upload(id, { kind: 'track', ...about }),
    ...analysed(id, 'track'),
  ]

  test('are of the encoders of most triplets; the others are counted', async () => {
    const other = triplet('c', { musicEncoder: 'music@2' })
    const read = await pairs(...video('a'), ...video('b'), upload('c'), other)
    assert.deepEqual(read.pairs.videoIds, ['a', 'b'])
    assert.equal(read.leftOut.otherEncoders, 1)
  })

  test('are of the encoders that are asked for', async () => {
    await pairs(...video('a'), ...video('b'), upload('c'), triplet('c', { musicEncoder: 'music@2' }))
    const encoders = { video: 'video@1', music: 'music@2' }
    assert.deepEqual((await pairsFromTriplets(folder, { encoders })).pairs.videoIds, ['c'])
    const none = pairsFromTriplets(folder, { encoders: { video: 'video@9', music: 'music@1' } })
    await assert.rejects(none, (error) => error instanceof SetupError && /video@9/.test(error.message))
  })

  test('of an empty topic are refused, saying what makes triplets', async () => {
    await assert.rejects(pairs(), (error) => error instanceof SetupError && error.code === 'no-triplets')
  })

  test('of the same file under two ids are one pair', async () => {
    const read = await pairs(...video('b', { media: 'same' }), ...video('a', { media: 'same' }), ...video('c'))
    assert.deepEqual(read.pairs.videoIds, ['a', 'c'])
    assert.equal(read.leftOut.sameMedia, 1)
  })

  test('leave out features that are not finite or not of their shape', async () => {
    const withVideo = (id: string, values: Uint8Array) => {
      const record = triplet(id)
      const value = record.value as TripletMaterialized
      return { ...record, value: { ...value, video: { ...value.video, values: Buffer.from(values) } } }
    }
    const { segments, dims } = sequence('nan/video', 4, 'video@1')
    const notFinite = packFloats(new Float32Array(segments * dims).fill(Number.NaN))
    const read = await pairs(
      ...video('a'),
      ...[upload('nan'), withVideo('nan', notFinite)],
      ...[upload('short'), withVideo('short', packFloats(Float32Array.of(1, 2, 3)))],
    )
    assert.deepEqual(read.pairs.videoIds, ['a'])
    assert.equal(read.leftOut.unusable, 2)
  })

  test('have the vectors of their texts, the first that of no words', async () => {
    await pairs(...video('a'))
    const { textEncoder } = standInProfile
    const { texts } = (await pairsFromTriplets(folder, { textEncoder })).pairs
    assert.deepEqual(texts?.vectors, await textEncoder.encode(['', 'Text of a.']))
    assert.deepEqual([...texts!.rows], [1])
  })

  describe('with feedback', () => {
    test('hold each track that was chosen, with its music, its text and its weight', async () => {
      const read = await pairs(
        ...[...video('v'), ...track('t', { artist: 'Ann' }), ...track('ignored')],
        ...[feedback('v', 't', 'shown'), feedback('v', 't', 'chosen'), feedback('v', 'ignored', 'previewed')],
      )
      assert.equal(read.soundtracks, 1)
      assert.deepEqual(read.pairs.videoIds, ['v', 'v'])
      assert.deepEqual(read.pairs.trackIds, [mediaOf('v'), mediaOf('t')])
      assert.deepEqual(read.pairs.artists, ['', 'ann'])
      assert.deepEqual([...read.pairs.weights], [1, 1])
      assert.deepEqual(read.methods, { data2text: 1, tags: 1 })
      const { values } = sequence('t/music', MUSIC_DIMS, 'music@1')
      assert.deepEqual(sequenceOf(read.pairs.music, 1), unpackFloats(values))
      assert.deepEqual(sequenceOf(read.pairs.video, 1), sequenceOf(read.pairs.video, 0))
      assert.equal(read.pairs.texts?.strings[read.pairs.texts.rows[1]!], 'Text of t.')
    })

    test('share a track between the videos that it was chosen for', async () => {
      const read = await pairs(
        ...[...video('v'), ...video('w'), ...track('t')],
        ...[feedback('v', 't', 'chosen'), feedback('w', 't', 'chosen')],
      )
      assert.deepEqual(read.pairs.trackIds.slice(2), [mediaOf('t'), mediaOf('t')])
    })

    test('follow later choices, also of tracks that were analysed long before', async () => {
      await pairs(...video('v'), ...track('t'), ...track('u'), feedback('v', 't', 'chosen'))
      const read = await pairs(feedback('v', 'u', 'chosen'))
      assert.deepEqual(read.pairs.trackIds.slice(1), [mediaOf('t'), mediaOf('u')])
      const after = await pairs(
        feedback('v', 't', 'skipped', { requestId: '2' }),
        feedback('v', 't', 'skipped', { requestId: '3' }),
      )
      assert.deepEqual(after.pairs.trackIds.slice(1), [mediaOf('u')])
    })

    test('about words alone, or about a track that is not analysed yet, make no pair', async () => {
      const read = await pairs(
        ...[...video('v'), ...track('t'), upload('late', { kind: 'track' })],
        ...[feedback(null, 't', 'chosen'), feedback('v', 'late', 'chosen')],
      )
      assert.equal(read.pairs.count, 1)
    })

    test('keep nothing of a chosen track that was taken down', async () => {
      await pairs(...video('v'), ...track('t'), feedback('v', 't', 'chosen'))
      const read = await pairs(takedown('t'))
      assert.equal(read.pairs.count, 1)
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!/\.(rows|json)$/.test(name)) continue
        const bytes = readFileSync(join(folder, name))
        assert.ok(!bytes.includes('Text of t.') && !bytes.includes('"t"'), `${name} holds some of it`)
      }
    })

    test('keep nothing on disk of tracks that nobody chose', async () => {
      await pairs(...video('v'), ...track('t'), ...track('u'), feedback('v', 't', 'chosen'))
      const partitions = readdirSync(join(folder, musicFeatures.name))
      const rows = partitions.flatMap((partition) => {
        const manifest = readFileSync(join(folder, musicFeatures.name, partition, 'manifest.json'), 'utf8')
        return (JSON.parse(manifest).shards as { rows: { id: string }[] }[]).flatMap((shard) => shard.rows)
      })
      assert.deepEqual(
        rows.map(({ id }) => id),
        ['t'],
      )
    })

    test('hold out no video, track or artist that a chosen pair is trained on', async () => {
      const ids = Array.from({ length: 60 }, (_, i) => `v${i}`)
      const tracks = Array.from({ length: 30 }, (_, i) => `t${i}`)
      const read = await pairs(
        ...ids.flatMap((id, i) => video(id, { artist: i % 3 === 0 ? null : `artist ${i % 20}` })),
        ...tracks.flatMap((id, i) => track(id, { artist: `artist ${i}` })),
        ...ids.flatMap((id, i) => [feedback(id, `t${i % 30}`, 'chosen'), feedback(id, `t${(i * 7) % 30}`, 'chosen')]),
      )
      const { train, validation, evaluation, withheld } = splitTriplets(read, 0.4)
      assert.ok(
        validation.count > 3 && evaluation.count > 3,
        `${validation.count} and ${evaluation.count} are held out`,
      )
      assert.ok(withheld > 10, 'chosen pairs reached over')
      assert.ok(train.count > 60 - validation.count - evaluation.count, 'some chosen pairs are trained on')
      for (const heldOut of [validation, evaluation]) {
        assert.equal(new Set(heldOut.videoIds).size, heldOut.count, 'soundtracks alone are held out')
        for (const key of ['videoIds', 'trackIds', 'artists'] as const) {
          const trained = new Set(train[key].filter((name) => name !== ''))
          assert.deepEqual(
            heldOut[key].filter((name) => trained.has(name)),
            [],
          )
        }
      }
      const alone = splitTriplets({ ...read, pairs: { ...read.pairs, count: read.soundtracks } }, 0.4)
      assert.deepEqual(evaluation.videoIds, alone.evaluation.videoIds, 'feedback changes nothing of what is evaluated')
    })

    test('hold out the silent videos of an artist whose others are held out', async () => {
      const ids = Array.from({ length: 20 }, (_, i) => `${i}`)
      const read = await pairs(
        ...ids.flatMap((id) => video(`v${id}`, { artist: id })),
        ...ids.flatMap((id) => [upload(`silent-${id}`, { artist: id }), ...analysed(`silent-${id}`, 'video')]),
        ...[...track('t'), ...ids.map((id) => feedback(`silent-${id}`, 't', 'chosen'))],
      )
      const { train, validation, evaluation, withheld } = splitTriplets(read, 0.5)
      const heldOut = [...validation.artists, ...evaluation.artists]
      assert.ok(heldOut.length > 3 && heldOut.length < 17, `${heldOut.length} artists are held out`)
      assert.equal(withheld, heldOut.length)
      for (const artist of heldOut) assert.ok(!train.videoIds.includes(`silent-${artist}`), `${artist} leaks`)
    })
  })
})
