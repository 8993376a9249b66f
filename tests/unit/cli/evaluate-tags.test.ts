import assert from 'node:assert/strict'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hearFolder } from '../../../cli/evaluate/heard-music.ts'
import { readTagLabels } from '../../../cli/evaluate/tag-labels.ts'
import { InvalidRecordError } from '../../../ports/errors.ts'
import type { MediaDecoder } from '../../../ports/media.ts'
import { hearingOf } from '../../../processors/analyse-music/hearing.ts'
import { standInProfile } from '../../support/stand-in-profile.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

test('labels are read by category, by file before folder, and a tag behind ? may be either', () => {
  const labelsOf = readTagLabels('file,tags\na/,classical; strings;?cello\na/b.ogg,jazz\nc.ogg,?rock\n', 'labels.csv')
  const folder = labelsOf('a/other.ogg')!
  assert.deepEqual(folder.get('genre'), { right: new Set(['classical']), either: new Set() })
  assert.deepEqual(folder.get('instrument'), { right: new Set(['strings']), either: new Set(['cello']) })
  assert.equal(folder.get('mood'), undefined)
  assert.deepEqual([...labelsOf('a/b.ogg')!.keys()], ['genre'])
  assert.equal(labelsOf('c.ogg')!.get('genre'), undefined, 'a category of which only ? is named is not labelled')
  assert.equal(labelsOf('d.ogg'), undefined)
})

test('labels that are no tags are all named, and columns that are missing', () => {
  assert.throws(() => readTagLabels('file,tags\na,polka\nb,rock;kazoo\n', 'l.csv'), {
    code: 'bad-labels',
    message: /row 1: "polka"[\s\S]*row 2: "kazoo"/,
  })
  assert.throws(() => readTagLabels('name,tags\na,rock\n', 'l.csv'), { code: 'bad-labels' })
})

/** Noise as long as the file says; 'silence' and 'broken' are what they say. */
function decoder(decoded: string[]): MediaDecoder {
  return {
    async *samples(path, { sampleRateHz, samplesPerChunk }) {
      decoded.push(path)
      const text = await readFile(path, 'utf8')
      if (text === 'broken') throw new InvalidRecordError('media-unreadable', 'broken')
      const level = text.startsWith('silence') ? 0 : 0.3
      for (let left = Number(text.replace(/\D/g, '')) * sampleRateHz; left > 0; left -= samplesPerChunk) {
        yield Float32Array.from({ length: Math.min(left, samplesPerChunk) }, (_, i) => level * Math.sin(i * i * 1e-3))
      }
    },
  } as Partial<MediaDecoder> as MediaDecoder
}

test('a folder is heard up to so many seconds of each file, once, and what cannot be heard is told', async () => {
  const folder = temporaryFolder()
  const music = join(folder, 'music')
  await mkdir(join(music, 'game'), { recursive: true })
  for (const [file, text] of [
    ['game/long.ogg', '50'],
    ['game/short.ogg', '4'],
    ['silent.OGG', 'silence 20'],
    ['broken.mp3', 'broken'],
    ['readme.txt', '20'],
  ]) {
    await writeFile(join(music, file!), text!)
  }
  const decoded: string[] = []
  const { musicEncoder } = standInProfile
  const hearing = hearingOf(musicEncoder)
  const tools = { decoder: decoder(decoded), musicEncoder, hearing }
  const options = { folder: music, seconds: 25, jobs: 2, cache: join(folder, 'heard.jsonl'), onProgress: () => {} }
  const { heard, leftOut } = await hearFolder(tools, options)
  assert.deepEqual(
    leftOut.map(({ file, why }) => [file, why]),
    [
      ['broken.mp3', 'media-unreadable'],
      ['game/short.ogg', 'shorter than 10 s'],
      ['silent.OGG', 'silent'],
    ],
  )
  assert.equal(heard.length, 1)
  const [long] = heard
  assert.equal(long!.file, 'game/long.ogg')
  assert.deepEqual(
    long!.segments.map(({ startSeconds, seconds }) => [startSeconds, seconds]),
    [
      [0, 10],
      [10, 10],
      [20, 5],
    ],
  )
  assert.deepEqual([long!.whole.length, long!.bySegment.length], [hearing.tags.length, 3 * hearing.tags.length])

  const before = decoded.length
  await writeFile(options.cache, `${await readFile(options.cache, 'utf8')}{"key":"cut sho`)
  assert.deepEqual(await hearFolder(tools, options), { heard, leftOut })
  assert.equal(decoded.length, before, 'what was heard is not decoded again')
  const shorter = { ...options, seconds: 12 }
  assert.equal((await hearFolder(tools, shorter)).heard[0]!.segments.length, 2)
  const afterwards = decoded.length
  assert.equal((await hearFolder(tools, shorter)).heard[0]!.segments.length, 2)
  assert.equal(decoded.length, afterwards, 'what is kept behind a line that was cut is whole')

  // Another folder's file of the same name and size is another piece.
  const other = temporaryFolder()
  for (const name of await readdir(options.folder))
    await cp(join(options.folder, name), join(other, name), { recursive: true })
  await hearFolder(tools, { ...options, folder: other })
  assert.ok(decoded.length > afterwards)
})

test('a folder without music, or none at all, is refused', async () => {
  const options = { seconds: 25, jobs: 1, cache: join(temporaryFolder(), 'c'), onProgress: () => {} }
  const { musicEncoder } = standInProfile
  const tools = { decoder: decoder([]), musicEncoder, hearing: hearingOf(musicEncoder) }
  await assert.rejects(hearFolder(tools, { ...options, folder: temporaryFolder() }), { code: 'no-music' })
  await assert.rejects(hearFolder(tools, { ...options, folder: '/nowhere' }), { code: 'no-folder' })
})
