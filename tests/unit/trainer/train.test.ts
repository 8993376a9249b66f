/** Training as a whole, on pairs small enough to be learned by heart. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { featureInputs, trainingInputs } from '../../../trainer/batches.ts'
import { textVectorOf } from '../../../trainer/data/pairs.ts'
import { evaluationSession } from '../../../trainer/graph/training-session.ts'
import { towersGraph } from '../../../trainer/graphs.ts'
import { train } from '../../../trainer/train.ts'
import { parseTrainConfig } from '../../../trainer/train-config.ts'
import { randomPairs } from '../../support/random-pairs.ts'

const COUNT = 8
const TRANSFORMER = { kind: 'transformer', layers: 1, hidden: 16, heads: 2, segments: 4 }
const RESIDUAL_MLP = { kind: 'residual-mlp', layers: 1, hidden: 16 }
const BY_HEART = { dims: 16, dropout: 0, textDropout: 0, batch: COUNT, epochs: 80, emaDecay: 0, weightDecay: 0 }

/** Each epoch is taken for better than the one before. */
function byHeart(given: object, pairs = randomPairs(1)) {
  let epochs = 0
  const config = parseTrainConfig({ ...BY_HEART, ...given })
  return train({ config, pairs, threads: 1, validate: async () => ++epochs })
}

describe('training', () => {
  for (const fusion of ['add', 'linear', 'mlp', 'transformer-1', 'transformer-2']) {
    test(`a batch is learned by heart with fusion ${fusion}, and the loss goes to nothing`, async () => {
      const { epochs } = await byHeart({ encoder: TRANSFORMER, fusion, learningRate: 0.02 })
      assert.ok(epochs[0]!.loss > 1, `it begins at ${epochs[0]!.loss}`)
      assert.ok(epochs.at(-1)!.loss < 0.01, `it ends at ${epochs.at(-1)!.loss}`)
    })
  }
  for (const query of ['video', 'text']) {
    test(`so it is where ${query} alone asks`, async () => {
      const { epochs } = await byHeart({ query, encoder: RESIDUAL_MLP, learningRate: 0.02 })
      assert.ok(epochs.at(-1)!.loss < 0.01, `it ends at ${epochs.at(-1)!.loss}`)
    })
  }

  test('the same seed gives the same weights, another one others', async () => {
    const run = async (seed: number) => {
      const given = { seed, encoder: RESIDUAL_MLP, fusion: 'mlp', epochs: 3, dropout: 0.3, textDropout: 0.5 }
      return (await byHeart({ ...given, batch: 4 })).parameters.get('music.projection.weight')!.values
    }
    const first = await run(1)
    assert.deepEqual(await run(1), first)
    assert.notDeepEqual(await run(2), first)
  })

  test('a temperature that is learned moves from where it began, and the batch is learned all the same', async () => {
    const given = { encoder: RESIDUAL_MLP, fusion: 'add', temperature: 'learned', learningRate: 0.02 }
    const { parameters, epochs } = await byHeart(given)
    const [learned] = parameters.get('temperature.log-inverse')!.values
    assert.ok(Math.abs(learned! - Math.log(1 / 0.07)) > 0.01, String(learned))
    assert.ok(epochs.at(-1)!.loss < 0.05, `it ends at ${epochs.at(-1)!.loss}`)
  })

  test('padding does not matter: a pair has the same vectors alone and beside a longer one', async () => {
    const pairs = randomPairs(2)
    const { model, parameters } = await byHeart({ encoder: TRANSFORMER, epochs: 2 }, pairs)
    const { bytes, inputs } = towersGraph(model, parameters)
    const session = await evaluationSession(bytes, { threads: 1 })
    const vectors = async (chosen: readonly number[]) => {
      const given = featureInputs(pairs, chosen, (pair) => textVectorOf(pairs.texts!, pair))
      const outputs = await session.run(new Map(inputs.map((name) => [name, given.get(name)!])))
      return ['query', 'track'].map((name) => outputs.get(name)!.values)
    }
    const together = await vectors(pairs.videoIds.map((_, pair) => pair))
    for (let pair = 0; pair < COUNT; pair++) {
      for (const [tower, alone] of (await vectors([pair])).entries()) {
        for (const [i, value] of alone.entries()) {
          assert.ok(Math.abs(value - together[tower]![pair * model.dims + i]!) < 1e-5, `pair ${pair}, tower ${tower}`)
        }
      }
    }
    await session.dispose()
  })

  test('words fall out as often as asked, and x_NULL takes their place', () => {
    const pairs = randomPairs(3)
    const random = seededRandom(1)
    const chosen = Array.from({ length: 2_000 }, (_, i) => i % COUNT)
    const { values } = trainingInputs(pairs, chosen, { textDropout: 0.8, random }).get('text')!
    const xNull = pairs.texts!.vectors.subarray(0, 4)
    const dropped = chosen.filter((_, i) => xNull.every((value, column) => values[i * 4 + column] === value)).length
    assert.ok(Math.abs(dropped / chosen.length - 0.8) < 0.03, `${dropped} of ${chosen.length}`)
  })

  test('training that diverges is told as that', async () => {
    const pairs = randomPairs(4)
    pairs.weights[0] = Number.POSITIVE_INFINITY
    await assert.rejects(byHeart({ encoder: RESIDUAL_MLP, epochs: 2 }, pairs), { code: 'diverged' })
  })
})
