/** The graphs of a model: the training step, and the towers that give vectors. */
import { GraphOps } from '../model/graph-ops.ts'
import type { Parameters, Shape } from '../model/ops.ts'
import type { VimlConfig } from '../model/viml.ts'
import { batchLoss, batchVectors } from './batch-loss.ts'

/** @param batch and segments are fixed, for a training graph knows its masks by their shapes. */
export function trainingGraph(
  config: VimlConfig,
  parameters: Parameters,
  temperature: number | 'learned',
  batch: number,
  segments: { readonly video: number; readonly music: number },
): { bytes: Uint8Array; sites: GraphOps['dropoutSites']; inputs: readonly string[] } {
  const ops = new GraphOps('viml.training', parameters, 'training')
  const shapes: ReadonlyMap<string, Shape> = new Map([
    ...inputShapes(config, batch, segments),
    ['targets.rows', [batch, batch]],
    ['targets.columns', [batch, batch]],
  ])
  const inputs: string[] = []
  ops.backward(batchLoss(ops, { config, temperature }, reader(ops, shapes, inputs)))
  return { bytes: ops.toModel(), sites: ops.dropoutSites, inputs }
}

/** Both towers in one graph, for batches and lengths of any size. */
export function towersGraph(
  config: VimlConfig,
  parameters: Parameters,
): { bytes: Uint8Array; inputs: readonly string[] } {
  const ops = new GraphOps('viml.towers', parameters, 'serving')
  const inputs: string[] = []
  const shapes = inputShapes(config, 'batch', { video: 'shots', music: 'segments' })
  const { query, track } = batchVectors(ops, config, reader(ops, shapes, inputs))
  ops.output('query', query)
  ops.output('track', track)
  return { bytes: ops.toModel(), inputs }
}

function inputShapes(
  { widths }: VimlConfig,
  batch: number | string,
  segments: { readonly video: number | string; readonly music: number | string },
): ReadonlyMap<string, Shape> {
  return new Map<string, Shape>([
    ['video', [batch, segments.video, widths.video]],
    ['video.mask', [batch, segments.video]],
    ['text', [batch, widths.text]],
    ['music', [batch, segments.music, widths.music]],
    ['music.mask', [batch, segments.music]],
  ])
}

/** Makes an input of what is read, and notes its name in `names`. */
function reader(ops: GraphOps, shapes: ReadonlyMap<string, Shape>, names: string[]) {
  return (name: string) => {
    names.push(name)
    return ops.input(name, shapes.get(name)!)
  }
}
