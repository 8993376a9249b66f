import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { test } from 'node:test'
import { InvalidRecordError } from '../../../ports/errors.ts'
import { deadLetterRecord } from '../../../runtime/dead-letter.ts'
import { feedbackRecorded, recommendationsRequested, uploadsReceived, uploadsRemoved } from '../../../topics/topics.ts'
import { answerWith, form, MAX_UPLOAD_BYTES, NOW, openGateway, tagged, uploadReceived } from './harness.ts'

const host = { host: 'localhost' }
type Gateway = Awaited<ReturnType<typeof openGateway>>

async function post(app: Gateway['app'], url: string, payload: object | string, headers: Record<string, string> = {}) {
  const response = await app.inject({
    method: 'POST',
    url,
    headers: { ...host, 'content-type': 'application/json', ...headers },
    payload,
  })
  return { status: response.statusCode, body: response.json(), headers: response.headers }
}

async function get(app: Gateway['app'], url: string, headers: Record<string, string> = {}) {
  return app.inject({ url, headers: { ...host, ...headers } })
}

function part(field: string, value: string, filename?: string, type?: string): string {
  const name = filename === undefined ? '' : `; filename="${filename}"`
  const kind = type === undefined ? '' : `content-type: ${type}\r\n`
  return `--parts\r\ncontent-disposition: form-data; name="${field}"${name}\r\n${kind}\r\n${value}\r\n`
}

function multipart(parts: readonly string[]) {
  const headers = { ...host, 'content-type': 'multipart/form-data; boundary=parts' }
  return { headers, payload: `${parts.join('')}--parts--\r\n` }
}

/** A track and an analysed video in the catalogue. */
async function fill({ catalogue }: Gateway) {
  await catalogue.putTrack('t1', { upload: uploadReceived('t1', 'track', { title: 'One', artist: 'Someone' }) })
  await catalogue.putTrack('t1', { tagged: tagged('t1') })
  await catalogue.putTrack('t2', { upload: uploadReceived('t2', 'track', { title: 'Two' }) })
  await catalogue.recordStage({ id: 'v1', kind: 'video', title: 'A scene' }, 'analyse-video', NOW)
  await catalogue.putVideo('v1', {
    upload: uploadReceived('v1', 'video', { title: 'A scene' }),
    features: {
      encoderId: 'e',
      values: new Float32Array(4),
      segments: 2,
      dims: 2,
      segmentSeconds: 10,
      durationSeconds: 20,
    },
  })
}

const ranked = (trackId: string, score: number) => ({
  trackId,
  score,
  parts: { viml: score },
  highlight: null,
  why: [],
})

test('a video and words are answered with ranked tracks joined with the catalogue', async () => {
  const gateway = await openGateway()
  await fill(gateway)
  await answerWith(gateway, () => ({
    total: 28,
    results: [{ ...ranked('t1', 0.5), highlight: { startSeconds: 8, seconds: 10 }, why: ['folk'] }, ranked('t2', 0.25)],
    nextCursor: 'more',
  }))
  const { status, body } = await post(gateway.app, '/v1/recommendations', {
    video: 'v1',
    text: ' calm folk ',
    filters: { genre: 'folk' },
    limit: 2,
    explain: true,
  })
  assert.equal(status, 200)
  assert.equal(body.release, 'release-1')
  assert.equal(body.taxonomy, 'test-1')
  assert.equal(body.total, 28)
  assert.equal(body.nextCursor, 'more')
  assert.deepEqual(body.results[0], {
    rank: 1,
    score: 0.5,
    parts: { viml: 0.5 },
    highlight: { startSeconds: 8, seconds: 10 },
    why: ['folk'],
    track: {
      id: 't1',
      title: 'One',
      artist: 'Someone',
      licence: null,
      territories: [],
      explicit: false,
      durationSeconds: 32,
      tempo: { bpm: 92.5, confidence: body.results[0].track.tempo.confidence },
      key: { tonic: 'G', mode: 'major', confidence: body.results[0].track.key.confidence },
      loudnessLufs: -14,
      tags: [{ category: 'genre', tag: 'folk', confidence: body.results[0].track.tags[0].confidence }],
      description: null,
      mediaUrl: '/v1/tracks/t1/media',
    },
  })
  assert.equal(body.results[1].track.title, 'Two')
  assert.equal(body.results[1].track.tempo, null)
  const [produced] = await gateway.written(recommendationsRequested)
  assert.deepEqual(produced?.value, {
    requestId: body.requestId,
    videoId: 'v1',
    text: 'calm folk',
    excludeText: null,
    likeTrackId: null,
    weights: { text: 1, video: 1 },
    filters: [{ field: 'genre', anyOf: ['folk'], noneOf: [], min: null, max: null }],
    limit: 2,
    cursor: null,
    explain: true,
    requestedAt: NOW,
  })
})

