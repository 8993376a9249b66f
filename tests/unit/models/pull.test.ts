import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Profile, parseProfile } from '../../../adapters/models/profile.ts'
import { type PullOptions, type PullProgress, pullProfile } from '../../../adapters/models/pull.ts'

const content = new Uint8Array(200_000).map((_, index) => (index * 31 + (index >> 8)) & 255)
const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const etag = '"v1"'

/** Emits 'bytes' with what the pull under test has received of a file: a server can then cut it off exactly there. */
const received = new EventEmitter()

const patience = { stallTimeoutMs: 30_000, retries: 3, retryDelayMs: 1 }
const noRetries = { ...patience, retries: 0 }

type Handler = (request: IncomingMessage, response: ServerResponse, attempt: number) => void

/** A profile of one file that matters; the others are what a manifest must have. */
async function profileOf(file: Partial<Profile['files'][number]>): Promise<Profile> {
  const json = JSON.parse(await readFile(new URL('../../../models/profiles/paper.json', import.meta.url), 'utf8'))
  const profile = parseProfile(json, 'paper.json')
  const tested = { ...profile.files[0]!, sha256: sha256Of(content), bytes: content.length, ...file }
  return { ...profile, files: [tested] }
}

/** Serves as a mirror; `attempt` counts its requests from 1. @returns a pull of the profile into a fresh folder. */
async function arrange(context: TestContext, handler: Handler, file: Partial<Profile['files'][number]> = {}) {
  const requests: { url: string; range: string | undefined; ifRange: string | undefined }[] = []
  const server = createServer((request, response) => {
    const { range, 'if-range': ifRange } = request.headers
    requests.push({ url: request.url ?? '', range, ifRange: ifRange as string | undefined })
    handler(request, response, requests.length)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const folder = await mkdtemp(path.join(tmpdir(), 'cuestream-pull-'))
  context.after(async () => {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true })
  })
  const profile = await profileOf(file)
  const mirror = `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`
  const target = path.join(folder, 'paper', 'vision_model.onnx')
  const pull = (options: Partial<PullOptions> = {}) =>
    pullProfile(profile, {
      repositoryModels: '/nonexistent',
      folder,
      mirror,
      patience,
      ...options,
      onProgress(progress) {
        options.onProgress?.(progress)
        received.emit('bytes', progress.receivedBytes)
      },
    })
  return { requests, pull, target, mirror, left: () => readdir(path.join(folder, 'paper')) }
}

/** Answers as a good server does, with ranges; `until` cuts the connection when the pull has that much of the file. */
function serve(
  request: IncomingMessage,
  response: ServerResponse,
  until = content.length,
  body = content,
  tag = etag,
): void {
  const match = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')
  const fresh = request.headers['if-range'] === undefined || request.headers['if-range'] === tag
  const start = match && fresh ? Number(match[1]) : 0
  const headers: Record<string, string | number> = { etag: tag, 'content-length': body.length - start }
  if (match && fresh) headers['content-range'] = `bytes ${start}-${body.length - 1}/${body.length}`
  response.writeHead(match && fresh ? 206 : 200, headers)
  if (until >= body.length) response.end(body.subarray(start))
  else {
    const cut = (bytes: number): void => {
      if (bytes < until) return
      received.off('bytes', cut)
      response.destroy()
    }
    received.on('bytes', cut)
    response.write(body.subarray(start, until))
  }
}

test('a file is downloaded, checked and put in place, with progress, and a second pull asks for nothing', async (context) => {
  const progress: PullProgress[] = []
  const { pull, requests, target, left } = await arrange(context, (request, response) => serve(request, response))
  const [result] = await pull({ onProgress: (event) => progress.push(event) })
  assert.deepEqual([result?.status, result?.recorded, result?.sha256], ['downloaded', false, sha256Of(content)])
  assert.deepEqual(new Uint8Array(await readFile(target)), content)
  assert.deepEqual(progress.at(-1), { file: 'vision_model.onnx', receivedBytes: 200_000, totalBytes: 200_000 })
  assert.deepEqual(await left(), ['vision_model.onnx'])
  assert.equal(requests[0]?.url, '/base/paper/vision_model.onnx')

  const [again] = await pull()
  assert.equal(again?.status, 'present')
  assert.equal(requests.length, 1)
})

