import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import type { MediaStore } from '../../ports/media.ts'

export interface MediaStoreUnderTest {
  open(options: { maxBytes: number }): Promise<MediaStore>
}

async function* chunks(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part as Uint8Array)
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** What every MediaStore upholds (ports/media.ts). */
export function mediaStoreConformance(name: string, { open }: MediaStoreUnderTest): void {
  test(`${name}: what was put is read back under its hash`, async () => {
    const store = await open({ maxBytes: 100 })
    const stored = await store.put(chunks('one ', 'two ', 'three'))
    const hash = sha256('one two three')
    assert.deepEqual(stored, { uri: `media:${hash}`, sha256: hash, bytes: 13 })
    assert.equal(await readFile(await store.path(stored.uri), 'utf8'), 'one two three')
    assert.equal(await store.size(stored.uri), 13)
  })

  test(`${name}: fifty uploads of the same file at once are kept as one`, async () => {
    const store = await open({ maxBytes: 1_000_000 })
    const parts = Array.from({ length: 50 }, (_, i) => `part ${i} `.repeat(100))
    const all = await Promise.all(Array.from({ length: 50 }, () => store.put(chunks(...parts))))
    assert.equal(new Set(all.map(({ uri }) => uri)).size, 1)
    assert.equal(await readFile(await store.path(all[0]!.uri), 'utf8'), parts.join(''))
  })

  test(`${name}: an upload is refused as soon as it crosses the limit, without reading on`, async () => {
    const store = await open({ maxBytes: 10_000 })
    let given = 0
    let closed = false
    async function* endless() {
      try {
        for (;;) {
          given += 1000
          yield new Uint8Array(1000).fill(given / 1000)
        }
      } finally {
        closed = true
      }
    }
    await assert.rejects(store.put(endless()), { name: 'InvalidRequestError', code: 'media-too-large', status: 413 })
    assert.equal(given, 11_000)
    assert.ok(closed, 'the source is told to stop')
  })

  test(`${name}: a file of exactly the limit is kept`, async () => {
    const store = await open({ maxBytes: 10 })
    assert.equal((await store.put(chunks('12345', '67890'))).bytes, 10)
  })

  test(`${name}: an empty upload is refused`, async () => {
    const store = await open({ maxBytes: 10 })
    await assert.rejects(store.put(chunks()), { code: 'media-empty', status: 422 })
    await assert.rejects(store.put(chunks('', '')), { code: 'media-empty' })
  })

  test(`${name}: an upload that breaks off or is aborted is not kept`, async () => {
    const store = await open({ maxBytes: 100 })
    async function* breaking() {
      yield Buffer.from('half')
      throw new Error('connection lost')
    }
    await assert.rejects(store.put(breaking()), /connection lost/)
    const abort = new AbortController()
    async function* aborting() {
      yield Buffer.from('half')
      abort.abort(new Error('caller left'))
      yield Buffer.from('more')
    }
    await assert.rejects(store.put(aborting(), { signal: abort.signal }), /caller left/)
    await assert.rejects(store.path(`media:${sha256('half')}`), { code: 'media-missing' })
  })

  test(`${name}: only media:<sha256> names a medium`, async () => {
    const store = await open({ maxBytes: 100 })
    const hash = sha256('x')
    const bad = [
      hash,
      `media:${hash.toUpperCase()}`,
      `media:../${hash}`,
      `media:${hash}/..`,
      `media:${hash}\n`,
      '/etc/passwd',
    ]
    for (const uri of [...bad, 'media:', 'file:///etc/passwd', `media:${hash.slice(1)}`, 'https://example.com/a.mp4']) {
      for (const call of [() => store.path(uri), () => store.size(uri), () => store.remove(uri)]) {
        await assert.rejects(call, { name: 'InvalidRecordError', code: 'media-uri' }, uri)
      }
    }
  })

  test(`${name}: what was removed is missing, and removing it again is fine`, async () => {
    const store = await open({ maxBytes: 100 })
    const { uri } = await store.put(chunks('gone'))
    await store.remove(uri)
    await store.remove(uri)
    await assert.rejects(store.path(uri), { name: 'InvalidRecordError', code: 'media-missing' })
    await assert.rejects(store.size(uri), { code: 'media-missing' })
    assert.equal((await store.put(chunks('gone'))).uri, uri)
  })
}