test('a track that was taken down after it was ranked is left out of the answer', async () => {
  const gateway = await openGateway()
  await fill(gateway)
  await answerWith(gateway, () => ({ total: 2, results: [ranked('gone', 0.9), ranked('t1', 0.5)] }))
  const { body } = await post(gateway.app, '/v1/recommendations', { text: 'folk' })
  assert.deepEqual(
    body.results.map(({ track }: { track: { id: string } }) => track.id),
    ['t1'],
  )
})

for (const [what, payload, status, code] of [
  ['nothing asked', {}, 400, 'nothing-asked'],
  ['blank words', { text: '   ' }, 400, 'nothing-asked'],
  ['words over 1,000 characters', { text: 'x'.repeat(1001) }, 400, 'invalid-request'],
  ['an unknown filter', { text: 'x', filters: { gnere: 'rock' } }, 400, 'unknown-filter'],
  ['a filter of the wrong type', { text: 'x', filters: { bpm: 'fast' } }, 400, 'invalid-filter'],
  ['an unknown member', { text: 'x', colour: 'blue' }, 400, 'invalid-request'],
  ['a limit of 101', { text: 'x', limit: 101 }, 400, 'invalid-request'],
  ['a deadline over 30 s', { text: 'x', deadlineMs: 30_001 }, 400, 'invalid-request'],
  ['weights that are all zero', { text: 'x', weights: { text: 0, video: 0 } }, 400, 'invalid-request'],
  ['weights too small to be told from 0', { text: 'x', weights: { text: 1e-320, video: 0 } }, 400, 'invalid-request'],
  ['a video id with a path in it', { video: '../etc' }, 400, 'invalid-request'],
  ['an unknown video', { video: 'nowhere' }, 404, 'unknown-video'],
  ['a track as the video', { video: 't1' }, 404, 'unknown-video'],
  ['an unknown track to be near to', { likeTrack: 'nowhere' }, 404, 'unknown-track'],
  ['JSON that breaks off', '{"text": "x"', 400, 'invalid-json'],
  ['JSON that is empty', '', 400, 'invalid-json'],
  ['JSON with a poisoned prototype', '{"__proto__": {"a": 1}}', 400, 'invalid-json'],
] as const) {
  test(`a recommendation with ${what} is refused with ${code}`, async () => {
    const gateway = await openGateway()
    await fill(gateway)
    const { status: answered, body, headers } = await post(gateway.app, '/v1/recommendations', payload)
    assert.deepEqual([answered, body.code], [status, code])
    assert.match(String(headers['content-type']), /^application\/problem\+json/)
    assert.deepEqual([body.type, body.status, typeof body.title], ['about:blank', status, 'string'])
    assert.equal(body.instance, headers['x-request-id'])
    assert.deepEqual(await gateway.written(recommendationsRequested), [], 'nothing is produced for it')
  })
}

test('an unknown filter is named together with the known ones', async () => {
  const { app } = await openGateway()
  const { body } = await post(app, '/v1/recommendations', { text: 'x', filters: { gnere: 'rock' } })
  assert.equal(body.filter, 'gnere')
  assert.ok(body.known.includes('genre'))
  assert.match(body.detail, /gnere.*genre/)
})

