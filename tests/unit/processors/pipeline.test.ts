/** The processors joined by the test driver: no broker, no models, real stores. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { openJoinState } from '../../../adapters/embedded/join-state.ts'
import { openVectorIndex } from '../../../adapters/embedded/vector-index.ts'
import { packFloats } from '../../../model/features.ts'
import { unit } from '../../../model/vector.ts'
import type { Catalogue } from '../../../ports/catalogue.ts'
import type { ReleaseTowers } from '../../../ports/encoder.ts'
import type { JoinState } from '../../../ports/join-state.ts'
import { WORLDWIDE } from '../../../ports/rights.ts'
import type { VectorIndex } from '../../../ports/vector-index.ts'
import { describeMusic } from '../../../processors/describe-music/describe-music.ts'
import { createDescriber } from '../../../processors/describe-music/describer.ts'
import { embedMusic } from '../../../processors/embed-music/embed-music.ts'
import { embedVideo } from '../../../processors/embed-video/embed-video.ts'
import { indexEmbeddings } from '../../../processors/index-embeddings/index-embeddings.ts'
import { materializeTriplets } from '../../../processors/materialize-triplets/materialize-triplets.ts'
import { wire } from '../../../runtime/define-processor.ts'
import { createTestDriver, type TestDriver } from '../../../runtime/test-driver.ts'
import type { MusicFeatures, MusicTagged, UploadReceived, VideoFeatures } from '../../../schemas/types.ts'
import type { Topic } from '../../../topics/topic.ts'
import {
  musicDescribed,
  musicEmbedded,
  musicFeatures,
  musicTagged,
  tripletsMaterialized,
  uploadsReceived,
  uploadsRemoved,
  videoFeatures,
} from '../../../topics/topics.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const NOW = 1_700_000_000_000
const encoder = { id: 'test-encoder@1', sha256: 'ab' }

/** Towers whose vectors are the first columns of the features: enough to see what goes where. */
function towers(release: string): ReleaseTowers {
  return {
    release,
    dims: 4,
    encoders: { video: encoder.id, music: encoder.id, text: 'test-text@1' },
    query: async ({ video }) => unit(video!.values.slice(0, 4)),
    music: async ({ values, segments }) => ({
      whole: unit(values.slice(0, 4)),
      segments: new Float32Array(segments * 4),
    }),
  }
}

const upload = (uploadId: string, kind: 'track' | 'video'): UploadReceived => ({
  uploadId,
  kind,
  media: { uri: `media:${uploadId}`, sha256: uploadId, bytes: 1 },
  title: `Title of ${uploadId}`,
  artist: null,
  owner: null,
  rights: { licence: 'MIT', territories: [], explicit: false },
  receivedAt: NOW,
})

const tagged = (trackId: string, source: 'track' | 'soundtrack' = 'track'): MusicTagged => ({
  trackId,
  source,
  tags: [
    { category: 'genre', tag: 'folk', confidence: 0.9 },
    { category: 'mood', tag: 'happy', confidence: 0.8 },
    { category: 'instrument', tag: 'guitar', confidence: 0.7 },
    { category: 'mood', tag: 'sad', confidence: 0.21 },
  ],
  segments: [],
  tempo: { bpm: 120, confidence: 1 },
  key: { tonic: 'C', mode: 'major', confidence: 1 },
  loudnessLufs: -14,
  durationSeconds: 30,
  tagger: encoder,
  taggedAt: NOW,
  thresholds: null,
})

const sequence = { segments: 1, dims: 4, segmentSeconds: 10, durationSeconds: 10, encoder, computedAt: NOW }
const music = (trackId: string, values: number[], source: 'track' | 'soundtrack' = 'track'): MusicFeatures => ({
  ...sequence,
  trackId,
  source,
  values: Buffer.from(packFloats(Float32Array.from(values))),
})
const video = (videoId: string, values: number[]): VideoFeatures => ({
  ...sequence,
  videoId,
  values: Buffer.from(packFloats(Float32Array.from(values))),
})

