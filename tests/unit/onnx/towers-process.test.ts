/** Towers in a process of their own. No graph is loaded in this one. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openFileModelStore } from '../../../adapters/model-store/file.ts'
import { startTowers, type TowersProcess } from '../../../adapters/onnx/towers-process.ts'
import { dataPaths } from '../../../cli/paths.ts'
import { seededRandom } from '../../../model/random.ts'
import { RetryableError, ShapeError } from '../../../ports/errors.ts'
import type { ModelStore } from '../../../ports/model-store.ts'
import { isAlive } from '../../support/is-alive.ts'
import { publishRelease } from '../../support/second-release.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { until } from '../../support/until.ts'

const parent = fileURLToPath(new URL('../../support/towers-parent-process.ts', import.meta.url))

describe('towers in a process of their own', () => {
  const folder = temporaryFolder()
  let store: ModelStore
  let towers: TowersProcess

  before(async () => {
    await publishRelease(folder, 'one', 0.5)
    store = openFileModelStore({ folder: dataPaths(folder).releases })
    towers = await startTowers(store, 'one', { deadlineMs: 5_000 })
    await towers.ready()
  })
  after(() => towers.close())

  const random = seededRandom('words')
  const words = () => Float32Array.from({ length: towers.manifest.encoders.text.dims }, () => random() - 0.5)

  test('onnxruntime#25325: releases that are loaded one after the other leave no process and no graph behind', async () => {
    const pids: number[] = []
    for (let i = 0; i < 4; i++) {
      const one = await startTowers(store, 'one')
      assert.equal((await one.query({ text: words() })).length, towers.dims)
      pids.push(one.pid!)
      await one.close()
      assert.equal(isAlive(pids.at(-1)!), false, `process ${pids.at(-1)} of release ${i} is still there`)
    }
    assert.equal(new Set(pids).size, 4)
    const loaded = (process.report.getReport() as unknown as { sharedObjects: string[] }).sharedObjects
    assert.ok(loaded.length > 0, 'nothing is known of what is loaded')
    assert.deepEqual(
      loaded.filter((name) => name.includes('onnxruntime')),
      [],
    )
  })

  test('calls at the same time have each their own answer, and a refused one its error', async () => {
    const texts = Array.from({ length: 20 }, words)
    const one: Float32Array[] = []
    for (const text of texts) one.push(await towers.query({ text }))
    const [all, refused] = await Promise.all([
      Promise.all(texts.map((text) => towers.query({ text }))),
      towers.query({ text: Float32Array.of(1) }).catch((error: unknown) => error),
    ])
    assert.deepEqual(all, one)
    assert.ok(refused instanceof ShapeError, String(refused))
    assert.match(refused.message, /The text has 1 values/)
    const { dims } = towers.manifest.encoders.music
    const { whole, segments } = await towers.music({ values: new Float32Array(3 * dims).fill(0.5), segments: 3, dims })
    assert.deepEqual([whole.length, segments.length], [towers.dims, 3 * towers.dims])
  })

  test('a process that is killed fails the calls it had as retryable, and another answers the next ones', async () => {
    const killed = towers.pid!
    process.kill(killed, 'SIGSTOP')
    const calls = Array.from({ length: 3 }, () => towers.query({ text: words() }))
    const failing = Promise.all(
      calls.map((call) =>
        assert.rejects(call, (error) => error instanceof RetryableError && error.code === 'towers-ended'),
      ),
    )
    process.kill(killed, 'SIGKILL')
    await failing
    await towers.ready()
    assert.equal((await towers.query({ text: words() })).length, towers.dims)
    assert.notEqual(towers.pid, killed)
  })

  test('a process that answers nothing is ended at the deadline, and another answers', async () => {
    const hanging = towers.pid!
    process.kill(hanging, 'SIGSTOP')
    await assert.rejects(
      towers.query({ text: words() }),
      (error) => error instanceof RetryableError && error.code === 'towers-deadline',
    )
    await until('it is gone', async () => !isAlive(hanging))
    await towers.ready()
    assert.equal((await towers.query({ text: words() })).length, towers.dims)
  })

  test('it ends with the process that started it, also when that is killed', async () => {
    const child = spawn(process.execPath, ['--import', 'tsx', parent, dataPaths(folder).releases, 'one'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await new Promise<string>((resolve) =>
      createInterface({ input: child.stdout }).once('line', resolve),
    ).then((text) => [text])) as [string]
    const pid = Number(line)
    assert.ok(isAlive(pid), `it said ${line}`)
    child.kill('SIGKILL')
    await until('the towers to be gone', async () => !isAlive(pid))
  })
})
