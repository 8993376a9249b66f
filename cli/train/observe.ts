/** What people, dashboards and log readers see of training, each by its own means. */
import type { TrainerMetrics } from '../../trainer/metrics.ts'
import type { TrainingLog } from '../../trainer/training-log.ts'
import { type Progress, progressBar } from '../terminal.ts'
import type { ModelName, TrainingObserver } from './train-models.ts'

export const NAMES: Readonly<Record<ModelName, string>> = { viml: 'ViML', mt: 'MT' }

export interface Shown extends TrainingObserver {
  /** Ends the bar that is shown. */
  stop(): void
}

export function observed(log: TrainingLog, metrics: TrainerMetrics): Shown {
  let shown: { readonly model: ModelName; readonly bar: Progress } | undefined
  let score = ''
  const stop = () => {
    shown?.bar.stop()
    shown = undefined
    score = ''
  }
  return {
    onStep(model, report) {
      log.step(model, report)
      metrics.step(model, report)
      if (shown?.model !== model) {
        stop()
        shown = { model, bar: progressBar(`${NAMES[model]}, steps`, report.steps) }
      }
      const { step, epoch, loss, pairs, seconds } = report
      shown.bar.update(step, `epoch ${epoch}, loss ${loss.toFixed(3)}${score}, ${Math.round(pairs / seconds)} pairs/s`)
    },
    onEpoch(model, report) {
      log.epoch(model, report)
      metrics.epoch(model, report)
      score = `, validation ${(100 * report.score).toFixed(1)} %`
    },
    stop,
  }
}