describe('the processors together', () => {
  const folder = temporaryFolder()
  let [index, catalogue, state] = [] as unknown as [VectorIndex, Catalogue, JoinState]
  let driver: TestDriver

  before(async () => {
    index = await openVectorIndex({ folder: join(folder, 'index') })
    catalogue = openCatalogue({ folder: join(folder, 'catalogue') })
    state = openJoinState(join(folder, 'joins'))
  })
  after(() => Promise.all([index.close(), catalogue.close(), state.close()]))
  beforeEach(() => {
    const now = () => NOW
    const embedding = { towers: towers('r1'), now }
    const side = <T>(topic: Topic<string, T>) => ({
      encode: (value: T) => driver.codec.encode(topic, value),
      decode: (bytes: Uint8Array) => driver.codec.decode(topic, bytes),
    })
    const sides = { video: side(videoFeatures), music: side(musicFeatures), text: side(musicDescribed) }
    driver = createTestDriver([
      wire(describeMusic, {
        describer: createDescriber({ method: 'data2text', seed: 1 }),
        takenDownAt: async () => undefined,
        taggedAt: async () => undefined,
        now,
      }),
      wire(materializeTriplets, { state, sides, now }),
      wire(embedMusic, embedding),
      wire(embedVideo, embedding),
      wire(indexEmbeddings, { index, catalogue, now }),
    ])
  })

  test('a track is indexed once, with its tags as attributes, whatever comes first', async () => {
    await driver.pipe(musicFeatures.record('early', music('early', [1, 0, 0, 0])))
    await driver.pipe(musicTagged.record('early', tagged('early')))
    await driver.pipe(uploadsReceived.record('early', upload('early', 'track')))
    await driver.pipe(musicFeatures.record('early', music('early', [1, 0, 0, 0])))
    const name = { release: 'r1', kind: 'music' } as const
    assert.equal(await index.count(name), 1)
    assert.equal(
      await index.count(name, [
        { field: 'genre', anyOf: ['folk'] },
        { field: 'bpm', min: 119, max: 121 },
      ]),
      1,
    )
    assert.equal(await index.count(name, [{ field: 'mood', anyOf: ['sad'] }]), 0, 'a weak tag is not claimed')
    assert.equal(
      await index.count(name, [
        { field: 'licence', anyOf: ['MIT'] },
        { field: 'territory', anyOf: ['DE', WORLDWIDE] },
      ]),
      1,
    )
    const status = await catalogue.upload('early')
    assert.deepEqual(Object.keys(status!.stages).sort(), [
      'analyse-music',
      'describe-music',
      'embed-music',
      'index-embeddings',
      'received',
    ])
    assert.match((await catalogue.track('early'))!.described!.text, /folk/)
  })

  test('each release gets its own embedding, keyed by both, and its own tombstone', async () => {
    const other = createTestDriver([wire(embedMusic, { towers: towers('r2'), now: () => NOW })])
    await other.pipe(musicFeatures.record('two', music('two', [0, 1, 0, 0])))
    await other.pipe(musicFeatures.record('two', null))
    assert.deepEqual(
      (await other.records(musicEmbedded)).map(({ key, value }) => [key, value?.release]),
      [
        ['two/r2', 'r2'],
        ['two/r2', undefined],
      ],
    )
  })

  test('features of another encoder go to the dead letters, and the upload says why', async () => {
    const foreign = { ...music('foreign', [1, 0, 0, 0]), encoder: { id: 'other@9', sha256: 'cd' } }
    await driver.pipe(musicFeatures.record('foreign', foreign))
    await driver.pipe(uploadsReceived.record('foreign', upload('foreign', 'track')))
    assert.equal(driver.deadLetters(musicFeatures)[0]?.headers['dlq-code'], 'encoder-mismatch')
    assert.equal((await catalogue.upload('foreign'))?.failure?.code, 'encoder-mismatch')
    assert.equal((await catalogue.upload('foreign'))?.failure?.stage, 'embed-music')
  })

  test('an embedding of other dims than its release goes to the dead letters, and the index stays as it was', async () => {
    const name = { release: 'r3', kind: 'music' } as const
    await index.create(name, 4)
    const vector = Buffer.from(packFloats(Float32Array.of(1, 0)))
    const whole = { trackId: 'narrow', release: 'r3', dims: 2, vector, embeddedAt: NOW }
    const segments = { segments: 1, segmentVectors: vector, segmentSeconds: 10 }
    await driver.pipe(musicEmbedded.record('narrow/r3', { ...whole, ...segments }))
    assert.equal(driver.deadLetters(musicEmbedded)[0]?.headers['dlq-code'], 'dims-mismatch')
    assert.equal(await index.count(name), 0)
  })

  test('a soundtrack trains and is not recommended', async () => {
    await driver.pipe(uploadsReceived.record('clip', upload('clip', 'video')))
    await driver.pipe(musicFeatures.record('clip', music('clip', [1, 1, 0, 0], 'soundtrack')))
    await driver.pipe(musicTagged.record('clip', tagged('clip', 'soundtrack')))
    assert.deepEqual(await driver.records(tripletsMaterialized), [])
    await driver.pipe(videoFeatures.record('clip', video('clip', [0, 0, 1, 0])))
    const [triplet, ...more] = await driver.records(tripletsMaterialized)
    assert.equal(more.length, 0)
    assert.equal(triplet?.key, 'clip')
    assert.match(triplet!.value!.text, /folk/)
    assert.deepEqual([...triplet!.value!.video.values], [...packFloats(Float32Array.of(0, 0, 1, 0))])
    assert.equal((await index.vectors({ release: 'r1', kind: 'music' }, ['clip'])).size, 0)
    assert.equal(await catalogue.track('clip'), undefined)
    assert.equal((await catalogue.video('clip'))?.features?.segments, 1)
  })

  test('the three sides of a triplet join in every order', async () => {
    const sides = [
      () => driver.pipe(videoFeatures.record('any', video('any', [1, 0, 0, 0]))),
      () => driver.pipe(musicFeatures.record('any', music('any', [1, 0, 0, 0], 'soundtrack'))),
      () => driver.pipe(musicTagged.record('any', tagged('any', 'soundtrack'))),
    ]
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ]) {
      await state.remove('any')
      const before = (await driver.records(tripletsMaterialized)).length
      for (const side of order) await sides[side]!()
      assert.equal((await driver.records(tripletsMaterialized)).length, before + 1, `order ${order}`)
    }
  })

  test('a takedown empties index and catalogue, and leaves tombstones on the topics of embeddings and triplets', async () => {
    for (const id of ['stays', 'goes']) {
      await driver.pipe(uploadsReceived.record(id, upload(id, 'track')))
      await driver.pipe(musicTagged.record(id, tagged(id)))
      await driver.pipe(musicFeatures.record(id, music(id, [0, 0, 0, 1])))
    }
    await driver.pipe(uploadsRemoved.record('goes', { uploadId: 'goes', kind: 'track', reason: null, removedAt: NOW }))
    // The analysing stages answer a takedown with tombstones; they are not part of this topology.
    await driver.pipe(musicFeatures.record('goes', null))
    await driver.pipe(musicTagged.record('goes', null))
    const found = await index.vectors({ release: 'r1', kind: 'music' }, ['stays', 'goes'])
    assert.deepEqual([...found.keys()], ['stays'])
    assert.equal(await catalogue.track('goes'), undefined)
    assert.equal(await catalogue.upload('goes'), undefined)
    assert.ok((await driver.records(musicEmbedded)).some(({ key, value }) => key === 'goes/r1' && value === null))
    assert.ok((await driver.records(musicDescribed)).some(({ key, value }) => key === 'goes' && value === null))
  })
})
