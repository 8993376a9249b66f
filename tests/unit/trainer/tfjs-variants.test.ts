import { test } from 'node:test'
import { GraphOps } from '../../../model/graph-ops.ts'
import type { Ops, Parameter } from '../../../model/ops.ts'
import {
  type EncoderConfig,
  type Fusion,
  initialParameters,
  queryVector,
  sequenceVector,
  type VimlConfig,
} from '../../../model/viml.ts'
import { dropoutMasks } from '../../../trainer/dropout-masks.ts'
import { infoNce, TEMPERATURE, targetsOf } from '../../../trainer/loss.ts'
import { checkGradients, checkValues, graphEngine, randomValues } from '../../support/ops-check.ts'
import { tfjsEngine } from '../../support/tfjs-engine.ts'

const batch = 4
const segments = 3
const widths = { video: 5, music: 4, text: 3 }
const encoders: readonly EncoderConfig[] = [
  { kind: 'residual-mlp', layers: 1, hidden: 6 },
  { kind: 'transformer', layers: 2, hidden: 6, heads: 2, segments: 5 },
]
const queries: readonly { name: string; query: VimlConfig['query']; fusions: readonly Fusion[] }[] = [
  { name: 'ViML', query: 'video+text', fusions: ['add', 'linear', 'mlp', 'transformer-1', 'transformer-2'] },
  { name: 'MVPt+', query: 'video', fusions: ['add'] },
  { name: 'MT', query: 'text', fusions: ['add'] },
]

/** Of the variant, none at 0, with a batch of inputs beside them: four pairs, of which two are of one track. */
function parametersOf(config: VimlConfig): Map<string, Parameter> {
  const statistics = (width: number) => ({
    mean: randomValues(`mean of ${width}`, [width]),
    deviation: randomValues(`deviation of ${width}`, [width], 0.5, 2),
  })
  const initial = initialParameters(config, 1, {
    video: statistics(widths.video),
    music: statistics(widths.music),
    text: statistics(widths.text),
  })
  const parameters = new Map<string, Parameter>()
  for (const [name, parameter] of initial) {
    const [low, high] = name.endsWith('.gain') ? [0.5, 1.5] : [-0.7, 0.7]
    const { trained, shape } = parameter
    parameters.set(name, trained ? { ...parameter, values: randomValues(name, shape, low, high) } : parameter)
  }
  const put = (name: string, shape: readonly number[], values = randomValues(name, shape), trained = false) =>
    parameters.set(name, { shape, values, trained, decays: false })
  put(TEMPERATURE, [], Float32Array.of(1.5), true)
  put('video', [batch, segments, widths.video])
  put('music', [batch, segments, widths.music])
  put('text', [batch, widths.text])
  put('present', [batch, segments], Float32Array.of(1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1))
  const targets = targetsOf(['a', 'b', 'a', 'c'])
  put('rows', [batch, batch], targets.rows)
  put('columns', [batch, batch], targets.columns)
  return parameters
}

for (const { name, query, fusions } of queries) {
  for (const fusion of fusions) {
    for (const encoder of encoders) {
      const config: VimlConfig = { query, widths, dims: 4, encoder, fusion, dropout: 0.3, inputDropout: 0.3 }
      const queryOf = <T>(ops: Ops<T>) => {
        const video = { features: ops.parameter('video'), mask: ops.parameter('present') }
        return queryVector(ops, config, video, ops.parameter('text'))
      }
      const tracksOf = <T>(ops: Ops<T>) =>
        sequenceVector(ops, config, 'music', { features: ops.parameter('music'), mask: ops.parameter('present') })
      const lossAt =
        (temperature: number | 'learned') =>
        <T>(ops: Ops<T>) => {
          const targets = { rows: ops.parameter('rows'), columns: ops.parameter('columns') }
          return infoNce(ops, queryOf(ops), tracksOf(ops), targets, temperature)
        }
      const variant = `${name}, ${encoder.kind}${query === 'video+text' ? `, fusion ${fusion}` : ''}`

      test(`${variant}: the served vectors are those of the definitions, on both backends`, async () => {
        const parameters = parametersOf(config)
        for (const engine of [graphEngine, tfjsEngine]) {
          await checkValues(queryOf, parameters, { tolerance: 2e-6, engine })
          await checkValues(tracksOf, parameters, { tolerance: 2e-6, engine })
        }
      })

      for (const temperature of ['learned', 0.2] as const) {
        const given = `${variant}, τ ${temperature === 'learned' ? 'learned' : 'fixed'}`
        test(`${given}: the gradient of every parameter is that of differences, and the same on both backends`, async () => {
          const parameters = parametersOf(config)
          if (temperature !== 'learned') parameters.delete(TEMPERATURE)
          const loss = lossAt(temperature)
          const ops = new GraphOps('sites', parameters, 'training')
          loss(ops)
          const masks = dropoutMasks(ops.dropoutSites, { seed: 1, step: 1 })
          const engines = [graphEngine, tfjsEngine]
          await checkGradients(loss, parameters, { masks, tolerance: 1e-5, most: 7, engines })
        })
      }
    }
  }
}