test('a video that is still being analysed is a conflict that shows its stages; one that failed says why', async () => {
  const { app, catalogue } = await openGateway()
  await catalogue.recordStage({ id: 'v2', kind: 'video' }, 'received', NOW)
  const waiting = await post(app, '/v1/recommendations', { video: 'v2' })
  assert.deepEqual([waiting.status, waiting.body.code], [409, 'video-not-ready'])
  assert.deepEqual(waiting.body.upload.stages, { received: NOW })
  const failure = { stage: 'analyse-video', code: 'media-no-video', message: 'it has no pictures', at: NOW }
  await catalogue.recordFailure({ id: 'v2', kind: 'video' }, failure)
  const failed = await post(app, '/v1/recommendations', { video: 'v2' })
  assert.deepEqual([failed.status, failed.body.code], [422, 'video-failed'])
  assert.match(failed.body.detail, /no pictures/)
})

test('a request past its deadline is a 504', async () => {
  const { app } = await openGateway()
  const { status, body } = await post(app, '/v1/recommendations', { text: 'x', deadlineMs: 1 })
  assert.deepEqual([status, body.code], [504, 'deadline-exceeded'])
})

test('over the limit of requests in flight the answer is 503 with Retry-After', async () => {
  const { app } = await openGateway({ maxInFlight: 0 })
  const { status, body, headers } = await post(app, '/v1/recommendations', { text: 'x' })
  assert.deepEqual([status, body.code, headers['retry-after']], [503, 'overloaded', '1'])
})

test('a refusal by the answering stage keeps its code', async () => {
  const gateway = await openGateway()
  await answerWith(gateway, ({ text }) => ({ release: null, error: { code: text!, message: 'said the stage' } }))
  const cursor = await post(gateway.app, '/v1/recommendations', { text: 'bad-cursor' })
  assert.deepEqual([cursor.status, cursor.body.code, cursor.body.detail], [400, 'bad-cursor', 'said the stage'])
  const deep = await post(gateway.app, '/v1/recommendations', { text: 'bad-limit' })
  assert.deepEqual([deep.status, deep.body.code], [400, 'bad-limit'])
  const release = await post(gateway.app, '/v1/recommendations', { text: 'no-release' })
  assert.deepEqual([release.status, release.body.code], [503, 'no-release'])
})

test('a file in a form is taken in, and again as a duplicate', async () => {
  const { app, written } = await openGateway()
  const fields = { kind: 'track', artist: 'Someone', territories: 'de, fr', explicit: 'true', licence: 'CC0' }
  const request = form(fields, { name: 'My song.opus', content: Buffer.from('OggS…') })
  const first = await app.inject({ method: 'POST', url: '/v1/uploads', ...request })
  assert.equal(first.statusCode, 202)
  const { id, duplicate, stages } = first.json()
  assert.deepEqual([duplicate, stages], [false, { received: NOW }])
  assert.equal(first.headers.location, `/v1/uploads/${id}`)
  const again = await app.inject({ method: 'POST', url: '/v1/uploads', ...request })
  assert.deepEqual([again.statusCode, again.json().duplicate], [200, true])
  const [record, ...more] = await written(uploadsReceived)
  assert.equal(more.length, 0)
  assert.equal(record?.value.title, 'My song')
  assert.deepEqual(record?.value.rights, { licence: 'CC0', territories: ['DE', 'FR'], explicit: true })
  assert.equal((await get(app, `/v1/uploads/${id}`)).json().state, 'analysing')
  assert.equal((await get(app, '/v1/uploads')).json().items.length, 1)
})

