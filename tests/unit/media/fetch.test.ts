import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { type Address, type MediaFetcherOptions, mediaFetcher } from '../../../adapters/media/fetch.ts'
import { openFileMediaStore } from '../../../adapters/media/file-media-store.ts'
import { isPublicAddress } from '../../../adapters/media/public-address.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const scratch = temporaryFolder()
const loopback: Address = { address: '127.0.0.1', family: 4 }

const requests: string[] = []
let answer: (request: IncomingMessage, response: ServerResponse) => void = () => {}
const server = createServer((request, response) => {
  requests.push(`${request.headers.host} ${request.url}`)
  answer(request, response)
})
let port = 0
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
after(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => {
  requests.length = 0
  answer = (_request, response) => response.end('a song')
})

/** Names resolve to the local server; `media.test` is allowed. */
async function fetcher(overrides: Partial<MediaFetcherOptions> = {}) {
  const folder = mkdtempSync(join(scratch, 'store-'))
  const store = await openFileMediaStore({ folder, maxBytes: 1000 })
  const options: MediaFetcherOptions = {
    store,
    allowedHosts: [`media.test:${port}`],
    allowHttp: true,
    allowPrivateNetworks: true,
    resolve: async () => [loopback],
    ...overrides,
  }
  return { fetch: mediaFetcher(options).fetch, store, left: () => readdirSync(join(folder, 'incoming')) }
}

const uri = (path = '/a.mp3', host = 'media.test') => `http://${host}:${port}${path}`

test('a medium of an allowed host is stored', async () => {
  const { fetch, store } = await fetcher()
  const stored = await fetch(uri())
  assert.equal(readFileSync(await store.path(stored.uri), 'utf8'), 'a song')
  assert.deepEqual(requests, [`media.test:${port} /a.mp3`])
})

test('with no host allowed, fetching is off and says so', async () => {
  const { fetch } = await fetcher({ allowedHosts: [] })
  await assert.rejects(fetch(uri()), { name: 'InvalidRequestError', code: 'fetch-off' })
  assert.deepEqual(requests, [])
})

test('hosts, schemes, ports and credentials that are not allowed are refused before any request', async () => {
  const { fetch } = await fetcher({ allowedHosts: [`media.test:${port}`, '*.cdn.test'] })
  const refused = [
    uri('/a', 'other.test'),
    uri('/a', 'media.test.evil.test'),
    uri('/a', 'evil-media.test'),
    'http://media.test/a',
    `http://user:secret@media.test:${port}/a`,
    `http://media.test:${port}@evil.test/a`,
    'https://cdn.test/a',
    'https://evilcdn.test/a',
    'file:///etc/passwd',
    `ftp://media.test:${port}/a`,
    'data:audio/mp3;base64,AAAA',
    'gopher://media.test/',
    '/etc/passwd',
    '',
    `http://127.0.0.1:${port}/a`,
    `http://[::1]:${port}/a`,
  ]
  for (const each of refused) await assert.rejects(fetch(each), { code: 'uri-not-allowed' }, each)
  assert.deepEqual(requests, [])
})

test('http is refused unless the operator allows it', async () => {
  const { fetch } = await fetcher({ allowHttp: false })
  await assert.rejects(fetch(uri()), { code: 'uri-not-allowed', message: /https/ })
})

test('an allowed name that resolves to a private address is refused before any request', async () => {
  for (const address of ['127.0.0.1', '10.1.2.3', '169.254.169.254', '::1', '::ffff:127.0.0.1', 'fd00::1']) {
    const family = address.includes(':') ? 6 : 4
    // One private answer among public ones is enough.
    const resolve = async (): Promise<Address[]> => [
      { address: '93.184.216.34', family: 4 },
      { address, family },
    ]
    const { fetch } = await fetcher({ allowPrivateNetworks: false, resolve })
    await assert.rejects(fetch(uri()), { code: 'uri-not-allowed', message: /private/ }, address)
  }
  const literal = await fetcher({ allowPrivateNetworks: false, allowedHosts: [`127.0.0.1:${port}`] })
  await assert.rejects(literal.fetch(uri('/a', '127.0.0.1')), { code: 'uri-not-allowed' })
  await assert.rejects(literal.fetch(uri('/a', '2130706433')), { code: 'uri-not-allowed' }) // 127.0.0.1 as one number
  assert.deepEqual(requests, [])
})

test('the connection goes to the address that was checked, though the name resolves elsewhere by then', async () => {
  const answers: Address[][] = [[loopback], [{ address: '192.0.2.1', family: 4 }]]
  let lookups = 0
  const { fetch } = await fetcher({ resolve: async () => answers[lookups++]! })
  await fetch(uri())
  assert.equal(lookups, 1)
  assert.equal(requests.length, 1)
})

