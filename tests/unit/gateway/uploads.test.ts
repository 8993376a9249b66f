import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createUploads, type NewUpload } from '../../../gateway/uploads.ts'
import { uploadsReceived, uploadsRemoved } from '../../../topics/topics.ts'
import { NOW, openPorts } from './harness.ts'

async function* bytes(text: string) {
  yield Buffer.from(text)
}

function track(text: string, about: Partial<NewUpload> = {}): NewUpload {
  return { kind: 'track', source: { content: bytes(text) }, ...about }
}

async function openUploads() {
  const ports = await openPorts()
  /** Records that were ever put on the topic of received uploads, which keeps the latest of each id. */
  const received = async () => {
    const ends = await ports.broker.lag('counting', [uploadsReceived.name])
    return ends.reduce((sum, { endOffset }) => sum + endOffset, 0)
  }
  return { ...ports, received, uploads: createUploads({ ...ports, now: () => NOW }) }
}

test('an upload is stored, announced and then visible with its first stage', async () => {
  const { uploads, catalogue, mediaStore, written } = await openUploads()
  const { id, media, duplicate } = await uploads.submit(
    track('song', { title: 'A song', artist: 'Someone', rights: { explicit: true } }),
  )
  assert.equal(duplicate, false)
  assert.match(id, /^trk_[0-9a-f]{26}$/)
  assert.equal(await mediaStore.size(media.uri), 4)
  const [record] = await written(uploadsReceived)
  assert.deepEqual(record, {
    key: id,
    value: {
      uploadId: id,
      kind: 'track',
      media,
      title: 'A song',
      artist: 'Someone',
      owner: null,
      rights: { licence: null, territories: [], explicit: true },
      receivedAt: NOW,
    },
  })
  assert.deepEqual((await catalogue.upload(id))?.stages, { received: NOW })
})

test('50 uploads of the same file at once are one upload', async () => {
  const { uploads, received } = await openUploads()
  const submitted = await Promise.all(Array.from({ length: 50 }, () => uploads.submit(track('same'))))
  assert.equal(new Set(submitted.map(({ id }) => id)).size, 1)
  assert.equal(submitted.filter(({ duplicate }) => !duplicate).length, 1)
  assert.equal(await received(), 1)
})

test('the same content as a track and as a video is two uploads', async () => {
  const { uploads } = await openUploads()
  const one = await uploads.submit(track('same'))
  const other = await uploads.submit({ ...track('same'), kind: 'video' })
  assert.match(other.id, /^vid_/)
  assert.equal(other.duplicate, false)
  assert.equal(one.media.sha256, other.media.sha256)
})

test('an id keeps its content: other content or another kind is a conflict', async () => {
  const { uploads, received } = await openUploads()
  await uploads.submit(track('one', { id: 'mine' }))
  assert.equal((await uploads.submit(track('one', { id: 'mine' }))).duplicate, true)
  await assert.rejects(uploads.submit(track('two', { id: 'mine' })), { code: 'id-conflict', status: 409 })
  await assert.rejects(uploads.submit({ ...track('one', { id: 'mine' }), kind: 'video' }), { code: 'id-conflict' })
  assert.equal(await received(), 1)
})

test('of two contents sent under one id at once, exactly one is taken', async () => {
  const { uploads } = await openUploads()
  const outcomes = await Promise.allSettled(['one', 'two'].map((text) => uploads.submit(track(text, { id: 'mine' }))))
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
})

test('a crash between the record and the catalogue is completed by submitting again', async () => {
  const { uploads, catalogue, received } = await openUploads()
  const putTrack = catalogue.putTrack.bind(catalogue)
  catalogue.putTrack = async () => {
    throw new Error('killed')
  }
  await assert.rejects(uploads.submit(track('song')), /killed/)
  catalogue.putTrack = putTrack
  const { id, duplicate } = await uploads.submit(track('song'))
  assert.equal(duplicate, false)
  assert.equal(await received(), 2, 'the record is repeated; stages are idempotent')
  assert.deepEqual((await catalogue.upload(id))?.stages, { received: NOW })
})

test('a failed submission does not block the next one of the same id', async () => {
  const { uploads } = await openUploads()
  const { media } = await uploads.submit(track('one', { id: 'mine' }))
  const other = { ...media, sha256: 'f'.repeat(64) }
  const outcomes = await Promise.allSettled(
    [other, media].map((stored) => uploads.submit(track('', { id: 'mine', source: { media: stored } }))),
  )
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['rejected', 'fulfilled'],
  )
})

for (const id of ['', '..', '../x', 'a/b', '.hidden', 'a b', 'ä', 'x'.repeat(129)]) {
  test(`the id ${JSON.stringify(id.slice(0, 12))} is refused before anything is stored`, async () => {
    const { uploads } = await openUploads()
    let read = false
    const content = (async function* () {
      read = true
      yield Buffer.from('x')
    })()
    await assert.rejects(uploads.submit({ kind: 'track', id, source: { content } }), { code: 'id-invalid' })
    assert.equal(read, false)
  })
}

test('a URI is refused where no host is allowed', async () => {
  const { uploads } = await openUploads()
  const source = { uri: 'https://example.com/a.mp3' }
  await assert.rejects(uploads.submit({ kind: 'track', source }), { code: 'uri-not-allowed', status: 422 })
})

test('an upload that was taken down and comes again is received anew, later than the takedown by its time', async () => {
  const { uploads, catalogue, written } = await openUploads()
  const { id } = await uploads.submit(track('song'))
  await uploads.remove(id)
  assert.equal(await catalogue.takenDownAt(id), NOW)
  assert.equal((await uploads.submit(track('song'))).duplicate, false, 'the takedown is still on its way')
  assert.equal((await uploads.submit(track('song'))).duplicate, true)
  assert.deepEqual(
    (await written(uploadsReceived)).map(({ value }) => value.receivedAt),
    [NOW + 2],
  )
  await uploads.remove(id)
  assert.equal(await catalogue.takenDownAt(id), NOW + 2, 'a clock that stands still must not date it before the upload')
})

test('a takedown leaves nothing on the topic of received uploads but a tombstone that says what it ends', async () => {
  const { uploads, broker } = await openUploads()
  const { id } = await uploads.submit(track('song'))
  await uploads.remove(id)
  const partitions = Array.from({ length: uploadsReceived.partitions }, (_, partition) => partition)
  const records = await Promise.all(partitions.map((partition) => broker.read(uploadsReceived.name, partition, 0, 9)))
  const [tombstone, ...others] = records.flat()
  assert.deepEqual(others, [])
  assert.equal(tombstone!.value, null)
  const headers = { 'upload-kind': 'track', 'upload-received-at': `${NOW}`, 'upload-removed-at': `${NOW}` }
  assert.deepEqual(tombstone!.headers, headers)
})

test('a takedown is announced with its reason; of an unknown upload it is refused', async () => {
  const { uploads, written } = await openUploads()
  const { id } = await uploads.submit(track('song'))
  await uploads.remove(id, 'rights withdrawn')
  assert.deepEqual(await written(uploadsRemoved), [
    { key: id, value: { uploadId: id, kind: 'track', reason: 'rights withdrawn', removedAt: NOW } },
  ])
  await assert.rejects(uploads.remove('nothing'), { code: 'unknown-upload', status: 404 })
})