test('a connection cut again and again is resumed from where it ended', async (context) => {
  const { pull, requests, target } = await arrange(context, (request, response, attempt) =>
    serve(request, response, attempt === 1 ? 70_000 : attempt === 2 ? 140_000 : undefined),
  )
  await pull()
  assert.deepEqual(new Uint8Array(await readFile(target)), content)
  assert.deepEqual(
    requests.map(({ range, ifRange }) => [range, ifRange]),
    [
      [undefined, undefined],
      ['bytes=70000-', etag],
      ['bytes=140000-', etag],
    ],
  )
})

test('a pull that gave up is resumed by the next one', async (context) => {
  let broken = true
  const { pull, requests, target, left } = await arrange(context, (request, response) =>
    serve(request, response, broken ? 50_000 : undefined),
  )
  await assert.rejects(pull({ patience: noRetries }), { code: 'pull-failed', message: /run the pull again/ })
  assert.deepEqual(await left(), ['vision_model.onnx.part', 'vision_model.onnx.part.json'])
  broken = false
  await pull()
  assert.equal(requests.at(-1)?.range, 'bytes=50000-')
  assert.equal(sha256Of(await readFile(target)), sha256Of(content))
})

test('a server that ignores ranges is read from the start', async (context) => {
  const { pull, requests, target } = await arrange(context, (request, response, attempt) => {
    delete request.headers.range
    serve(request, response, attempt === 1 ? 70_000 : undefined)
  })
  await pull()
  assert.equal(requests.length, 2)
  assert.equal(sha256Of(await readFile(target)), sha256Of(content))
})

test('a file that changed at its source between two attempts is never mixed from both', async (context) => {
  const newer = content.map((value) => value ^ 1)
  const file = { sha256: sha256Of(newer) }
  const { pull, target } = await arrange(
    context,
    (request, response, attempt) =>
      attempt === 1 ? serve(request, response, 70_000) : serve(request, response, undefined, newer, '"v2"'),
    file,
  )
  await pull()
  assert.equal(sha256Of(await readFile(target)), sha256Of(newer))
})

test('a mix that the server does not own up to is found by its hash and fetched anew', async (context) => {
  const newer = content.map((value) => value ^ 1)
  const { pull, requests, target } = await arrange(
    context,
    (request, response, attempt) =>
      attempt === 1 ? serve(request, response, 70_000) : serve(request, response, undefined, newer),
    { sha256: sha256Of(newer) },
  )
  await pull()
  assert.equal(requests.length, 3)
  assert.equal(sha256Of(await readFile(target)), sha256Of(newer))
})

test('a part that was changed on disk is found by its hash and fetched anew', async (context) => {
  let broken = true
  const { pull, target } = await arrange(context, (request, response) =>
    serve(request, response, broken ? 50_000 : undefined),
  )
  await assert.rejects(pull({ patience: noRetries }))
  broken = false
  await writeFile(`${target}.part`, new Uint8Array(50_000))
  await pull()
  assert.equal(sha256Of(await readFile(target)), sha256Of(content))
})

test('a server that lies about the hash leaves nothing behind, and both hashes are named', async (context) => {
  const other = content.map((value) => value ^ 1)
  const { pull, left } = await arrange(context, (request, response) => serve(request, response, undefined, other))
  const message = new RegExp(`${sha256Of(other)}.*${sha256Of(content)} is right`)
  await assert.rejects(pull(), { code: 'model-tampered', message })
  assert.deepEqual(await left(), [])
})

test('a server that offers another size than the manifest is refused at once', async (context) => {
  const { pull, requests, left } = await arrange(context, (request, response) =>
    serve(request, response, undefined, content.subarray(0, 1000)),
  )
  await assert.rejects(pull(), { code: 'model-tampered', message: /1000 bytes, but 200000 is right/ })
  assert.equal(requests.length, 1)
  assert.deepEqual(await left(), [])
})

