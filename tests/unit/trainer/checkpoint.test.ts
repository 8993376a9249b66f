/** A run that was killed goes on from its checkpoints as if nothing had been; what is no checkpoint of it is refused. */
import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { CheckpointFolder } from '../../../trainer/checkpoint.ts'
import { decodeSafetensors } from '../../../trainer/safetensors.ts'
import type { EpochReport, Trained } from '../../../trainer/train.ts'
import { EVERY_STEPS, KILLED_CONFIG, killTrainingAt, trainInFolder } from '../../support/killed-training.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const figuresOf = (epochs: readonly EpochReport[]) => epochs.map(({ epoch, loss, score }) => ({ epoch, loss, score }))
const bytesOf = ({ parameters }: Trained) =>
  [...parameters].map(([name, { values }]) => `${name} ${Buffer.from(values.buffer).toString('hex')}`)

async function latest(folder: string): Promise<string> {
  const [path] = await (await CheckpointFolder.open(folder)).paths()
  return path!
}

/** Weights, moments and averages, not only what is served. */
async function latestArrays(folder: string): Promise<string[]> {
  const { arrays } = decodeSafetensors(await readFile(await latest(folder)))
  return [...arrays].map(([name, { values }]) => `${name} ${Buffer.from(values.buffer).toString('hex')}`)
}

describe('checkpoints', () => {
  const uninterrupted = temporaryFolder()

  test('a run that is killed, wherever, ends in the same bytes as one that is not', async () => {
    const whole = await trainInFolder(uninterrupted)
    assert.ok(
      whole.best.epoch > 4,
      `the best epoch is ${whole.best.epoch}: what was kept of the early ones says little`,
    )
    const stepsAnEpoch = 3
    // Before there is any; between two of an epoch; at one that ends an epoch not yet validated; in the last epochs.
    for (const step of [1, EVERY_STEPS + 2, 2 * stepsAnEpoch, 4 * stepsAnEpoch + 1]) {
      const folder = temporaryFolder()
      await killTrainingAt(folder, step)
      const resumed: number[] = []
      const after = await trainInFolder(folder, { onStep: (report) => resumed.push(report.step) })
      assert.equal(resumed[0], Math.floor((step - 1) / EVERY_STEPS) * EVERY_STEPS + 1, 'it goes on from the latest')
      assert.deepEqual(bytesOf(after), bytesOf(whole), `served weights, killed at step ${step}`)
      assert.deepEqual(figuresOf(after.epochs), figuresOf(whole.epochs))
      assert.equal(after.best.epoch, whole.best.epoch)
      assert.deepEqual(await latestArrays(folder), await latestArrays(uninterrupted), `killed at step ${step}`)
    }
  })

  test('one that is killed twice, too', async () => {
    const folder = temporaryFolder()
    await killTrainingAt(folder, 5)
    await killTrainingAt(folder, 11)
    assert.deepEqual(bytesOf(await trainInFolder(folder)), bytesOf(await trainInFolder(uninterrupted)))
  })

  test('a run that has ended is not trained again', async () => {
    const steps: number[] = []
    const { epochs } = await trainInFolder(uninterrupted, { onStep: ({ step }) => steps.push(step) })
    assert.deepEqual(steps, [])
    assert.ok(epochs.length > 0, 'and says how it went')
  })

  test('what a signal stops writes a checkpoint first, and goes on at the very step', async () => {
    const folder = temporaryFolder()
    const stop = new AbortController()
    const stopping = trainInFolder(folder, {
      signal: stop.signal,
      onStep: ({ step }) => step === 5 && stop.abort(new Error('stopped')),
    })
    await assert.rejects(stopping, { message: 'stopped' })
    const steps: number[] = []
    const after = await trainInFolder(folder, { onStep: ({ step }) => steps.push(step) })
    assert.equal(steps[0], 6)
    assert.deepEqual(bytesOf(after), bytesOf(await trainInFolder(uninterrupted)))
  })

  test('the last two are kept, and nothing half written', async () => {
    const folder = temporaryFolder()
    await writeFile(join(folder, 'checkpoint-000000009.safetensors.77.partial'), 'half')
    await trainInFolder(folder)
    const names = await readdir(folder)
    assert.equal(names.length, 2, names.join(', '))
    assert.ok(
      names.every((name) => name.endsWith('.safetensors')),
      names.join(', '),
    )
  })

  test('a checkpoint of another configuration or other data is refused, and each difference is told', async () => {
    const checkpoints = { folder: await CheckpointFolder.open(uninterrupted), identity: { data: 'other' } }
    const other = trainInFolder(uninterrupted, { config: { ...KILLED_CONFIG, batch: 8 }, checkpoints })
    await assert.rejects(other, (error: Error & { code?: string }) => {
      assert.equal(error.code, 'checkpoint-mismatch')
      assert.match(error.message, /config\.batch: 4 there, 8 here/)
      assert.match(error.message, /data: tiny there, other here/)
      assert.doesNotMatch(error.message, /config\.epochs/)
      return true
    })
  })

  test('a byte that is another, wherever, is found before anything of the file is used', async () => {
    const folder = temporaryFolder()
    const stop = new AbortController()
    const onStep = () => stop.abort(new Error('stopped'))
    await assert.rejects(trainInFolder(folder, { signal: stop.signal, onStep }), { message: 'stopped' })
    const path = await latest(folder)
    const whole = await readFile(path)
    const epochAt = whole.indexOf('lossSum')
    for (const at of [0, 40, epochAt, Math.floor(whole.length / 2), whole.length - 1]) {
      const damaged = Buffer.from(whole)
      damaged[at]! ^= 1
      await writeFile(path, damaged)
      await assert.rejects(trainInFolder(folder), { code: 'damaged-checkpoint' }, `byte ${at}`)
    }
    for (const cut of [0, 5, 200, whole.length - 4]) {
      await writeFile(path, whole.subarray(0, cut))
      await assert.rejects(trainInFolder(folder), { code: 'damaged-checkpoint' }, `cut to ${cut}`)
    }
    await writeFile(path, Buffer.concat([whole, Buffer.alloc(4)]))
    await assert.rejects(trainInFolder(folder), { code: 'damaged-checkpoint' }, 'longer')
  })
})
