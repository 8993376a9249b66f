/** Training steps by onnxruntime: one graph for each shape of batch, as sequences are padded to the longest of theirs. */
import type { GraphOps } from '../../model/graph-ops.ts'
import type { Parameters } from '../../model/ops.ts'
import { dropoutMasks } from '../dropout-masks.ts'
import { trainingGraph } from '../graphs.ts'
import type { StepBackend, StepModel, StepResult, Values } from '../step-backend.ts'
import { TrainingSession } from './training-session.ts'

interface OpenGraph {
  readonly session: TrainingSession
  readonly sites: GraphOps['dropoutSites']
  readonly inputs: readonly string[]
}

export class GraphBackend implements StepBackend {
  readonly name = 'graph'
  readonly #model: StepModel
  readonly #threads: number
  readonly #opened = new Map<string, OpenGraph>()

  constructor(model: StepModel, { threads }: { threads: number }) {
    this.#model = model
    this.#threads = threads
  }

  async step(given: ReadonlyMap<string, Values>, parameters: Parameters, step: number): Promise<StepResult> {
    const [batch, video] = given.get('video')!.shape as [number, number]
    const music = given.get('music')!.shape[1]!
    const { session, sites, inputs } = await this.#open(parameters, batch, { video, music })
    const fed = new Map(inputs.map((name) => [name, given.get(name)!]))
    const { seed } = this.#model
    return session.step({ inputs: fed, parameters, masks: dropoutMasks(sites, { seed, step }) })
  }

  async #open(parameters: Parameters, batch: number, segments: { video: number; music: number }): Promise<OpenGraph> {
    const key = `${batch} ${segments.video} ${segments.music}`
    let opened = this.#opened.get(key)
    if (opened === undefined) {
      const { config, temperature } = this.#model
      const { bytes, sites, inputs } = trainingGraph(config, parameters, temperature, batch, segments)
      opened = { session: await TrainingSession.open(bytes, { threads: this.#threads }), sites, inputs }
      this.#opened.set(key, opened)
    }
    return opened
  }

  async dispose(): Promise<void> {
    for (const { session } of this.#opened.values()) await session.dispose()
    this.#opened.clear()
  }
}