test('a server that announces more than it sends is taken for cut, and gives up in the end', async (context) => {
  const { pull, requests } = await arrange(context, (_, response) => {
    response.writeHead(200, { 'content-length': content.length })
    response.write(content.subarray(0, 10), () => response.destroy())
  })
  await assert.rejects(pull(), { code: 'pull-failed' })
  assert.equal(requests.length, 4)
})

test('a body without a length is stopped at the size that is known', async (context) => {
  let sent = 0
  const { pull, left } = await arrange(context, (_, response) => {
    response.writeHead(200)
    const more = (): void => {
      if (response.destroyed) return
      sent += content.length
      response.write(content, more)
    }
    more()
  })
  await assert.rejects(pull(), { code: 'model-too-large' })
  assert.ok(sent < 100 * content.length)
  assert.deepEqual(await left(), [])
})

test('416 makes the pull begin anew', async (context) => {
  const { pull, requests, target } = await arrange(context, (request, response, attempt) => {
    if (attempt === 2) response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end()
    else serve(request, response, attempt === 1 ? 70_000 : undefined)
  })
  await pull()
  assert.deepEqual(
    requests.map(({ range }) => range),
    [undefined, 'bytes=70000-', undefined],
  )
  assert.equal(sha256Of(await readFile(target)), sha256Of(content))
})

test('a range that leaves a gap is not written into the file, even where no hash is known', async (context) => {
  const gap = 100_000
  const { pull, target } = await arrange(
    context,
    (request, response, attempt) => {
      if (attempt !== 2) return serve(request, response, attempt === 1 ? 70_000 : undefined)
      response.writeHead(206, { 'content-range': `bytes ${gap}-${content.length - 1}/${content.length}` })
      response.end(content.subarray(gap))
    },
    { sha256: null, bytes: null },
  )
  await pull()
  assert.equal(sha256Of(await readFile(target)), sha256Of(content))
})

test('429 and 503 are tried again', async (context) => {
  const { pull, requests } = await arrange(context, (request, response, attempt) => {
    if (attempt === 1) response.writeHead(429, { 'retry-after': '0' }).end()
    else if (attempt === 2) response.writeHead(503).end()
    else serve(request, response)
  })
  await pull()
  assert.equal(requests.length, 3)
})

test('404 is not tried again and names the URL', async (context) => {
  const { pull, requests } = await arrange(context, (_, response) => response.writeHead(404).end())
  await assert.rejects(pull(), { code: 'pull-refused', message: /paper\/vision_model\.onnx answered 404/ })
  assert.equal(requests.length, 1)
})

test('a server that falls silent, before its answer or inside it, is left and asked again', async (context) => {
  const { pull, requests, target } = await arrange(context, (request, response, attempt) => {
    if (attempt === 1) return // never answers
    if (attempt === 2) {
      response.writeHead(200, { etag, 'content-length': content.length })
      response.write(content.subarray(0, 60_000)) // and then nothing
    } else serve(request, response)
  })
  await pull({ patience: { ...patience, stallTimeoutMs: 700 } })
  assert.deepEqual(
    requests.map(({ range }) => range),
    [undefined, undefined, 'bytes=60000-'],
  )
  assert.equal(sha256Of(await readFile(target)), sha256Of(content))
})

test('a compressed answer is refused, since its bytes are not the file’s', async (context) => {
  const { pull } = await arrange(context, (_, response) =>
    response.writeHead(200, { 'content-encoding': 'br' }).end('x'),
  )
  await assert.rejects(pull(), { code: 'pull-refused', message: /content-encoding br/ })
})

test('a redirect on the same server is followed, one to plain http elsewhere is not', async (context) => {
  let elsewhere = 0
  const other = createServer((_, response) => {
    elsewhere += 1
    response.end()
  })
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  context.after(() => other.close())
  const { port } = other.address() as AddressInfo
  const { pull, requests, mirror } = await arrange(context, (request, response) => {
    if (request.url === '/moved') serve(request, response)
    else
      response
        .writeHead(302, { location: request.url?.startsWith('/base') ? '/moved' : `http://127.0.0.1:${port}/` })
        .end()
  })
  await pull()
  assert.equal(requests.at(-1)?.url, '/moved')
  const { pull: pullAway } = await arrange(context, (_, response) =>
    response.writeHead(302, { location: `http://127.0.0.1:${port}/` }).end(),
  )
  await assert.rejects(pullAway(), { code: 'pull-redirect', message: /not https/ })
  assert.equal(elsewhere, 0)
  const { pull: pullRound } = await arrange(context, (request, response) =>
    response.writeHead(302, { location: request.url ?? '/' }).end(),
  )
  await assert.rejects(pullRound(), { code: 'pull-redirect', message: /more than 5 times/ })
  assert.match(mirror, /^http:/)
})

