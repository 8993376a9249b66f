/** What a training process exports; docs/metrics.md is the spec. `model` is viml or mt. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { EpochReport, StepReport } from './train.ts'

export interface TrainerMetrics {
  step(model: string, report: StepReport): void
  epoch(model: string, report: EpochReport): void
  /** A run has ended. */
  run(outcome: 'released' | 'bundled' | 'refused' | 'failed'): void
}

const STEP_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export function createTrainerMetrics(registry: Registry): TrainerMetrics {
  const registers = [registry]
  const loss = new Gauge({
    name: 'cuestream_trainer_loss',
    help: 'InfoNCE of the latest step.',
    labelNames: ['model'],
    registers,
  })
  const gradientNorm = new Gauge({
    name: 'cuestream_trainer_gradient_norm',
    help: 'Norm of all gradients of the latest step, before clipping.',
    labelNames: ['model'],
    registers,
  })
  const learningRate = new Gauge({
    name: 'cuestream_trainer_learning_rate',
    help: 'Learning rate of the latest step.',
    labelNames: ['model'],
    registers,
  })
  const progress = new Gauge({
    name: 'cuestream_trainer_progress_ratio',
    help: 'Steps done, of those planned; patience may end a run sooner.',
    labelNames: ['model'],
    registers,
  })
  const epoch = new Gauge({
    name: 'cuestream_trainer_epoch',
    help: 'The epoch under way, from 1.',
    labelNames: ['model'],
    registers,
  })
  const stepSeconds = new Histogram({
    name: 'cuestream_trainer_step_seconds',
    help: 'Time of a step: its batches, their gradients and the optimiser.',
    labelNames: ['model'],
    buckets: STEP_SECONDS,
    registers,
  })
  const pairs = new Counter({
    name: 'cuestream_trainer_pairs_total',
    help: 'Pairs trained on, each time anew.',
    labelNames: ['model'],
    registers,
  })
  const recall = new Gauge({
    name: 'cuestream_trainer_validation_recall',
    help: 'Mean of R@1, R@5 and R@10 on the validation pairs after the latest epoch.',
    labelNames: ['model'],
    registers,
  })
  const runs = new Counter({
    name: 'cuestream_trainer_runs_total',
    help: 'Runs that ended, by outcome.',
    labelNames: ['outcome'],
    registers,
  })
  return {
    step(model, report) {
      loss.set({ model }, report.loss)
      gradientNorm.set({ model }, report.gradientNorm)
      learningRate.set({ model }, report.learningRate)
      progress.set({ model }, report.step / report.steps)
      epoch.set({ model }, report.epoch)
      stepSeconds.observe({ model }, report.seconds)
      pairs.inc({ model }, report.pairs)
    },
    epoch(model, { score }) {
      recall.set({ model }, score)
    },
    run(outcome) {
      runs.inc({ outcome })
    },
  }
}
