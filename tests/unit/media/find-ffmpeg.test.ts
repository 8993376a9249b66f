import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { findFfmpeg, makeRunnable } from '../../../adapters/media/find-ffmpeg.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const folder = temporaryFolder()
const cacheFolder = join(folder, 'cache')

/** A folder with programs that answer `-version` as ffmpeg and ffprobe do. */
function pretend(name: string, tools: readonly string[], libavcodec: number): string {
  const bin = join(folder, name)
  mkdirSync(bin)
  for (const tool of tools) {
    writeFileSync(
      join(bin, tool),
      `#!/bin/sh\necho "${tool} version 9.9-test Copyright"\necho "libavcodec     ${libavcodec}. 1.100 / ${libavcodec}. 1.100"\n`,
    )
    chmodSync(join(bin, tool), 0o755)
  }
  return bin
}

test('with no ffmpeg on the PATH the bundled pair is taken and runs', async () => {
  const { ffmpeg, ffprobe } = await findFfmpeg({ searchPath: folder, cacheFolder })
  assert.equal(ffmpeg.from, 'bundled')
  assert.equal(ffprobe.from, 'bundled')
  assert.ok(ffmpeg.version.length > 0 && ffprobe.version.length > 0)
})

test('a pair on the PATH is taken before the bundled one', async () => {
  const bin = pretend('both', ['ffmpeg', 'ffprobe'], 59)
  const { ffmpeg, ffprobe } = await findFfmpeg({ searchPath: `relative:${folder}:${bin}`, cacheFolder })
  assert.deepEqual(ffmpeg, { path: join(bin, 'ffmpeg'), from: 'system', version: '9.9-test' })
  assert.equal(ffprobe.from, 'system')
})

test('an ffmpeg on the PATH that is too old, or without its ffprobe, is passed over', async () => {
  const old = pretend('old', ['ffmpeg', 'ffprobe'], 57)
  const half = pretend('half', ['ffmpeg'], 59)
  for (const searchPath of [old, half]) {
    assert.equal((await findFfmpeg({ searchPath, cacheFolder })).ffmpeg.from, 'bundled')
  }
})

test('a configured ffmpeg is taken before all others, and one that does not work is an error', async () => {
  const bin = pretend('mine', ['ffmpeg', 'ffprobe'], 60)
  const found = await findFfmpeg({ ffmpegPath: join(bin, 'ffmpeg'), searchPath: folder, cacheFolder })
  assert.equal(found.ffmpeg.from, 'configured')
  for (const ffmpegPath of [join(folder, 'none'), 'ffmpeg', '/bin/echo', join(folder, 'old', 'ffmpeg')]) {
    await assert.rejects(findFfmpeg({ ffmpegPath, searchPath: folder, cacheFolder }), {
      name: 'SetupError',
      code: 'ffmpeg-missing',
      message: /CUESTREAM_FFMPEG/,
    })
  }
})

test('a bundled binary that npm left without its executable bit is made executable', async () => {
  const path = join(folder, 'unpacked')
  writeFileSync(path, '#!/bin/sh\n', { mode: 0o644 })
  assert.equal(await makeRunnable(path, cacheFolder), path)
  assert.equal(statSync(path).mode & 0o111, 0o111)
})

test('a binary that cannot be made executable in place is copied once', async () => {
  const path = join(folder, 'read-only')
  writeFileSync(path, '#!/bin/sh\n', { mode: 0o644 })
  const refuse = async () => {
    throw Object.assign(new Error('read-only'), { code: 'EROFS' })
  }
  const copy = await makeRunnable(path, cacheFolder, refuse)
  assert.ok(copy.startsWith(cacheFolder))
  assert.equal(statSync(copy).mode & 0o777, 0o755)
  const { mtimeMs } = statSync(copy)
  assert.equal(await makeRunnable(path, cacheFolder, refuse), copy)
  assert.equal(statSync(copy).mtimeMs, mtimeMs)
})
