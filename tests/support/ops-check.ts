/** Checks what is written over `Ops`: a backend's values and gradients against PlainOps and its central differences. */
import assert from 'node:assert/strict'
import { GraphOps } from '../../model/graph-ops.ts'
import type { Ops, Parameter, Parameters } from '../../model/ops.ts'
import { seededRandom, shuffled } from '../../model/random.ts'
import { evaluationSession, TrainingSession } from '../../trainer/graph/training-session.ts'
import type { StepResult, Values } from '../../trainer/step-backend.ts'
import { type Plain, PlainOps, sizeOf } from './plain-ops.ts'

/** Written once, for every backend. */
export type Program = <T>(ops: Ops<T>) => T

export type Shapes = Readonly<Record<string, readonly number[]>>

/** Uniform in [low, high). */
export function randomValues(seed: string, shape: readonly number[], low = -1, high = 1): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: sizeOf(shape) }, () => low + (high - low) * random())
}

export function randomParameters(shapes: Shapes, low = -1, high = 1): Map<string, Parameter> {
  return new Map(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      { shape, values: randomValues(name, shape, low, high), trained: true, decays: false },
    ]),
  )
}

export const plain = <V extends Values>(values: ReadonlyMap<string, V>): Map<string, Plain> =>
  new Map([...values].map(([name, { shape, values }]) => [name, { shape, values: Float64Array.from(values) }]))

/** A scalar that every element of the program's result has a part of its own in. */
export function weighted(program: Program): Program {
  return (ops) => {
    const y = program(ops)
    let sum = ops.multiply(y, ops.parameter('weights'))
    ops.shapeOf(y).forEach((_, axis) => {
      sum = ops.sum(sum, axis)
    })
    return sum
  }
}

/** A backend under test. */
export interface Engine {
  readonly name: string
  evaluate(program: Program, parameters: Parameters): Promise<Values>
  step(loss: Program, parameters: Parameters, masks: ReadonlyMap<string, Values>): Promise<StepResult>
}

export const graphEngine: Engine = {
  name: 'graph',

  async evaluate(program, parameters) {
    const ops = new GraphOps('check', parameters, 'serving')
    const y = program(ops)
    ops.output('y', y)
    const session = await evaluationSession(ops.toModel(), { threads: 1 })
    const found = (await session.run(new Map())).get('y')!
    await session.dispose()
    assert.deepEqual(ops.shapeOf(y), found.shape)
    return found
  },

  async step(loss, parameters, masks) {
    const ops = new GraphOps('check', parameters, 'training')
    ops.backward(loss(ops))
    const session = await TrainingSession.open(ops.toModel(), { threads: 1 })
    const result = await session.step({ inputs: new Map(), parameters, masks })
    await session.dispose()
    return result
  },
}

export async function checkValues(
  program: Program,
  parameters: ReadonlyMap<string, Parameter>,
  { tolerance = 1e-5, engine = graphEngine }: { tolerance?: number; engine?: Engine } = {},
) {
  const expected = program(new PlainOps(plain(parameters)))
  const found = await engine.evaluate(program, parameters)
  assert.deepEqual(found.shape, expected.shape)
  assertClose(found.values, expected.values, tolerance, 'value')
}

/**
 * Gradients of each engine against central differences; and, where there are several, all elements of theirs against each other.
 * @param masks by dropout site.
 * @param most how many elements of each parameter are compared with differences, drawn at random; all if absent.
 */
export async function checkGradients(
  program: Program,
  parameters: ReadonlyMap<string, Parameter>,
  {
    masks = new Map(),
    tolerance = 2e-5,
    most = Number.POSITIVE_INFINITY,
    engines = [graphEngine],
  }: {
    masks?: ReadonlyMap<string, Values>
    tolerance?: number
    most?: number
    engines?: readonly Engine[]
  } = {},
) {
  const { shape } = program(new PlainOps(plain(parameters), plain(masks)))
  const weights = { shape, values: randomValues('weights', shape, 0.5, 1.5), trained: false, decays: false }
  const all = new Map(parameters).set('weights', weights)
  const loss = weighted(program)
  const plainParameters = plain(all)
  const plainOps = new PlainOps(plainParameters, plain(masks))
  const plainLoss = () => loss(plainOps).values[0]!
  const trained = [...all].filter(([, { trained }]) => trained).map(([name]) => name)
  const differences = trained.map((name) => {
    const { values } = plainParameters.get(name)!
    const places = shuffled([...values.keys()], seededRandom(name)).slice(0, most)
    return { name, places, expected: places.map((place) => centralDifference(values, place, plainLoss)) }
  })
  let first: StepResult | undefined
  for (const engine of engines) {
    const step = await engine.step(loss, all, masks)
    assertClose([step.loss], [plainLoss()], tolerance, `${engine.name}: loss`)
    assert.deepEqual([...step.gradients.keys()].sort(), trained.sort())
    for (const { name, places, expected } of differences) {
      const found = step.gradients.get(name)!
      assert.equal(found.length, all.get(name)!.values.length, name)
      const compared = places.map((place) => found[place]!)
      assertClose(compared, expected, tolerance, `${engine.name}: gradient of ${name}`)
    }
    first ??= step
    for (const [name, values] of first.gradients) {
      assertClose(step.gradients.get(name)!, values, tolerance, `${name} by ${engine.name} and ${engines[0]!.name}`)
    }
  }
}

/** (f(x + h) − f(x − h)) / 2h for one x of `values`, which f reads. */
function centralDifference(values: Float64Array, place: number, f: () => number, h = 1e-5): number {
  const x = values[place]!
  values[place] = x + h
  const above = f()
  values[place] = x - h
  const below = f()
  values[place] = x
  return (above - below) / (2 * h)
}

/** @param tolerance of the difference, beside the largest value where that is above 1. */
export function assertClose(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string) {
  assert.equal(found.length, expected.length, `${what}: how many`)
  const scale = Array.from(expected).reduce((most, x) => Math.max(most, Math.abs(x)), 1)
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(found[i]! - expected[i]!)
    assert.ok(difference <= tolerance * scale, `${what} [${i}] is ${found[i]}, not ${expected[i]}`)
  }
}
