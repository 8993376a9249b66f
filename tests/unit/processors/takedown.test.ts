/** A takedown that meets its upload's records on their way: before the analysis, amid it, and before a second upload. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { openVectorIndex } from '../../../adapters/embedded/vector-index.ts'
import { packFloats } from '../../../model/features.ts'
import type { Catalogue } from '../../../ports/catalogue.ts'
import { InvalidRecordError } from '../../../ports/errors.ts'
import type { MediaDecoder, MediaStore } from '../../../ports/media.ts'
import type { VectorIndex } from '../../../ports/vector-index.ts'
import { analyseMusic } from '../../../processors/analyse-music/analyse-music.ts'
import { analyseVideo } from '../../../processors/analyse-video/analyse-video.ts'
import { indexEmbeddings } from '../../../processors/index-embeddings/index-embeddings.ts'
import { deadLetterRecord } from '../../../runtime/dead-letter.ts'
import { wire } from '../../../runtime/define-processor.ts'
import { createTestDriver, type TestDriver } from '../../../runtime/test-driver.ts'
import type { MusicTagged, UploadReceived } from '../../../schemas/types.ts'
import { musicEmbedded, musicTagged, uploadsReceived, uploadsRemoved, videoFeatures } from '../../../topics/topics.ts'
import { receiptStamp, takedownStamp } from '../../../topics/upload-stamp.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const RECEIVED = 1_700_000_000_000
const REMOVED = RECEIVED + 1_000
const encoder = { id: 'test-encoder@1', sha256: 'ab' }

const received = (uploadId: string, kind: 'track' | 'video', receivedAt = RECEIVED) =>
  uploadsReceived.record(uploadId, {
    uploadId,
    kind,
    media: { uri: `media:${uploadId}`, sha256: uploadId, bytes: 1 },
    title: `Received at ${receivedAt}`,
    artist: null,
    owner: null,
    rights: { licence: 'MIT', territories: [], explicit: true },
    receivedAt,
  } satisfies UploadReceived)

const removed = (uploadId: string, kind: 'track' | 'video') =>
  uploadsRemoved.record(uploadId, { uploadId, kind, reason: null, removedAt: REMOVED })

/** Of what the gateway writes, the part that the stages go by. */
const ended = (uploadId: string, kind: 'track' | 'video') =>
  uploadsReceived.record(uploadId, null, {
    headers: takedownStamp({ kind, receivedAt: RECEIVED, removedAt: REMOVED }),
  })

const stamped = { headers: receiptStamp(RECEIVED) }

const tagged = (trackId: string) =>
  musicTagged.record(
    trackId,
    {
      trackId,
      source: 'track',
      tags: [],
      segments: [],
      tempo: { bpm: 120, confidence: 1 },
      key: { tonic: 'C', mode: 'major', confidence: 1 },
      loudnessLufs: -14,
      durationSeconds: 30,
      tagger: encoder,
      taggedAt: REMOVED + 500,
      thresholds: null,
    } satisfies MusicTagged,
    stamped,
  )

const embedded = (trackId: string) =>
  musicEmbedded.record(
    `${trackId}/r1`,
    {
      trackId,
      release: 'r1',
      dims: 2,
      vector: Buffer.from(packFloats(Float32Array.of(1, 0))),
      segments: 0,
      segmentVectors: Buffer.alloc(0),
      segmentSeconds: 10,
      embeddedAt: REMOVED + 600,
    },
    stamped,
  )