const file = { name: 'a.mp3', content: Buffer.from('ID3') }
for (const [what, request, status, code] of [
  ['without a kind', form({}, file), 400, 'invalid-request'],
  ['of a kind that does not exist', form({ kind: 'image' }, file), 400, 'invalid-request'],
  ['with a field that does not exist', form({ kind: 'track', colour: 'blue' }, file), 400, 'invalid-request'],
  ['with a path as its id', form({ kind: 'track', id: '../x' }, file), 400, 'invalid-request'],
  ['without a file', form({ kind: 'track' }), 400, 'file-missing'],
  ['of an empty file', form({ kind: 'track' }, { ...file, content: Buffer.alloc(0) }), 422, 'media-empty'],
  [
    'of one byte too many',
    form({ kind: 'track' }, { ...file, content: Buffer.alloc(MAX_UPLOAD_BYTES + 1) }),
    413,
    'media-too-large',
  ],
] as const) {
  test(`an upload ${what} is refused with ${code}`, async () => {
    const { app, written } = await openGateway()
    const response = await app.inject({ method: 'POST', url: '/v1/uploads', ...request })
    assert.deepEqual([response.statusCode, response.json().code], [status, code], response.body)
    assert.deepEqual(await written(uploadsReceived), [])
  })
}

for (const [what, parts, status, code] of [
  [
    'with two files',
    [part('kind', 'track'), part('file', 'one', 'a.mp3'), part('file', 'two', 'b.mp3')],
    400,
    'form-order',
  ],
  ['with a field named __proto__', [part('__proto__', 'x'), part('kind', 'track')], 400, 'invalid-form'],
  ['with a field of broken JSON', [part('kind', '{"a":', undefined, 'application/json')], 400, 'invalid-form'],
  [
    'with 21 fields',
    [...Array.from({ length: 21 }, (_, i) => part(`f${i}`, 'x')), part('file', 'one', 'a.mp3')],
    400,
    'invalid-request',
  ],
] as const) {
  test(`a form ${what} is refused with ${code}, which the API documents`, async () => {
    const { app, written } = await openGateway()
    const response = await app.inject({ method: 'POST', url: '/v1/uploads', ...multipart(parts) })
    assert.deepEqual([response.statusCode, response.json().code], [status, code], response.body)
    assert.deepEqual(await written(uploadsReceived), [])
  })
}

test('a file without a name is taken, without a title', async () => {
  const { app } = await openGateway()
  const parts = [part('kind', 'track'), part('file', 'ID3…', undefined, 'application/octet-stream')]
  const response = await app.inject({ method: 'POST', url: '/v1/uploads', ...multipart(parts) })
  assert.deepEqual([response.statusCode, response.json().title], [202, null], response.body)
})

test('an upload whose id has all of 128 characters can be looked at and taken down', async () => {
  const { app } = await openGateway()
  const id = 'i'.repeat(128)
  const sent = await app.inject({ method: 'POST', url: '/v1/uploads', ...form({ kind: 'track', id }, file) })
  assert.equal(sent.statusCode, 202, sent.body)
  assert.equal((await get(app, `/v1/uploads/${id}`)).json().id, id)
  assert.equal((await app.inject({ method: 'DELETE', url: `/v1/uploads/${id}`, headers: host })).statusCode, 202)
  const longer = await get(app, `/v1/uploads/${id}i`)
  assert.deepEqual([longer.statusCode, longer.json().code], [400, 'invalid-request'])
})

test('an upload of exactly the limit is taken', async () => {
  const { app } = await openGateway()
  const request = form({ kind: 'track' }, { ...file, content: Buffer.alloc(MAX_UPLOAD_BYTES) })
  assert.equal((await app.inject({ method: 'POST', url: '/v1/uploads', ...request })).statusCode, 202)
})

test('a field after the file is refused instead of being lost', async () => {
  const { app, written } = await openGateway()
  const { headers, payload } = form({ kind: 'track' }, file)
  const end = '--cuestream-test-boundary--\r\n'
  const field =
    '--cuestream-test-boundary\r\ncontent-disposition: form-data; name="title"\r\n\r\nLate\r\n--cuestream-test-boundary--\r\n'
  const late = Buffer.concat([payload.subarray(0, payload.length - end.length), Buffer.from(field)])
  const response = await app.inject({ method: 'POST', url: '/v1/uploads', headers, payload: late })
  assert.deepEqual([response.statusCode, response.json().code], [400, 'form-order'])
  assert.deepEqual(await written(uploadsReceived), [])
})

