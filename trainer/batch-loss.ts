/** From what a batch feeds to its vectors and loss, once for every backend. */
import type { Ops } from '../model/ops.ts'
import { modalitiesOf, queryVector, sequenceVector, type VimlConfig } from '../model/viml.ts'
import { infoNce } from './loss.ts'
import type { StepModel } from './step-backend.ts'

/** @param input gives what is fed, by its name (batches.ts); asked for what the configuration reads alone. */
export function batchVectors<T>(ops: Ops<T>, config: VimlConfig, input: (name: string) => T): { query: T; track: T } {
  const sequences = (name: 'video' | 'music') => ({ features: input(name), mask: input(`${name}.mask`) })
  const asked = modalitiesOf(config)
  const video = asked.includes('video') ? sequences('video') : undefined
  const text = asked.includes('text') ? input('text') : undefined
  const music = sequences('music')
  // A side that the configuration does not ask with is not read.
  return { query: queryVector(ops, config, video!, text!), track: sequenceVector(ops, config, 'music', music) }
}

/** @returns (1, 1) */
export function batchLoss<T>(
  ops: Ops<T>,
  { config, temperature }: Omit<StepModel, 'seed'>,
  input: (name: string) => T,
): T {
  const { query, track } = batchVectors(ops, config, input)
  const targets = { rows: input('targets.rows'), columns: input('targets.columns') }
  return infoNce(ops, query, track, targets, temperature)
}
