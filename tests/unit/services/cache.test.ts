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
  const installs = [start(root), start(root)]
  const outputs = installs.map(outputOf)
  const log = () => (existsSync(join(root, 'log')) ? readFileSync(join(root, 'log'), 'utf8') : '')
  // Both are at it: one installs, and the other waits (or wrongly installs too).
  await until('both to be at it', async () => {
    const said = log() + outputs.map(({ text }) => text).join('')
    return said.split('\n').length > 2
  })
  for (const { stdin } of installs) stdin!.end()
  await Promise.all(outputs.map(({ ended }) => ended))
  assert.deepEqual(outputs.map(({ text }) => text).sort(), ['waits\nwhole\n', 'whole\n'])
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
  const output = outputOf(again)
  again.stdin!.end()
  await output.ended
  assert.equal(output.text, 'whole\n')
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

function outputOf(child: ChildProcess) {
  const output = { text: '', ended: once(child, 'close') }
  child.stdout!.on('data', (chunk) => {
    output.text += chunk
  })
  return output
}

const partials = (root: string) => readdirSync(root).filter((name) => name.includes('partial')).length