test('a form that breaks off is refused and leaves no upload', async () => {
  const { app, written } = await openGateway()
  const { headers, payload } = form({ kind: 'track' }, { ...file, content: Buffer.alloc(1000, 'x') })
  const response = await app.inject({ method: 'POST', url: '/v1/uploads', headers, payload: payload.subarray(0, 500) })
  assert.deepEqual([response.statusCode, response.json().code], [400, 'invalid-form'], response.body)
  assert.deepEqual(await written(uploadsReceived), [])
})

test('an upload by URI is refused where no host is allowed', async () => {
  const { app } = await openGateway()
  const { status, body } = await post(app, '/v1/uploads', { kind: 'track', uri: 'https://example.com/a.mp3' })
  assert.deepEqual([status, body.code], [422, 'uri-not-allowed'])
})

test('a body of another type is refused with 415', async () => {
  const { app } = await openGateway()
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml']) {
    for (const url of ['/v1/uploads', '/v1/recommendations']) {
      const { status, body } = await post(app, url, 'kind=track', { 'content-type': type })
      assert.deepEqual([status, body.code], [415, 'unsupported-media-type'], `${type} to ${url}`)
    }
  }
  const nothing = await app.inject({ method: 'POST', url: '/v1/uploads', headers: host })
  assert.equal(nothing.statusCode, 415)
})

test('a JSON upload is validated however its content type is written', async () => {
  const { app } = await openGateway()
  for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON']) {
    const { status, body } = await post(app, '/v1/uploads', { kind: 'image' }, { 'content-type': type })
    assert.deepEqual([status, body.code], [400, 'invalid-request'], type)
  }
})

test('a takedown is accepted once the upload is known, and 404 before', async () => {
  const { app, catalogue, written } = await openGateway()
  const remove = () => app.inject({ method: 'DELETE', url: '/v1/uploads/t1?reason=withdrawn', headers: host })
  assert.equal((await remove()).json().code, 'unknown-upload')
  await catalogue.recordStage({ id: 't1', kind: 'track' }, 'received', NOW)
  assert.equal((await remove()).statusCode, 202)
  assert.equal((await written(uploadsRemoved))[0]?.value.reason, 'withdrawn')
})

test('a file over the limit is refused before it is sent, and the connection does not hang', async () => {
  const { app, written } = await openGateway()
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1')
  socket.write(
    `POST /v1/uploads HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: ${3 * 1024 ** 3}\r\n\r\n--b\r\n`,
  )
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk
    socket.write(Buffer.alloc(64 * 1024)) // goes on sending, as a client does that reads late
  })
  socket.on('error', () => {})
  await new Promise((resolve) => socket.on('close', resolve))
  assert.match(answer, /^HTTP\/1\.1 413 /)
  assert.match(answer, /"code":"media-too-large"/)
  assert.deepEqual(await written(uploadsReceived), [])
})

test('a file of unknown length is refused as soon as it crosses the limit', async () => {
  const { app } = await openGateway()
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const headers = { host: 'localhost', 'content-type': 'multipart/form-data; boundary=b' }
  const request = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/v1/uploads', headers })
  request.on('error', () => {})
  const response = new Promise<number | undefined>((resolve) => request.on('response', (r) => resolve(r.statusCode)))
  request.write('--b\r\ncontent-disposition: form-data; name="kind"\r\n\r\nvideo\r\n')
  request.write('--b\r\ncontent-disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n')
  request.write(Buffer.alloc(2 * MAX_UPLOAD_BYTES)) // and no end
  assert.equal(await response, 413)
  request.destroy()
})

