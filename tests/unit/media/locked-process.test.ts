import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { startLocked } from '../../../adapters/media/locked-process.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { binaries, collect } from './make-media.ts'

const limits = { prlimit: binaries.prlimit, maxMemoryBytes: 300 * 2 ** 20, maxCpuSeconds: 7 }

async function output(binary: string, ...argv: string[]): Promise<string> {
  const child = startLocked({ binary, argv, ...limits })
  const text = Buffer.concat((await collect(child.stdout)) as Buffer[]).toString()
  assert.equal((await child.ended).code, 0)
  return text
}

test('the decoder sees nothing of our environment', async () => {
  process.env.CUESTREAM_TEST_SECRET = 'secret'
  try {
    assert.equal(await output('/usr/bin/env'), 'GCONV_PATH=/nonexistent\n')
  } finally {
    delete process.env.CUESTREAM_TEST_SECRET
  }
})

test('the decoder works in an empty folder that is gone already', async () => {
  const own = temporaryFolder()
  const before = tmpdir()
  process.env.TMPDIR = own
  try {
    assert.equal(await output('/bin/ls', '-A'), '')
    const child = startLocked({ binary: '/bin/sh', argv: ['-c', 'exec sleep 1000'], ...limits })
    assert.deepEqual(readdirSync(own), [], 'while it runs, too')
    child.stop()
    assert.equal((await child.ended).signal, 'SIGKILL')
  } finally {
    process.env.TMPDIR = before
  }
})

test('arguments reach the decoder as they are, with no shell between', async () => {
  assert.equal(await output('/bin/echo', '$HOME', '`id`', '; ls', '%s'), '$HOME `id` ; ls %s\n')
})

test('memory, CPU time, files and core dumps are limited', { skip: !binaries.prlimit }, async () => {
  const text = await output('/bin/cat', '/proc/self/limits')
  const limit = (name: string) => new RegExp(`^${name} +(\\S+) +(\\S+)`, 'm').exec(text)?.slice(1)
  assert.deepEqual(limit('Max address space'), [`${300 * 2 ** 20}`, `${300 * 2 ** 20}`])
  assert.deepEqual(limit('Max cpu time'), ['7', '7'])
  assert.deepEqual(limit('Max file size'), ['0', '0'])
  assert.deepEqual(limit('Max open files'), ['64', '64'])
  assert.deepEqual(limit('Max core file size'), ['0', '0'])
})

test('what the decoder says is kept to its last 8 KiB', async () => {
  const child = startLocked({ binary: '/bin/sh', argv: ['-c', 'seq 1 100000 >&2'], ...limits })
  child.stdout.resume()
  const { stderr } = await child.ended
  assert.ok(stderr.length <= 8192)
  assert.ok(stderr.endsWith('99999\n100000\n'))
})

test('a decoder that is not there is an error of its own', async () => {
  const child = startLocked({ binary: '/nonexistent/ffmpeg', argv: [], ...limits, prlimit: undefined })
  await assert.rejects(child.ended, { code: 'ENOENT' })
})
