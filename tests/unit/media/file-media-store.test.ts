import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFileMediaStore } from '../../../adapters/media/file-media-store.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const scratch = temporaryFolder()
const newFolder = () => mkdtempSync(join(scratch, 'store-'))

async function* bytes(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part)
}

test('a refused, broken or finished upload leaves nothing in incoming', async () => {
  const folder = newFolder()
  const store = await openFileMediaStore({ folder, maxBytes: 5 })
  await assert.rejects(store.put(bytes('123', '456')), { code: 'media-too-large' })
  await assert.rejects(store.put(bytes()), { code: 'media-empty' })
  assert.deepEqual(readdirSync(folder), ['incoming'])
  const { sha256 } = await store.put(bytes('12345'))
  assert.deepEqual(readdirSync(join(folder, 'incoming')), [])
  assert.deepEqual(readdirSync(join(folder, sha256.slice(0, 2))), [sha256])
})

test('opening removes what a crash left over and spares an upload that goes on elsewhere', async () => {
  const folder = newFolder()
  mkdirSync(join(folder, 'incoming'))
  for (const name of ['left-over', 'going-on']) writeFileSync(join(folder, 'incoming', name), 'x')
  utimesSync(join(folder, 'incoming', 'left-over'), 1, 1)
  await openFileMediaStore({ folder })
  assert.deepEqual(readdirSync(join(folder, 'incoming')), ['going-on'])
})

test('what was stored is there after the store is opened again', async () => {
  const folder = newFolder()
  const { uri } = await (await openFileMediaStore({ folder })).put(bytes('kept'))
  assert.equal(await (await openFileMediaStore({ folder })).size(uri), 4)
})

test('a link that someone put in the place of a medium is not followed', async () => {
  const folder = newFolder()
  const store = await openFileMediaStore({ folder })
  const hash = 'ab'.repeat(32)
  mkdirSync(join(folder, 'ab'))
  symlinkSync('/etc/hostname', join(folder, 'ab', hash))
  await assert.rejects(store.path(`media:${hash}`), { code: 'media-missing' })
})