test('a client that leaves during its upload leaves nothing behind', async () => {
  const { app, written, catalogue } = await openGateway()
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const settled = new Promise<void>((resolve) => {
    app.server.on('request', (_, response) => response.on('close', () => resolve()))
  })
  const socket = connect(port, '127.0.0.1')
  socket.write(
    'POST /v1/uploads HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 5000\r\n\r\n--b\r\ncontent-disposition: form-data; name="kind"\r\n\r\ntrack\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nhalf a file',
    () => socket.destroy(),
  )
  await settled
  await app.close()
  assert.deepEqual(await written(uploadsReceived), [])
  assert.equal((await catalogue.counts()).uploads, 0)
})

test('feedback on a known track is recorded with its request, release and rank', async () => {
  const gateway = await openGateway()
  await fill(gateway)
  const feedback = { requestId: 'r1', release: 'release-1', track: 't1', action: 'chosen', rank: 2 }
  assert.equal((await post(gateway.app, '/v1/feedback', { ...feedback, video: 'v1' })).status, 202)
  assert.equal((await post(gateway.app, '/v1/feedback', { ...feedback, track: 'none' })).body.code, 'unknown-track')
  assert.equal((await post(gateway.app, '/v1/feedback', { ...feedback, action: 'loved' })).body.code, 'invalid-request')
  const { track, ...rest } = feedback
  assert.deepEqual(await gateway.written(feedbackRecorded), [
    { key: 'v1', value: { ...rest, trackId: track, videoId: 'v1', recordedAt: NOW } },
  ])
})

test('the catalogue is listed page by page', async () => {
  const gateway = await openGateway()
  await fill(gateway)
  const first = (await get(gateway.app, '/v1/tracks?limit=1')).json()
  const second = (await get(gateway.app, `/v1/tracks?limit=1&after=${first.next}`)).json()
  assert.deepEqual([first.items[0].id, second.items[0].id, second.next], ['t1', 't2', null])
  assert.equal((await get(gateway.app, '/v1/tracks/none')).json().code, 'unknown-track')
  const videos = (await get(gateway.app, '/v1/videos')).json()
  assert.deepEqual(
    videos.items.map(({ id, state, title }: Record<string, string>) => [id, state, title]),
    [['v1', 'ready', 'A scene']],
  )
  assert.equal((await get(gateway.app, '/v1/tracks?limit=1000')).json().code, 'invalid-request')
})

test('another host name is refused on loopback, so DNS rebinding reaches nothing', async () => {
  const { app } = await openGateway()
  for (const name of ['localhost', 'localhost:8080', '127.0.0.1:8080', '[::1]:8080', 'LOCALHOST']) {
    assert.equal((await get(app, '/healthz', { host: name })).statusCode, 200, name)
  }
  for (const name of [
    'evil.example',
    'evil.example:8080',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'a:b:c',
  ]) {
    assert.equal((await get(app, '/healthz', { host: name })).json().code, 'unknown-host', name)
  }
})

test('bound elsewhere any host name is answered, unless some are named', async () => {
  const open = await openGateway({ bindHost: '0.0.0.0' })
  assert.equal((await get(open.app, '/healthz', { host: 'music.example' })).statusCode, 200)
  const named = await openGateway({ bindHost: '0.0.0.0', allowedHosts: ['music.example'] })
  assert.equal((await get(named.app, '/healthz', { host: 'music.example' })).statusCode, 200)
  assert.equal((await get(named.app, '/healthz', { host: 'other.example' })).statusCode, 403)
})

test("another site's page cannot change anything", async () => {
  const { app, written } = await openGateway()
  const { headers, payload } = form({ kind: 'track' }, file)
  for (const foreign of [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
  ]) {
    const sent = { ...headers, ...foreign } as Record<string, string>
    const response = await app.inject({ method: 'POST', url: '/v1/uploads', headers: sent, payload })
    assert.deepEqual([response.statusCode, response.json().code], [403, 'cross-site'], JSON.stringify(foreign))
    assert.equal(response.headers['access-control-allow-origin'], undefined)
  }
  assert.deepEqual(await written(uploadsReceived), [])
  const own = { ...headers, origin: 'http://localhost', 'sec-fetch-site': 'same-origin' }
  assert.equal((await app.inject({ method: 'POST', url: '/v1/uploads', headers: own, payload })).statusCode, 202)
})

