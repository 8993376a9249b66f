import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { serveMetrics } from '../../../cli/train/metrics-server.ts'
import { createTrainerMetrics } from '../../../trainer/metrics.ts'
import type { StepReport } from '../../../trainer/train.ts'
import { trainingLog } from '../../../trainer/training-log.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const STEP: StepReport = {
  step: 4,
  steps: 16,
  epoch: 2,
  loss: 1.5,
  gradientNorm: 0.75,
  learningRate: 0.001,
  pairs: 128,
  seconds: 0.2,
}

test('metrics of training are served at /metrics, and nothing else is', async () => {
  const registry = new Registry()
  const metrics = createTrainerMetrics(registry)
  metrics.step('viml', STEP)
  metrics.step('viml', { ...STEP, step: 8, loss: 1.25 })
  metrics.epoch('viml', { epoch: 2, loss: 1.4, score: 0.5, seconds: 1 })
  metrics.run('refused')
  const server = await serveMetrics(registry, 0)
  try {
    const text = await (await fetch(server.url)).text()
    for (const line of [
      'cuestream_trainer_loss{model="viml"} 1.25',
      'cuestream_trainer_gradient_norm{model="viml"} 0.75',
      'cuestream_trainer_learning_rate{model="viml"} 0.001',
      'cuestream_trainer_progress_ratio{model="viml"} 0.5',
      'cuestream_trainer_epoch{model="viml"} 2',
      'cuestream_trainer_pairs_total{model="viml"} 256',
      'cuestream_trainer_step_seconds_count{model="viml"} 2',
      'cuestream_trainer_step_seconds_bucket{le="0.1",model="viml"} 0',
      'cuestream_trainer_validation_recall{model="viml"} 0.5',
      'cuestream_trainer_runs_total{outcome="refused"} 1',
    ]) {
      assert.ok(text.includes(`${line}\n`), line)
    }
    assert.equal((await fetch(new URL('/', server.url))).status, 404)
    await assert.rejects(serveMetrics(registry, Number(new URL(server.url).port)), { code: 'cannot-listen' })
  } finally {
    await server.close()
  }
})

test('the log has a line every so many steps and every epoch, and a run that goes on appends to it', () => {
  const path = join(temporaryFolder(), 'log.jsonl')
  const options = { path, run: 'r1', config: 'c1', everySteps: 4, now: () => 0 }
  const log = trainingLog(options)
  for (const step of [3, 4, 5]) log.step('viml', { ...STEP, step })
  log.epoch('viml', { epoch: 2, loss: 1.4, score: 0.5, seconds: 1 })
  trainingLog(options).step('mt', { ...STEP, step: 8 })
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  const about = { at: '1970-01-01T00:00:00.000Z', run: 'r1', config: 'c1' }
  const { pairs: _, seconds: __, ...figures } = STEP
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      { ...about, model: 'viml', kind: 'step', ...figures, step: 4, pairsPerSecond: 640 },
      { ...about, model: 'viml', kind: 'epoch', epoch: 2, loss: 1.4, score: 0.5, seconds: 1 },
      { ...about, model: 'mt', kind: 'step', ...figures, step: 8, pairsPerSecond: 640 },
    ],
  )
})
