import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { type HeldProcess, holdProcess } from '../../../services/held-process.ts'
import { isAlive } from '../../support/is-alive.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { until } from '../../support/until.ts'

const folder = temporaryFolder()
const holder = new URL('../../support/holder-process.ts', import.meta.url).pathname

test('a process whose starter is killed ends, even one that is stopped', async () => {
  const starter = spawn(process.execPath, ['--import', 'tsx', holder, join(folder, 'orphan.log')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [pid] = await new Promise<number[]>((resolve) => {
    createInterface({ input: starter.stdout }).once('line', (line) => resolve([Number(line)]))
  })
  assert.ok(isAlive(pid!))
  process.kill(pid!, 'SIGSTOP')
  starter.kill('SIGKILL')
  await until('the orphan to end', async () => !isAlive(pid!))
})

test('what it prints is in its log, and how it ended is told', async () => {
  const logFile = join(folder, 'said.log')
  const held = await holdProcess('sh', ['-c', 'echo out; echo error >&2; exit 3'], { logFile })
  assert.equal(await outcome(held), 'exit code 3')
  assert.equal(readFileSync(logFile, 'utf8'), 'out\nerror\n')
})

test('a signal reaches the command itself, and a killed one is told as killed', async () => {
  const held = await holdProcess('sleep', ['60'], { logFile: join(folder, 'sleep.log') })
  await held.kill('SIGKILL')
  assert.equal(await held.ended, 'SIGKILL')
  assert.ok(!isAlive(held.pid))
  await held.kill('SIGKILL') // it is gone already: nothing happens
})

/** A held process keeps nobody waiting by itself. */
async function outcome(held: HeldProcess): Promise<string> {
  let how = ''
  void held.ended.then((text) => {
    how = text
  })
  return until('it to end', async () => how || undefined)
}