test('a redirect is followed to an allowed host and refused to any other', async () => {
  const { fetch } = await fetcher()
  const redirect = (to: string) => {
    answer = (request, response) =>
      request.url === '/from' ? response.writeHead(302, { location: to }).end() : response.end('a song')
  }
  redirect('/to')
  assert.equal((await fetch(uri('/from'))).bytes, 6)
  requests.length = 0
  for (const to of [
    uri('/x', 'other.test'),
    'file:///etc/passwd',
    `http://127.0.0.1:${port}/x`,
    '//169.254.169.254/x',
  ]) {
    redirect(to)
    await assert.rejects(fetch(uri('/from')), { code: 'uri-not-allowed' }, to)
  }
  assert.ok(requests.every((line) => line === `media.test:${port} /from`))
})

test('the host of a redirect is resolved and checked afresh', async () => {
  const lookups: string[] = []
  const resolve = async (host: string): Promise<Address[]> => {
    lookups.push(host)
    return host === 'media.test' ? [loopback] : []
  }
  const { fetch } = await fetcher({ allowedHosts: [`media.test:${port}`, `next.test:${port}`], resolve })
  answer = (_request, response) => response.writeHead(302, { location: uri('/b', 'next.test') }).end()
  await assert.rejects(fetch(uri()), { code: 'fetch-failed', message: /next\.test has no address/ })
  assert.deepEqual(lookups, ['media.test', 'next.test'])
  assert.equal(requests.length, 1)
})

test('redirects without end stop', async () => {
  const { fetch } = await fetcher()
  answer = (_request, response) => response.writeHead(302, { location: '/again' }).end()
  await assert.rejects(fetch(uri()), { code: 'uri-not-allowed', message: /redirects/ })
  assert.equal(requests.length, 4)
})

test('a body over the limit is cut off and nothing of it stays', async () => {
  const { fetch, left } = await fetcher()
  answer = (_request, response) => {
    const more = () => {
      while (response.write(Buffer.alloc(500)));
    }
    response.on('drain', more).on('error', () => {})
    more()
  }
  await assert.rejects(fetch(uri()), { code: 'media-too-large', status: 413 })
  assert.deepEqual(left(), [])
})

test('answers that are not a medium get an error that says whose fault it is', async () => {
  const { fetch } = await fetcher()
  for (const [status, code] of [
    [404, 'fetch-refused'],
    [403, 'fetch-refused'],
    [500, 'fetch-failed'],
    [429, 'fetch-failed'],
  ] as const) {
    answer = (_request, response) => response.writeHead(status).end('no')
    await assert.rejects(fetch(uri()), { code }, `${status}`)
  }
  answer = (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('bomb')
  await assert.rejects(fetch(uri()), { code: 'fetch-refused', message: /compressed/ })
  answer = (_request, response) => response.end()
  await assert.rejects(fetch(uri()), { code: 'media-empty' })
})

test('a connection that breaks, stalls or takes too long can be tried again and leaves nothing', async () => {
  const { fetch, left } = await fetcher({ idleMs: 50 })
  answer = (_request, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('half', () => response.destroy())
  }
  await assert.rejects(fetch(uri()), { name: 'RetryableError', code: 'fetch-failed' })
  answer = (_request, response) => void response.write('half')
  await assert.rejects(fetch(uri()), { code: 'fetch-failed' })
  const hurried = await fetcher({ timeoutMs: 50, resolve: () => new Promise(() => {}) })
  await assert.rejects(hurried.fetch(uri()), { code: 'fetch-failed', message: /longer than 50 ms/ })
  assert.deepEqual(left(), [])
})

test('an abort by the caller ends the download with its reason', async () => {
  const { fetch, left } = await fetcher()
  const abort = new AbortController()
  answer = (_request, response) => void response.write('half', () => abort.abort(new Error('caller left')))
  await assert.rejects(fetch(uri(), abort.signal), /caller left/)
  assert.deepEqual(left(), [])
})

test('addresses of the public internet are public and no others', () => {
  const hidden = [
    '0.0.0.0',
    '10.0.0.1',
    '100.64.0.1',
    '127.9.9.9',
    '169.254.169.254',
    '172.31.0.1',
    '192.168.1.1',
    '224.0.0.1',
  ]
  const hiddenV6 = [
    '::',
    '::1',
    'fe80::1',
    'fd12::1',
    'ff02::1',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '2002:7f00:1::',
    '2001:db8::1',
    '2001::1',
  ]
  for (const address of [...hidden, ...hiddenV6, '255.255.255.255', '198.18.0.1', 'localhost', '']) {
    assert.equal(isPublicAddress(address), false, address)
  }
  for (const address of ['8.8.8.8', '93.184.216.34', '172.32.0.1', '2606:4700::1111', '2a00:1450:4001::1']) {
    assert.equal(isPublicAddress(address), true, address)
  }
})