test('a pull that is aborted stops with the caller’s reason and keeps its part', async (context) => {
  const { pull, left } = await arrange(context, (_, response) => {
    response.writeHead(200, { etag, 'content-length': content.length })
    response.write(content.subarray(0, 60_000))
  })
  const controller = new AbortController()
  const reason = new Error('stopped by the user')
  const onProgress = ({ receivedBytes }: PullProgress) => {
    if (receivedBytes === 60_000) controller.abort(reason)
  }
  await assert.rejects(pull({ signal: controller.signal, onProgress }), reason)
  assert.ok((await left()).includes('vision_model.onnx.part'))
})

test('offline asks nobody and names what is missing or wrong', async (context) => {
  const { pull, requests, target } = await arrange(context, (request, response) => serve(request, response))
  assert.equal((await pull({ offline: true }))[0]?.status, 'missing')
  await pull()
  await writeFile(target, 'changed')
  const [result] = await pull({ offline: true })
  assert.equal(result?.status, 'tampered')
  assert.equal(requests.length, 1)
})

test('a damaged file is replaced by the next pull', async (context) => {
  const { pull, target } = await arrange(context, (request, response) => serve(request, response))
  await pull()
  await writeFile(target, 'changed')
  assert.equal((await pull())[0]?.status, 'downloaded')
  assert.equal(sha256Of(await readFile(target)), sha256Of(content))
})

test('a hash that nobody knew is recorded by the first pull, which says so, and binds the later ones', async (context) => {
  let body: Uint8Array<ArrayBuffer> = content
  const { pull, target } = await arrange(context, (request, response) => serve(request, response, undefined, body), {
    sha256: null,
    bytes: null,
  })
  const [first] = await pull({ now: () => Date.UTC(2026, 0, 2) })
  assert.deepEqual([first?.status, first?.recorded], ['downloaded', true])
  const lock = JSON.parse(await readFile(path.join(path.dirname(target), 'lock.json'), 'utf8'))
  const entry = lock.files['vision_model.onnx']
  assert.deepEqual(
    [entry.sha256, entry.bytes, entry.recordedAt],
    [sha256Of(content), 200_000, '2026-01-02T00:00:00.000Z'],
  )
  assert.deepEqual((await pull())[0]?.recorded, false)

  await rm(target)
  body = content.map((value) => value ^ 1)
  await assert.rejects(pull(), { code: 'model-tampered' })
  await assert.rejects(access(target))
})

test('a file that only the operator has is named when it is missing, and recorded once it is there', async (context) => {
  const { pull, requests, target } = await arrange(context, (_, response) => response.writeHead(404).end(), {
    url: null,
    sha256: null,
    bytes: null,
    source: 'given by the operator',
  })
  const [missing] = await pull({ mirror: undefined })
  assert.deepEqual([missing?.status, missing?.source], ['missing', 'given by the operator'])
  await writeFile(target, content)
  const [found] = await pull({ mirror: undefined })
  assert.deepEqual([found?.status, found?.recorded], ['present', true])
  await writeFile(target, 'changed')
  assert.equal((await pull({ mirror: undefined }))[0]?.status, 'tampered')
  assert.equal(requests.length, 0)
  await rm(target)
  assert.equal((await pull())[0]?.status, 'missing', 'a mirror without it fails the pull')
})

test('a mirror that is no web address is refused', async (context) => {
  const { pull } = await arrange(context, (_, response) => response.end())
  for (const mirror of ['file:///etc', 'not a url']) await assert.rejects(pull({ mirror }), { code: 'bad-mirror' })
})
