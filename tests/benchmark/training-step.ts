/**
 * One training step of the model as it is by default, forward, backward and AdamW, on one thread of a CPU: on the graph,
 * by TensorFlow.js where it is installed (`npm run trainer:tfjs`), and by PyTorch where Python has it.
 *
 *     npm run benchmark:training-step -- [--batch 128] [--segments 16] [--dropout 0.1] [--rounds 9] [--python python3]
 *
 * Backends take turns, so that what else the machine does falls on all alike. Told are medians
 * and the least. A step is its gradients and AdamW, which here keeps the moving average of the weights besides.
 */
import { say } from '../../cli/terminal.ts'
import type { Parameter } from '../../model/ops.ts'
import { initialParameters, type VimlConfig } from '../../model/viml.ts'
import { SetupError } from '../../ports/errors.ts'
import { type AdamWConfig, type AdamWState, adamWStep, beginAdamW } from '../../trainer/adamw.ts'
import { type BackendName, chooseBackend } from '../../trainer/backends.ts'
import { dropoutMasks } from '../../trainer/dropout-masks.ts'
import { trainingGraph } from '../../trainer/graphs.ts'
import { targetsOf } from '../../trainer/loss.ts'
import type { StepBackend, StepModel, Values } from '../../trainer/step-backend.ts'
import { randomValues } from '../support/ops-check.ts'
import { median, readOptions, report } from './measure.ts'
import { type Cost, startTorch, type Torch } from './torch-process.ts'

const options = readOptions({ batch: 128, segments: 16, rounds: 9, threads: 1, dropout: '0.1', python: 'python3' })
const { batch, segments, rounds, threads } = options

const WIDTH = 512
const ENCODER = { kind: 'transformer', layers: 2, hidden: 1_024, heads: 4, segments } as const
const config: VimlConfig = {
  query: 'video+text',
  widths: { video: WIDTH, music: WIDTH, text: WIDTH },
  dims: 256,
  encoder: ENCODER,
  fusion: 'transformer-2',
  dropout: Number(options.dropout),
  inputDropout: 0,
}
const model: StepModel = { config, temperature: 0.03, seed: 1 }
const optimiser: AdamWConfig = { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.05, emaDecay: 0.98 }

/** What is measured, in turns. */
interface Contender {
  readonly name: string
  /** Of one step and of what is beside it, by part. */
  step(): Promise<Readonly<Record<string, Cost>>>
  close(): Promise<void>
}

function beginning(): ReadonlyMap<string, Parameter> {
  const statistics = { mean: new Float32Array(WIDTH), deviation: new Float32Array(WIDTH).fill(1) }
  return initialParameters(config, 1, { video: statistics, music: statistics, text: statistics })
}

function batchInputs(): Map<string, Values> {
  const { rows, columns } = targetsOf(Array.from({ length: batch }, (_, i) => `track ${i}`))
  const random = (name: string, shape: readonly number[]): [string, Values] => [
    name,
    { shape, values: randomValues(name, shape) },
  ]
  const present: Values = { shape: [batch, segments], values: new Float32Array(batch * segments).fill(1) }
  return new Map([
    random('video', [batch, segments, WIDTH]),
    ['video.mask', present],
    random('music', [batch, segments, WIDTH]),
    ['music.mask', present],
    random('text', [batch, WIDTH]),
    ['targets.rows', { shape: [batch, batch], values: rows }],
    ['targets.columns', { shape: [batch, batch], values: columns }],
  ])
}

async function costOf(work: () => unknown): Promise<Cost> {
  const [cpu, wall] = [process.cpuUsage(), performance.now()]
  await work()
  const { user, system } = process.cpuUsage(cpu)
  return { cpuMs: (user + system) / 1_000, wallMs: performance.now() - wall }
}

class OwnBackend implements Contender {
  readonly name: string
  readonly #backend: StepBackend
  readonly #parameters = beginning()
  readonly #state: AdamWState = beginAdamW(this.#parameters)
  readonly #inputs = batchInputs()

