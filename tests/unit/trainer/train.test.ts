/** Training as a whole, on pairs small enough to be learned by heart. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { adamWStep } from '../../../trainer/adamw.ts'
import { epochBatches, featureInputs, trainingInputs } from '../../../trainer/batches.ts'
import { textVectorOf } from '../../../trainer/data/pairs.ts'
import { GraphBackend } from '../../../trainer/graph/graph-backend.ts'
import { evaluationSession } from '../../../trainer/graph/training-session.ts'
import { towersGraph } from '../../../trainer/graphs.ts'
import { type StepReport, train } from '../../../trainer/train.ts'
import { parseTrainConfig } from '../../../trainer/train-config.ts'
import { beginTraining } from '../../../trainer/training-state.ts'
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

  test('batches that accumulate make one step by the mean of their gradients, each with its own negatives alone', async () => {
    const pairs = randomPairs(5)
    const given = { encoder: RESIDUAL_MLP, fusion: 'mlp', dropout: 0.3, batch: 4, accumulate: 2, epochs: 1 }
    const steps: StepReport[] = []
    const config = parseTrainConfig({ ...BY_HEART, ...given })
    const validate = async () => 1
    const { model, parameters } = await train({
      config,
      pairs,
      threads: 1,
      validate,
      onStep: (step) => steps.push(step),
    })

    const alone = beginTraining(config, model, pairs)
    const backend = new GraphBackend(
      { config: model, temperature: config.temperature, seed: config.seed },
      { threads: 1 },
    )
    const results = []
    for (const [number, batch] of epochBatches(COUNT, 4, seededRandom('1/epoch/1')).entries()) {
      const inputs = trainingInputs(pairs, batch, { textDropout: 0, random: seededRandom(`1/batch/${number}`) })
      results.push(await backend.step(inputs, alone.parameters, number))
    }
    await backend.dispose()
    const [one, two] = results
    const mean = new Map(
      [...one!.gradients].map(([name, a]) => [name, a.map((g, i) => (g + two!.gradients.get(name)![i]!) / 2)]),
    )
    adamWStep(alone.parameters, mean, alone.optimiser, config.learningRate, { ...config, epsilon: 1e-8 })

    assert.equal(steps.length, 1)
    assert.ok(Math.abs(steps[0]!.loss - (one!.loss + two!.loss) / 2) < 1e-6, String(steps[0]!.loss))
    assert.equal(steps[0]!.pairs, COUNT)
    for (const [name, { values }] of alone.parameters) {
      for (const [i, value] of parameters.get(name)!.values.entries()) {
        assert.ok(Math.abs(value - values[i]!) < 1e-6, `${name}[${i}]: ${value}, ${values[i]}`)
      }
    }
  })

  test('of a longer sequence training draws a window, the same of a video and its sound; evaluation takes the first', () => {
    const lengths = [5, 2, 3]
    const numbered = {
      dims: 1,
      offsets: Uint32Array.of(0, 5, 7, 10),
      values: Float32Array.from({ length: 10 }, (_, i) => i),
    }
    const pairs = { ...randomPairs(6, lengths.length), video: numbered, music: numbered }
    const starts = new Set<number>()
    for (let draw = 0; draw < 40; draw++) {
      const given = trainingInputs(pairs, [0, 1, 2], { textDropout: 0, mostSegments: 3, random: seededRandom(draw) })
      const [video, music] = [given.get('video')!, given.get('music')!]
      assert.deepEqual(video.shape, [3, 3, 1])
      assert.deepEqual(video.values, music.values)
      const [first, second, third] = video.values
      assert.deepEqual([second, third], [first! + 1, first! + 2])
      starts.add(first!)
      assert.deepEqual([...video.values.subarray(3)], [5, 6, 0, 7, 8, 9], 'what is short enough stays')
    }
    assert.deepEqual([...starts].sort(), [0, 1, 2])
    const evaluated = featureInputs(pairs, [0, 1, 2], () => undefined, { most: 3 }).get('music')!
    assert.deepEqual([...evaluated.values.subarray(0, 3)], [0, 1, 2])
    assert.deepEqual([...featureInputs(pairs, [0, 1, 2], () => undefined).get('music')!.shape], [3, 5, 1])
  })

  test('lengths that differ from batch to batch give few shapes, so few graphs', () => {
    const shapes = new Set<number>()
    for (let length = 1; length <= 40; length++) {
      const sequences = { dims: 1, offsets: Uint32Array.of(0, length), values: new Float32Array(length) }
      const pairs = { ...randomPairs(7, 1), video: sequences, music: sequences }
      const given = trainingInputs(pairs, [0], { textDropout: 0, mostSegments: 30, random: seededRandom(1) })
      shapes.add(given.get('video')!.shape[1]!)
      const counted = given.get('video.mask')!.values.reduce((sum, value) => sum + value, 0)
      assert.equal(counted, Math.min(length, 30), `of ${length} segments`)
    }
    assert.deepEqual([...shapes], [1, 8, 16, 24, 30])
  })

  test('it stops once no epoch was better for as long as it has patience', async () => {
    const scores = [1, 3, 2, 2.5, 1, 9]
    const config = parseTrainConfig({ ...BY_HEART, encoder: RESIDUAL_MLP, epochs: 6, patience: 3 })
    const { best, epochs } = await train({
      config,
      pairs: randomPairs(1),
      threads: 1,
      validate: async () => scores.shift()!,
    })
    assert.deepEqual([epochs.length, best.epoch], [5, 2])
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
