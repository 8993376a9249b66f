/**
 * How a run went, as lines of JSON: one every so many steps, one each epoch. A run that goes on from a checkpoint appends;
 * steps that it does again stand there twice, and the later line counts.
 *
 *     {"at":"…","run":"9f2c…","config":"51ab…","model":"viml","kind":"step","step":40,"steps":408,"epoch":3,"loss":…,
 *      "gradientNorm":…,"learningRate":…,"pairsPerSecond":…}
 *     {"at":"…","run":"9f2c…","config":"51ab…","model":"viml","kind":"epoch","epoch":3,"loss":…,"score":…,"seconds":…}
 */
import { appendFileSync } from 'node:fs'
import type { EpochReport, StepReport } from './train.ts'

export interface TrainingLogOptions {
  readonly path: string
  /** Tells runs apart where logs are gathered. */
  readonly run: string
  /** Hash of the configuration. */
  readonly config: string
  readonly everySteps: number
  readonly now: () => number
}

export interface TrainingLog {
  step(model: string, report: StepReport): void
  epoch(model: string, report: EpochReport): void
}

export function trainingLog({ path, run, config, everySteps, now }: TrainingLogOptions): TrainingLog {
  const append = (model: string, kind: string, fields: object) => {
    const at = new Date(now()).toISOString()
    appendFileSync(path, `${JSON.stringify({ at, run, config, model, kind, ...fields })}\n`)
  }
  return {
    step(model, { pairs, seconds, ...report }) {
      if (report.step % everySteps !== 0) return
      append(model, 'step', { ...report, pairsPerSecond: Number((pairs / seconds).toPrecision(4)) })
    },
    epoch(model, report) {
      append(model, 'epoch', report)
    },
  }
}
