import assert from 'node:assert/strict'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { contentTypeOf } from '../../../gateway/media-response.ts'
import { openGateway, uploadReceived } from './harness.ts'

const latin1 = (text: string) => Buffer.from(text, 'latin1')

for (const [what, head, kind, type] of [
  ['an mp4 video', latin1('\0\0\0\x20ftypisom'), 'video', 'video/mp4'],
  ['an m4a track', latin1('\0\0\0\x20ftypM4A '), 'track', 'audio/mp4'],
  ['a QuickTime video', latin1('\0\0\0\x14ftypqt  '), 'video', 'video/quicktime'],
  ['a WebM video', latin1('\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm'), 'video', 'video/webm'],
  ['a Matroska video', latin1('\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska'), 'video', 'video/x-matroska'],
  ['an Opus track', latin1('OggS\0\x02'), 'track', 'audio/ogg'],
  ['a wave file', latin1('RIFF\0\0\0\0WAVEfmt '), 'track', 'audio/wav'],
  ['an mp3 with tags', latin1('ID3\x04'), 'track', 'audio/mpeg'],
  ['a bare mp3', latin1('\xff\xfb\x90\x00'), 'track', 'audio/mpeg'],
  ['an ADTS stream', latin1('\xff\xf1\x50\x80'), 'track', 'audio/aac'],
  ['a FLAC track', latin1('fLaC\0'), 'track', 'audio/flac'],
  ['a web page', latin1('<!doctype html><script>'), 'video', 'application/octet-stream'],
  ['an SVG', latin1('<svg xmlns="http://www.w3.org/2000/svg">'), 'track', 'application/octet-stream'],
  ['nothing', latin1(''), 'track', 'application/octet-stream'],
] as const) {
  test(`${what} is answered as ${type}`, () => assert.equal(contentTypeOf(head, kind), type))
}

/** A gateway with one track whose file is 'OggS' and then digits, 1,000 bytes. */
async function openWithTrack() {
  const gateway = await openGateway()
  const content = `OggS${'0123456789'.repeat(100)}`.slice(0, 1000)
  const media = await gateway.mediaStore.put(
    (async function* () {
      yield Buffer.from(content)
    })(),
  )
  await gateway.catalogue.putTrack('t1', { upload: uploadReceived('t1', 'track', { media }) })
  const get = (headers: Record<string, string> = {}, method: 'GET' | 'HEAD' = 'GET') =>
    gateway.app.inject({ method, url: '/v1/tracks/t1/media', headers: { host: 'localhost', ...headers } })
  return { ...gateway, content, media, get }
}

test('a whole file is answered in a sandbox of its own, with its length and ranges offered', async () => {
  const { content, get } = await openWithTrack()
  const { statusCode, body, headers } = await get()
  assert.equal(statusCode, 200)
  assert.equal(body, content)
  assert.equal(headers['content-type'], 'audio/ogg')
  assert.equal(headers['content-length'], '1000')
  assert.equal(headers['accept-ranges'], 'bytes')
  assert.equal(headers['content-security-policy'], "default-src 'none'; sandbox")
  assert.equal(headers['x-content-type-options'], 'nosniff')
})

for (const [range, from, to] of [
  ['bytes=0-9', 0, 10],
  ['bytes=990-', 990, 1000],
  ['bytes=-5', 995, 1000],
  ['bytes=-5000', 0, 1000],
  ['bytes=100-999999', 100, 1000],
] as const) {
  test(`${range} is answered with 206 and just those bytes`, async () => {
    const { content, get } = await openWithTrack()
    const { statusCode, body, headers } = await get({ range })
    assert.equal(statusCode, 206)
    assert.equal(body, content.slice(from, to))
    assert.equal(headers['content-range'], `bytes ${from}-${to - 1}/1000`)
    assert.equal(headers['content-type'], 'audio/ogg')
  })
}

test('a range outside the file is 416 with its length', async () => {
  const { get } = await openWithTrack()
  const { statusCode, headers, json } = await get({ range: 'bytes=1000-' })
  assert.equal(statusCode, 416)
  assert.equal(headers['content-range'], 'bytes */1000')
  assert.equal(json().code, 'range-not-satisfiable')
})

for (const range of ['bytes=9-0', 'bytes=0-1,5-6', 'bytes=-', 'bytes=a-b', 'lines=0-1']) {
  test(`${range} is as if no range had been asked`, async () => {
    const { get } = await openWithTrack()
    const { statusCode, headers } = await get({ range })
    assert.deepEqual([statusCode, headers['content-length']], [200, '1000'])
  })
}

test('If-Range gives the range while the file is the same, and the whole file when it is not', async () => {
  const { get } = await openWithTrack()
  const { etag } = (await get()).headers
  assert.equal((await get({ range: 'bytes=0-9', 'if-range': String(etag) })).statusCode, 206)
  assert.equal((await get({ range: 'bytes=0-9', 'if-range': '"other"' })).statusCode, 200)
  assert.equal((await get({ 'if-none-match': String(etag) })).statusCode, 304)
})

test('HEAD tells the length and sends no bytes', async () => {
  const { get } = await openWithTrack()
  const { statusCode, body, headers } = await get({}, 'HEAD')
  assert.deepEqual([statusCode, body, headers['content-length']], [200, '', '1000'])
})

test('a file that is gone from the store is a 404', async () => {
  const { get, mediaStore, media } = await openWithTrack()
  await mediaStore.remove(media.uri)
  const response = await get()
  assert.deepEqual([response.statusCode, response.json().code], [404, 'media-missing'])
})

test('a player that has paused, and reads no further, does not hold up the closing of the gateway', async () => {
  const bytes = 32 * 1024 * 1024 // more than sockets buffer
  const { app, catalogue, mediaStore } = await openGateway({ maxUploadBytes: bytes })
  const media = await mediaStore.put(Readable.from([Buffer.alloc(bytes)]))
  await catalogue.putVideo('v1', { upload: uploadReceived('v1', 'video', { media }) })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.write('GET /v1/videos/v1/media HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await new Promise((resolve) => socket.once('data', resolve))
  socket.pause()
  await app.close()
  socket.resume()
  await closed
})