test('every answer carries security headers and the request id that was given', async () => {
  const { app } = await openGateway()
  for (const url of ['/', '/healthz', '/nowhere', '/assets/app.js']) {
    const { headers } = await get(app, url, { 'x-request-id': 'mine-1' })
    assert.equal(headers['x-request-id'], 'mine-1', url)
    assert.equal(headers['x-content-type-options'], 'nosniff', url)
    assert.match(String(headers['content-security-policy']), /default-src 'none'/, url)
    assert.doesNotMatch(String(headers['content-security-policy']), /unsafe/, url)
  }
  assert.match(String((await get(app, '/healthz', { 'x-request-id': 'bad id\n' })).headers['x-request-id']), /^id-\d+$/)
})

test('a path that the router cannot read is a problem with security headers, and does not come back', async () => {
  const { app } = await openGateway()
  for (const url of ['/%', '/v1/uploads/%E0%A4%A', `/v1/tracks/${'a'.repeat(600)}`]) {
    const { statusCode, headers, body } = await get(app, url)
    assert.equal(statusCode, 400, url)
    assert.match(String(headers['content-type']), /^application\/problem\+json/, url)
    assert.match(String(headers['content-security-policy']), /default-src 'none'/, url)
    assert.deepEqual([JSON.parse(body).code, JSON.parse(body).instance], ['invalid-request', headers['x-request-id']])
    assert.doesNotMatch(body, /%|aaaa/, url)
  }
})

test('no position of a dead letter, and no place in a list, is an unexpected error', async () => {
  const { app } = await openGateway()
  const topic = uploadsReceived.name
  for (const [url, status, code] of [
    [`/v1/dead-letters/${topic}%2F0%2F9007199254740991`, 400, 'invalid-request'],
    [`/v1/dead-letters/${topic}%2F0%2F99999999999999`, 404, 'unknown-dead-letter'],
    [`/v1/dead-letters/${topic}%2F-1%2F0`, 400, 'invalid-request'],
    [`/v1/uploads?after=${encodeURIComponent('€'.repeat(512))}`, 400, 'invalid-request'],
  ] as const) {
    const response = await get(app, url)
    assert.deepEqual([response.statusCode, response.json().code], [status, code], `${url}: ${response.body}`)
  }
})

test('a video whose pictures and sound both failed has two open dead letters, and both are redriven', async () => {
  const { app, broker, catalogue, codec } = await openGateway()
  const value = await codec.encode(uploadsReceived, uploadReceived('broken', 'video'))
  const original = { topic: uploadsReceived.name, key: 'broken', value, partition: 0, offset: 0, headers: {} }
  for (const [at, stage] of ['analyse-video', 'analyse-music'].entries()) {
    const error = new InvalidRecordError('media-undecodable', 'It is no media file')
    await broker.produce([deadLetterRecord({ ...original, timestamp: NOW }, { stage, error, attempts: 1, at })])
    await catalogue.recordFailure({ id: 'broken', kind: 'video' }, { stage, code: error.code, message: 'x', at })
  }
  const { items } = (await get(app, '/v1/dead-letters')).json()
  assert.deepEqual(items.map(({ stage }: { stage: string }) => stage).sort(), ['analyse-music', 'analyse-video'])
  const redriven = await post(app, '/v1/dead-letters/redrive', { all: true })
  assert.deepEqual([redriven.status, redriven.body], [202, { redriven: 2, superseded: 0, incomplete: 0 }])
})

test('paths that leave the page folder answer 404', async () => {
  const { app } = await openGateway()
  for (const url of [
    '/assets/../package.json',
    '/assets/%2e%2e/package.json',
    '/assets/..%2fpackage.json',
    '/assets/',
  ]) {
    const { statusCode, body } = await get(app, url)
    assert.ok(statusCode === 404 || statusCode === 403, `${url}: ${statusCode}`)
    assert.doesNotMatch(body, /"dependencies"/)
  }
})

