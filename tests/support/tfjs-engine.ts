/** TensorFlow.js as a backend under test: on WebAssembly, or what CUESTREAM_TEST_TFJS names where that is installed. */
import { loadTfjs, type TfjsKind } from '../../trainer/tfjs/load-tfjs.ts'
import { TfjsOps } from '../../trainer/tfjs/tfjs-ops.ts'
import { tfjsStep } from '../../trainer/tfjs/tfjs-step.ts'
import type { Engine } from './ops-check.ts'

const kind = (process.env.CUESTREAM_TEST_TFJS ?? 'tfjs-wasm') as TfjsKind
export const tf = await loadTfjs(kind, { threads: 1 })

export const tfjsEngine: Engine = {
  name: kind,

  async evaluate(program, parameters) {
    const y = tf.tidy(() => {
      const tensors = [...parameters].map(([name, { values, shape }]) => [name, tf.tensor(values, [...shape])] as const)
      return program(new TfjsOps(tf, new Map(tensors)))
    })
    const values = (await y.data()) as Float32Array
    y.dispose()
    return { shape: y.shape, values }
  },

  step(loss, parameters, masks) {
    const mask = (site: string) => masks.get(site)!.values
    return tfjsStep(tf, { parameters, inputs: new Map(), mask, loss: (ops) => loss(ops) })
  },
}