  constructor(backend: StepBackend) {
    this.name = backend.name
    this.#backend = backend
  }

  async step() {
    let gradients: ReadonlyMap<string, Float32Array> = new Map()
    const step = await costOf(async () => {
      gradients = (await this.#backend.step(this.#inputs, this.#parameters, this.#state.step)).gradients
    })
    const adamw = await costOf(() => adamWStep(this.#parameters, gradients, this.#state, 1e-4, optimiser))
    return { gradients: step, adamw }
  }

  close() {
    return this.#backend.dispose()
  }
}

/** What of a step on the graph is drawing its masks, which is in `gradients` too. */
class Masks implements Contender {
  readonly name = 'graph'
  readonly #sites = trainingGraph(config, beginning(), 0.03, batch, { video: segments, music: segments }).sites
  #steps = 0

  async step() {
    return { masks: await costOf(() => dropoutMasks(this.#sites, { seed: 1, step: this.#steps++ })) }
  }

  async close() {}
}

/** None where the backend cannot be had, which is said. */
async function own(wanted: BackendName): Promise<Contender[]> {
  try {
    return [new OwnBackend((await chooseBackend({ wanted, threads })).open(model))]
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say(error.message)
    return []
  }
}

async function torch(trained: number): Promise<Contender[]> {
  const { dims, dropout } = config
  const settings = { width: WIDTH, dims, ...ENCODER, batch, dropout, threads, trained }
  let started: Torch
  try {
    started = await startTorch(options.python, settings)
  } catch (error) {
    say(`There is no PyTorch to compare with: ${(error as Error).message}`)
    return []
  }
  return [{ name: 'torch', step: () => started.step(), close: () => started.close() }]
}

/** By `contender: part`. */
async function takeTurns(contenders: readonly Contender[]): Promise<Map<string, Cost[]>> {
  const costs = new Map<string, Cost[]>()
  for (let round = -WARM_UP; round < rounds; round++) {
    for (const contender of contenders) {
      for (const [part, cost] of Object.entries(await contender.step())) {
        const key = `${contender.name}: ${part}`
        if (round >= 0) costs.set(key, [...(costs.get(key) ?? []), cost])
      }
    }
  }
  return costs
}

const WARM_UP = 2

const trained = [...beginning().values()]
  .filter((parameter) => parameter.trained)
  .reduce((sum, { values }) => sum + values.length, 0)
const contenders = [...(await own('graph')), new Masks(), ...(await own('tfjs-node')), ...(await torch(trained))]
const costs = await takeTurns(contenders)
for (const contender of contenders) await contender.close()

const figures: Record<string, number> = { trained }
const rows = [['', 'CPU ms: median', 'least', 'wall ms: median', 'least']]
for (const [key, each] of costs) {
  const [cpu, wall] = [each.map(({ cpuMs }) => cpuMs), each.map(({ wallMs }) => wallMs)]
  const told = [median(cpu), Math.min(...cpu), median(wall), Math.min(...wall)]
  rows.push([key, ...told.map((ms) => ms.toFixed(0))])
  figures[`${key.replace(': ', '_').replace('-', '_')}_cpu_ms`] = median(cpu)
}
for (const name of ['graph', 'tfjs-node']) {
  const stepOf = (contender: string, of: (values: number[]) => number) =>
    ['gradients', 'adamw'].reduce((sum, part) => {
      return sum + of((costs.get(`${contender}: ${part}`) ?? []).map(({ cpuMs }) => cpuMs))
    }, 0)
  const ratios = [median, (values: number[]) => Math.min(...values)].map((of) => stepOf(name, of) / stepOf('torch', of))
  if (!ratios.every(Number.isFinite)) continue
  rows.push([`${name} step / torch step`, ...ratios.map((ratio) => ratio.toFixed(2))])
  figures[`${name.replace('-', '_')}_to_torch`] = ratios[0]!
}
report(
  `A training step: ${trained} parameters, batch ${batch}, ${segments} segments, dropout ${config.dropout}, ${threads} thread`,
  rows,
  figures,
)
