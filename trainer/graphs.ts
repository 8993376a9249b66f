/** The graphs of a model: the training step, and the towers that give vectors. */
import { GraphOps } from '../model/graph-ops.ts'
import type { Parameters } from '../model/ops.ts'
import { modalitiesOf, queryVector, sequenceVector, type VimlConfig } from '../model/viml.ts'
import { infoNce } from './loss.ts'

/** @param batch and segments are fixed, for a training graph knows its masks by their shapes. */
export function trainingGraph(
  config: VimlConfig,
  parameters: Parameters,
  temperature: number | 'learned',
  batch: number,
  segments: { readonly video: number; readonly music: number },
): { bytes: Uint8Array; sites: GraphOps['dropoutSites']; inputs: readonly string[] } {
  const ops = new GraphOps('viml.training', parameters, 'training')
  const { queries, tracks, inputs } = vectors(ops, config, batch, segments)
  const rows = ops.input('targets.rows', [batch, batch])
  const columns = ops.input('targets.columns', [batch, batch])
  ops.backward(infoNce(ops, queries, tracks, { rows, columns }, temperature))
  return { bytes: ops.toModel(), sites: ops.dropoutSites, inputs: [...inputs, 'targets.rows', 'targets.columns'] }
}

/** Both towers in one graph, for batches and lengths of any size. */
export function towersGraph(
  config: VimlConfig,
  parameters: Parameters,
): { bytes: Uint8Array; inputs: readonly string[] } {
  const ops = new GraphOps('viml.towers', parameters, 'serving')
  const { queries, tracks, inputs } = vectors(ops, config, 'batch', { video: 'shots', music: 'segments' })
  ops.output('query', queries)
  ops.output('track', tracks)
  return { bytes: ops.toModel(), inputs }
}

function vectors(
  ops: GraphOps,
  config: VimlConfig,
  batch: number | string,
  segments: { readonly video: number | string; readonly music: number | string },
) {
  const { widths } = config
  const inputs: string[] = []
  const input = (name: string, shape: readonly (number | string)[]) => {
    inputs.push(name)
    return ops.input(name, shape)
  }
  const sequences = (name: 'video' | 'music') => ({
    features: input(name, [batch, segments[name], widths[name]]),
    mask: input(`${name}.mask`, [batch, segments[name]]),
  })
  const asked = modalitiesOf(config)
  const video = asked.includes('video') ? sequences('video') : undefined
  const text = asked.includes('text') ? input('text', [batch, widths.text]) : undefined
  const music = sequences('music')
  // A side that the configuration does not ask with is not read.
  const queries = queryVector(ops, config, video!, text!)
  return { queries, tracks: sequenceVector(ops, config, 'music', music), inputs }
}