test('health, readiness, metrics and the pipeline are answered', async () => {
  const gateway = await openGateway()
  await fill(gateway)
  assert.deepEqual((await get(gateway.app, '/healthz')).json(), { status: 'ok' })
  assert.deepEqual((await get(gateway.app, '/readyz')).json(), { ready: true, checks: { broker: 'ok' } })
  const pipeline = (await get(gateway.app, '/v1/pipeline')).json()
  assert.deepEqual([pipeline.release, pipeline.counts.tracks, pipeline.limits.uploadBytes], [null, 2, MAX_UPLOAD_BYTES])
  const metrics = await get(gateway.app, '/metrics')
  assert.match(metrics.body, /cuestream_http_request_seconds_count\{method="GET",route="\/healthz",status="200"\} 1/)
  assert.match(metrics.body, /cuestream_recommendations_in_flight 0/)
})

test('the OpenAPI 3.1 document describes every route of /v1 with its answers, problems and bodies', async () => {
  const { app } = await openGateway()
  const document = (await get(app, '/openapi.json')).json()
  assert.equal(document.openapi, '3.1.0')
  assert.deepEqual(Object.keys(document.paths).sort(), [
    '/healthz',
    '/readyz',
    '/v1/dead-letters',
    '/v1/dead-letters/redrive',
    '/v1/dead-letters/{position}',
    '/v1/feedback',
    '/v1/pipeline',
    '/v1/recommendations',
    '/v1/tracks',
    '/v1/tracks/{id}',
    '/v1/tracks/{id}/media',
    '/v1/uploads',
    '/v1/uploads/{id}',
    '/v1/videos',
    '/v1/videos/{id}',
    '/v1/videos/{id}/media',
  ])
  const { requestBody, responses } = document.paths['/v1/uploads'].post
  assert.deepEqual(Object.keys(requestBody.content).sort(), ['application/json', 'multipart/form-data'])
  assert.deepEqual(requestBody.content['multipart/form-data'].schema.required.sort(), ['file', 'kind'])
  assert.ok(responses[413].content['application/problem+json'])
  const answers = (path: string, method: string) => Object.keys(document.paths[path][method].responses)
  assert.deepEqual(answers('/v1/tracks/{id}/media', 'get'), ['200', '206', '304', '400', '403', '404', '416', '500'])
  assert.deepEqual(answers('/v1/dead-letters/{position}', 'get'), ['200', '400', '403', '404', '500'])
  const query = document.paths['/v1/recommendations'].post.requestBody.content['application/json'].schema
  assert.deepEqual(Object.keys(query.properties.filters.properties).sort(), [
    'bpm',
    'durationSeconds',
    'explicit',
    'genre',
    'instrument',
    'key',
    'licence',
    'mode',
    'mood',
    'territory',
    'vocals',
  ])
})

test('an unexpected error tells the caller nothing but where the log has it', async () => {
  const { app, catalogue } = await openGateway()
  catalogue.counts = async () => {
    throw new Error('password=hunter2')
  }
  const response = await get(app, '/v1/pipeline')
  assert.deepEqual([response.statusCode, response.json().code], [500, 'internal'])
  assert.doesNotMatch(response.body, /hunter2/)
})

test('a request in flight when the gateway closes still gets its answer', async () => {
  const gateway = await openGateway({ drainMs: 30_000 })
  let release = () => {}
  const arrived = new Promise<void>((received) => {
    void answerWith(gateway, async () => {
      received()
      await new Promise<void>((resolve) => {
        release = resolve
      })
      return { total: 7 }
    })
  })
  await gateway.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = gateway.app.server.address() as AddressInfo
  const headers = { 'content-type': 'application/json', connection: 'close' }
  const body = '{"text":"folk"}'
  const answer = fetch(`http://127.0.0.1:${port}/v1/recommendations`, { method: 'POST', headers, body })
  await arrived
  const closed = gateway.app.close()
  release()
  assert.equal(((await (await answer).json()) as { total: number }).total, 7)
  await closed
})
