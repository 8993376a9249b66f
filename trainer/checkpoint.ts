/**
 * Checkpoints of a training run: a folder of files, each all that the run goes on from (training-state.ts), float32 and
 * exact, so that a run which was killed ends in the same bytes as one which was not.
 *
 *     checkpoint-<step>.safetensors     weight/<name>, first/…, second/… (moments), average/…, best/…
 *
 * Invariants:
 *   [whole]  a file is written beside its place, flushed, and renamed into it; the last two are kept
 *   [same]   a run goes on from a checkpoint of the same configuration, data and backend alone
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { SetupError } from '../ports/errors.ts'
import { PARTIAL, writeAtomically } from './data/atomic-file.ts'
import { decodeSafetensors, encodeSafetensors, type NamedArray, type Safetensors } from './safetensors.ts'
import { type TrainingState, withValues } from './training-state.ts'

/** What must be the same for a run to go on: names and values, all told apart where they differ. */
export type RunIdentity = Readonly<Record<string, string>>

const KEPT = 2
const NAME = /^checkpoint-(\d{9,})\.safetensors$/
const METADATA = 'cuestream.checkpoint'

const count = z.int().nonnegative()
const headerSchema = z.strictObject({
  format: z.literal(1),
  identity: z.record(z.string(), z.string()),
  step: count,
  epoch: count,
  batches: count,
  lossSum: z.number(),
  seconds: z.number(),
  epochs: z.array(z.strictObject({ epoch: count, loss: z.number(), score: z.number(), seconds: z.number() })),
  bestEpoch: count.nullable(),
})
type Header = z.infer<typeof headerSchema>

export class CheckpointFolder {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Makes the folder where there is none, and removes what a killed process had begun to write. */
  static async open(folder: string): Promise<CheckpointFolder> {
    await mkdir(folder, { recursive: true })
    for (const name of await readdir(folder)) if (name.endsWith(PARTIAL)) await rm(join(folder, name), { force: true })
    return new CheckpointFolder(folder)
  }

  /** Paths, the latest first. */
  async paths(): Promise<readonly string[]> {
    const found = (await readdir(this.#folder)).flatMap((name) => {
      const step = NAME.exec(name)?.[1]
      return step === undefined ? [] : [{ step: Number(step), path: join(this.#folder, name) }]
    })
    return found.sort((a, b) => b.step - a.step).map(({ path }) => path)
  }

  /** [whole] */
  async write(state: TrainingState, identity: RunIdentity): Promise<void> {
    const { step } = state.optimiser
    const path = join(this.#folder, `checkpoint-${String(step).padStart(9, '0')}.safetensors`)
    await writeAtomically(path, ...encodeSafetensors(fromState(state, identity)))
    for (const old of (await this.paths()).slice(KEPT)) await rm(old, { force: true })
  }

  /**
   * Puts the latest checkpoint into a state that has just begun. [same]
   * @returns whether there was one.
   * @throws SetupError 'damaged-checkpoint' | 'checkpoint-mismatch' naming what differs
   */
  async resume(state: TrainingState, identity: RunIdentity): Promise<boolean> {
    const [path, before] = await this.paths()
    if (path === undefined) return false
    const { header, arrays } = await read(path, before)
    const differing = [...new Set([...Object.keys(header.identity), ...Object.keys(identity)])].filter(
      (key) => header.identity[key] !== identity[key],
    )
    if (differing.length > 0) {
      const told = differing.map(
        (key) => `${key}: ${header.identity[key] ?? 'none'} there, ${identity[key] ?? 'none'} here`,
      )
      throw new SetupError(
        'checkpoint-mismatch',
        `${path} is of another run:\n  ${told.join('\n  ')}\nGo on as it was begun, or choose another folder.`,
      )
    }
    intoState(state, header, arrays, path)
    return true
  }
}

async function read(
  path: string,
  before: string | undefined,
): Promise<{ header: Header; arrays: Safetensors['arrays'] }> {
  try {
    const { arrays, metadata } = decodeSafetensors(await readFile(path))
    return { header: headerSchema.parse(JSON.parse(metadata[METADATA] ?? 'null')), arrays }
  } catch (cause) {
    const way = before === undefined ? 'to begin anew' : `to go on from ${before}`
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message
    throw new SetupError('damaged-checkpoint', `${path} cannot be used: ${why}. Remove it ${way}.`, { cause })
  }
}

function fromState(state: TrainingState, identity: RunIdentity): Safetensors {
  const { optimiser, epoch, batches, lossSum, seconds, epochs, best } = state
  const progress = { step: optimiser.step, epoch, batches, lossSum, seconds, epochs }
  const header: Header = { format: 1, identity, ...progress, bestEpoch: best?.report.epoch ?? null }
  return { arrays: arraysOf(state), metadata: { [METADATA]: JSON.stringify(header) } }
}

function intoState(state: TrainingState, header: Header, arrays: Safetensors['arrays'], path: string): void {
  const { step, epoch, batches, lossSum, seconds, epochs, bestEpoch } = header
  state.optimiser.step = step
  Object.assign(state, { epoch, batches, lossSum, seconds })
  state.epochs.push(...epochs)
  const report = epochs.find((one) => one.epoch === bestEpoch)
  if (report !== undefined)
    state.best = { report, parameters: withValues(state.parameters, (_, values) => values.slice()) }
  const wanted = arraysOf(state)
  if (wanted.size !== arrays.size) throw unlike(path, `it has ${arrays.size} arrays, not ${wanted.size}`)
  for (const [name, { shape, values }] of wanted) {
    const given = arrays.get(name)
    if (given === undefined || `${given.shape}` !== `${shape}`) {
      throw unlike(
        path,
        `the array "${name}" is ${given === undefined ? 'missing' : `[${given.shape}]`}, not [${shape}]`,
      )
    }
    values.set(given.values)
  }
}

/** Views, by their names in the file. */
function arraysOf({ parameters, optimiser, best }: TrainingState): Map<string, NamedArray> {
  const { first, second, average } = optimiser
  const arrays = new Map<string, NamedArray>()
  for (const [name, { shape, values }] of parameters) {
    arrays.set(`weight/${name}`, { shape, values })
    for (const [part, kept] of Object.entries({ first, second, average })) {
      const own = kept.get(name)
      if (own !== undefined) arrays.set(`${part}/${name}`, { shape, values: own })
    }
  }
  for (const [name, { shape, values }] of best?.parameters ?? []) arrays.set(`best/${name}`, { shape, values })
  return arrays
}

function unlike(path: string, why: string): SetupError {
  return new SetupError('damaged-checkpoint', `${path} cannot be used: ${why}. Remove it.`)
}
