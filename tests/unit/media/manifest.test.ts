import assert from 'node:assert/strict'
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readManifest } from '../../../cli/manifest.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const outside = realpathSync(temporaryFolder())
const folder = join(outside, 'media')
mkdirSync(join(folder, 'deep'), { recursive: true })
for (const path of [join(outside, 'secret.mp3'), join(folder, 'a.mp3'), join(folder, 'deep', 'b.mp4')])
  writeFileSync(path, 'x')
symlinkSync(join(outside, 'secret.mp3'), join(folder, 'link.mp3'))
symlinkSync(outside, join(folder, 'up'))

function manifest(...lines: (string | object)[]): string {
  const path = join(folder, 'manifest.jsonl')
  writeFileSync(path, lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'))
  return path
}

test('the samples that come with Cuestream are listed in a valid manifest', async () => {
  const entries = await readManifest('samples/manifest.jsonl')
  assert.equal(entries.filter(({ kind }) => kind === 'track').length, 28)
  assert.equal(entries.filter(({ kind }) => kind === 'video').length, 6)
  assert.ok(entries.every(({ title, artist, licence }) => title && artist && licence))
})

test('paths are relative to the manifest, and blank lines are skipped but counted', async () => {
  const path = manifest(
    { path: 'a.mp3', title: 'A' },
    '',
    { path: 'deep/b.mp4', kind: 'video', territories: ['DE'] },
    '\r',
  )
  assert.deepEqual(await readManifest(path), [
    { path: join(folder, 'a.mp3'), title: 'A', line: 1 },
    { path: join(folder, 'deep/b.mp4'), kind: 'video', territories: ['DE'], line: 3 },
  ])
})

test('a path that leaves the folder by .., by a link or by being absolute is refused unless the operator allows it', async () => {
  for (const path of [
    '../secret.mp3',
    'deep/../../secret.mp3',
    'link.mp3',
    'up/secret.mp3',
    join(outside, 'secret.mp3'),
  ]) {
    const file = manifest({ path: 'a.mp3' }, { path })
    await assert.rejects(
      readManifest(file),
      { name: 'InvalidRequestError', code: 'bad-manifest', message: /line 2: .*folder/ },
      path,
    )
    assert.equal((await readManifest(file, { allowAbsolutePaths: true }))[1]!.path, join(outside, 'secret.mp3'))
  }
})

test('every line that is wrong is named with what is wrong', async () => {
  const file = manifest(
    'not json',
    { path: 'a.mp3', tittle: 'slip' },
    { path: 'a.mp3', uri: 'https://example.com/a.mp3' },
    { title: 'nothing to read' },
    { path: 'none.mp3' },
    { path: 'deep' },
    { path: 'a.mp3', kind: 'song' },
    { path: 'a.mp3', id: '../x' },
    { path: 'a.mp3', territories: ['Germany'] },
    { uri: 'ftp://example.com/a.mp3' },
    { path: 'a.mp3', id: 'twice' },
    { path: 'a.mp3', id: 'twice' },
    '[]',
  )
  await assert.rejects(readManifest(file), (error: Error) => {
    const lines = [...error.message.matchAll(/^line (\d+):/gm)].map((match) => Number(match[1]))
    assert.deepEqual(lines, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13])
    assert.match(error.message, /line 1: is not JSON/)
    assert.match(error.message, /line 2: .*tittle/)
    assert.match(error.message, /line 5: path none\.mp3 is not there/)
    assert.match(error.message, /line 12: id twice is on line 11 already/)
    return true
  })
})
