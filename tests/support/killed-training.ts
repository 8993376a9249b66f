/**
 * A child process that trains, with checkpoints in a folder. Told to stop at a step, it says so and then does nothing more,
 * so that it can be killed (-9) exactly there.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { CheckpointFolder } from '../../trainer/checkpoint.ts'
import { retrievalValidation } from '../../trainer/evaluation/validation.ts'
import { type Trained, type TrainOptions, train } from '../../trainer/train.ts'
import { parseTrainConfig } from '../../trainer/train-config.ts'
import { randomPairs } from './random-pairs.ts'

const self = fileURLToPath(import.meta.url)

/** Everything that is random or is averaged takes part: dropout, words that fall out, windows, moments, patience. */
export const KILLED_CONFIG = parseTrainConfig({
  dims: 16,
  encoder: { kind: 'transformer', layers: 1, hidden: 16, heads: 2, segments: 2 },
  fusion: 'mlp',
  textDropout: 0.5,
  dropout: 0.2,
  inputDropout: 0.1,
  temperature: 'learned',
  batch: 4,
  accumulate: 2,
  epochs: 6,
  learningRate: 0.01,
  emaDecay: 0.9,
  clipNorm: 1,
  patience: 4,
})
export const EVERY_STEPS = 3

/** Goes on from what lies in the folder, to the end. */
export async function trainInFolder(folder: string, more: Partial<TrainOptions> = {}): Promise<Trained> {
  const pairs = randomPairs(1, 24)
  return train({
    config: KILLED_CONFIG,
    pairs,
    threads: 1,
    // By what it learns by heart, so that the best epoch is a late one.
    validate: retrievalValidation(pairs, KILLED_CONFIG, 1),
    checkpoints: { folder: await CheckpointFolder.open(folder), everySteps: EVERY_STEPS, identity: { data: 'tiny' } },
    ...more,
  })
}

/** @returns once a process that trained in the folder was killed after the step. */
export async function killTrainingAt(folder: string, step: number): Promise<void> {
  const child = spawn(process.execPath, ['--import', 'tsx', self, folder, `${step}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  for await (const line of createInterface({ input: child.stdout })) if (line === `step ${step}`) child.kill('SIGKILL')
  const [code, signal] = await exited
  if (signal !== 'SIGKILL') throw new Error(`The training ended by itself with code ${code}, signal ${signal}`)
}

if (process.argv[1] === self) {
  const [folder, stopAt] = process.argv.slice(2)
  await trainInFolder(folder!, {
    onStep({ step }) {
      if (step !== Number(stopAt)) return
      process.stdout.write(`step ${step}\n`, () => {})
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    },
  })
}