describe('a takedown', () => {
  const folder = temporaryFolder()
  let [index, catalogue] = [] as unknown as [VectorIndex, Catalogue]
  let driver: TestDriver
  let decoded: string[]

  before(async () => {
    index = await openVectorIndex({ folder: join(folder, 'index') })
    catalogue = openCatalogue({ folder: join(folder, 'catalogue') })
  })
  after(() => Promise.all([index.close(), catalogue.close()]))
  beforeEach(() => {
    decoded = []
    const mediaStore = { path: async (uri: string) => uri } as unknown as MediaStore
    const decoder = {
      probe: async (path: string) => {
        decoded.push(path)
        return {}
      },
      frames: async function* (path: string) {
        decoded.push(path)
        yield { pixels: new Uint8Array(224 * 224 * 3), count: 1 }
      },
      samples: () => {
        throw new InvalidRecordError('media-undecodable', 'No sound comes of it')
      },
    } as unknown as MediaDecoder
    const imageEncoder = { ...encoder, dims: 2, encode: async () => Float32Array.of(1, 0) } as never
    const parts = { mediaStore, decoder, now: () => REMOVED + 1, takenDownAt: catalogue.takenDownAt.bind(catalogue) }
    driver = createTestDriver([
      wire(analyseVideo, { ...parts, imageEncoder }),
      wire(analyseMusic, {
        ...parts,
        musicEncoder: { dims: 2, patchSamples: 16_000, labels: [] } as never,
        hearing: {} as never,
      }),
      wire(indexEmbeddings, { index, catalogue, now: parts.now }),
    ])
  })

  test('that overtakes its upload in the queue stops the analysis; the upload does not come back', async () => {
    await catalogue.recordTakedown('overtaken', REMOVED) // as the gateway does
    await driver.pipe(removed('overtaken', 'video'))
    await driver.pipe(received('overtaken', 'video'))
    await driver.pipe(ended('overtaken', 'video'))
    assert.deepEqual(decoded, [])
    assert.deepEqual(
      (await driver.records(videoFeatures)).filter(({ value }) => value !== null),
      [],
    )
    assert.equal(await catalogue.video('overtaken'), undefined)
    assert.equal(await catalogue.upload('overtaken'), undefined)
  })

  test('amid the analysis leaves nothing, whatever the order in which the late records arrive', async () => {
    await driver.pipe(received('late', 'track'))
    await driver.pipe(removed('late', 'track'))
    await driver.pipe(tagged('late'))
    await driver.pipe(musicTagged.record('late', null))
    await driver.pipe(embedded('late'))
    await driver.pipe(musicEmbedded.record('late/r1', null))
    assert.equal(await catalogue.track('late'), undefined)
    assert.equal(await catalogue.upload('late'), undefined, 'a stage that was done late must not bring the upload back')
    await index.create({ release: 'r1', kind: 'music' }, 2)
    assert.equal((await index.vectors({ release: 'r1', kind: 'music' }, ['late'])).size, 0)
  })

  test('takes its way through the stages behind the upload, and what the upload was ends with it', async () => {
    await driver.pipe(received('behind', 'video'))
    await driver.pipe(ended('behind', 'video'))
    const [features, tombstone, ...others] = await driver.records(videoFeatures)
    assert.deepEqual(features!.headers, receiptStamp(RECEIVED))
    assert.equal(tombstone!.value, null)
    assert.deepEqual(tombstone!.headers, takedownStamp({ kind: 'video', receivedAt: RECEIVED, removedAt: REMOVED }))
    assert.deepEqual(others, [])
    assert.equal(await catalogue.video('behind'), undefined, 'before uploads.removed.v1 was read')
    assert.equal(await catalogue.takenDownAt('behind'), REMOVED)
  })

  test('leaves what the gateway noted of a second upload, and nothing of the first', async () => {
    await driver.pipe(received('noted', 'track'))
    await driver.pipe(tagged('noted'))
    await driver.pipe(embedded('noted'))
    const again = received('noted', 'track', REMOVED + 2).value!
    await catalogue.recordTakedown('noted', REMOVED)
    await catalogue.putTrack('noted', { upload: again })
    await catalogue.recordStage({ id: 'noted', kind: 'track' }, 'received', again.receivedAt)
    await driver.pipe(removed('noted', 'track'))
    const status = { received: again.receivedAt }
    assert.deepEqual((await catalogue.upload('noted'))?.stages, status, 'the takedown comes before the upload')
    assert.deepEqual(await catalogue.track('noted'), { id: 'noted', upload: again })
    assert.equal((await index.vectors({ release: 'r1', kind: 'music' }, ['noted'])).size, 0)
    await driver.pipe(ended('noted', 'track'))
    await driver.pipe(received('noted', 'track', REMOVED + 2))
    assert.deepEqual((await catalogue.upload('noted'))?.stages, status)
    assert.deepEqual(await catalogue.track('noted'), { id: 'noted', upload: again })
    await catalogue.removeUpload('noted') // its analysis fails here
  })

  test('of a track leaves no tombstone among the videos', async () => {
    await driver.pipe(ended('song', 'track'))
    assert.deepEqual(await driver.records(videoFeatures), [])
    assert.equal((await driver.records(musicTagged)).length, 1)
  })

  test('of an upload whose dead letter comes late leaves no failure that nobody can settle', async () => {
    await driver.pipe(received('failing', 'track'))
    await driver.pipe(removed('failing', 'track'))
    const bytes = await driver.codec.encode(uploadsReceived, received('failing', 'track').value!)
    const original = { topic: uploadsReceived.name, key: 'failing', value: bytes, partition: 0 }
    const cause = { stage: 'analyse-music', error: new InvalidRecordError('x', 'x'), attempts: 1, at: REMOVED + 9 }
    await driver.pipeRaw(deadLetterRecord({ ...original, offset: 0, headers: {}, timestamp: RECEIVED }, cause))
    assert.equal((await catalogue.counts()).failed, 0)
  })

  test('whose tombstones come after a second upload of the id leaves the title and rights of that', async () => {
    await driver.pipe(received('again', 'track'))
    await driver.pipe(removed('again', 'track'))
    await driver.pipe(received('again', 'track', REMOVED + 2))
    await driver.pipe(tagged('again'))
    await driver.pipe(musicTagged.record('again', null))
    assert.equal((await catalogue.track('again'))?.upload?.title, `Received at ${REMOVED + 2}`)
    assert.deepEqual(Object.keys((await catalogue.upload('again'))!.stages).includes('received'), true)
  })

  test('that is read again after a second upload of the id takes nothing of that away', async () => {
    await driver.pipe(received('twice', 'video'))
    await driver.pipe(removed('twice', 'video'))
    await driver.pipe(received('twice', 'video', REMOVED + 2))
    assert.equal((await catalogue.video('twice'))?.features?.segments, 1)
    await driver.pipe(removed('twice', 'video'))
    assert.equal((await catalogue.video('twice'))?.upload?.receivedAt, REMOVED + 2)
  })
})
