import { test } from 'node:test'
import { operations } from '../../support/ops-cases.ts'
import { checkGradients, checkValues, randomParameters } from '../../support/ops-check.ts'
import { tfjsEngine } from '../../support/tfjs-engine.ts'

for (const [name, { shapes, program, low, high }] of Object.entries(operations)) {
  test(`${name} by TensorFlow.js: values are those of the definition, gradients those of differences`, async () => {
    const parameters = randomParameters(shapes, low, high)
    await checkValues(program, parameters, { engine: tfjsEngine })
    await checkGradients(program, parameters, { engines: [tfjsEngine] })
  })
}
