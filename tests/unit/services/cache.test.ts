import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openCache } from '../../../services/cache.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { until } from '../../support/until.ts'

const install = new URL('../../support/install-process.ts', import.meta.url).pathname
const folder = temporaryFolder()

test('two processes that install at once make the entry once, and both find it whole', async () => {
  const root = join(folder, 'at-once')
  const [first, second] = [start(root), start(root)]
  const ends = [ended(first), ended(second)]
  await until('one of them to install', async () => existsSync(join(root, 'log')))
  for (const child of [first, second]) child.stdin!.end()
  assert.deepEqual(await Promise.all(ends), ['whole\n', 'whole\n'])
  assert.equal(readFileSync(join(root, 'log'), 'utf8'), 'made\n')
})

test('an install that is killed leaves no entry; the next one makes it and clears what was left', async () => {
  const root = join(folder, 'killed')
  const killed = start(root)
  await until('the install to begin', async () => existsSync(join(root, 'log')))
  killed.kill('SIGKILL')
  await once(killed, 'exit')
  const cache = openCache(() => {}, root)
  assert.equal(cache.has('entry'), false)
  assert.equal(partials(root), 1)

  const again = start(root)
  again.stdin!.end()
  assert.equal(await ended(again), 'whole\n')
  assert.equal(cache.has('entry'), true)
  assert.equal(partials(root), 0)
})

test('an install that fails leaves no entry and says why', async () => {
  const root = join(folder, 'failed')
  const cache = openCache(() => {}, root)
  const refuse = async () => {
    throw new Error('no network')
  }
  await assert.rejects(cache.entry('entry', refuse), /no network/)
  assert.equal(cache.has('entry'), false)
  assert.equal(partials(root), 0)
})

/** Installs slowly: until its stdin ends. */
function start(root: string): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', install, root], { stdio: ['pipe', 'pipe', 'inherit'] })
}

async function ended(child: ChildProcess): Promise<string> {
  let output = ''
  child.stdout!.on('data', (chunk) => {
    output += chunk
  })
  await once(child, 'close')
  return output
}

const partials = (root: string) => readdirSync(root).filter((name) => name.includes('partial')).length
