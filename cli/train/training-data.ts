/**
 * What a release is trained and judged on. Wherever it comes from, no track and no artist is on two sides:
 *
 *     train        what weights are fitted to
 *     validation   what stops training and tunes a
 *     evaluation   what the gate measures a release on, beside the one that serves
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { TextEncoder } from '../../ports/encoder.ts'
import { InvalidRecordError, SetupError } from '../../ports/errors.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import { type Pairs, selectPairs } from '../../trainer/data/pairs.ts'
import { pairsFromFiles } from '../../trainer/data/pairs-from-files.ts'
import { stableSplit } from '../../trainer/data/split.ts'

export interface TrainingData {
  readonly train: Pairs
  readonly validation: Pairs
  readonly evaluation: Pairs
  /** Whose features these are. */
  readonly encoders: ReleaseManifest['encoders']
  /** Sentences for the model card: where from, how much, how split. */
  readonly description: string
}

export interface DataContext {
  readonly textEncoder: TextEncoder
  /** Where encoded texts are kept. */
  readonly cacheFolder: string
  onTexts?(done: number, of: number): void
}

export type DataSource = (context: DataContext) => Promise<TrainingData>

/** Fewer on a side than this say nothing, and batches have no negatives. */
const LEAST_PAIRS = { train: 16, validation: 8, evaluation: 8 } as const
const HELD_OUT = 0.2

export interface PairFolders {
  readonly pairs: string
  /** Part of `pairs` if absent. */
  readonly validation?: string | undefined
  /** The validation pairs if they have a folder of their own, else part of `pairs`. */
  readonly evaluation?: string | undefined
}

/** Pairs from folders of .npy and CSV files. An `encoders.json` in the first names whose features they are. */
export const folderSource =
  (folders: PairFolders): DataSource =>
  async (context) => {
    for (const [option, folder] of Object.entries(folders)) {
      if (folder !== undefined && !existsSync(folder)) {
        throw new SetupError('no-folder', `There is no folder ${folder} (--${option}).`)
      }
    }
    const read = (folder: string) =>
      pairsFromFiles(folder, {
        textEncoder: context.textEncoder,
        cacheFolder: context.cacheFolder,
        onProgress: (done, of) => context.onTexts?.(done, of),
      })
    const given = await read(folders.pairs)
    const sides = await sidesOf(given, folders, read)
    checkSides(sides, folders.pairs)
    const { id, dims } = context.textEncoder
    const { video, music } = await encoderIds(folders.pairs)
    const encoders = {
      video: { id: video, dims: given.video.dims },
      music: { id: music, dims: given.music.dims },
      text: { id, dims },
    }
    return { ...sides, encoders, description: described(sides, encoders) }
  }

async function sidesOf(
  given: Pairs,
  { validation, evaluation }: PairFolders,
  read: (folder: string) => Promise<Pairs>,
): Promise<Pick<TrainingData, 'train' | 'validation' | 'evaluation'>> {
  if (validation !== undefined) {
    const stopping = await read(validation)
    return {
      train: given,
      validation: stopping,
      evaluation: evaluation === undefined ? stopping : await read(evaluation),
    }
  }
  const { train, evaluation: heldOut } = splitOf(given, HELD_OUT)
  if (evaluation !== undefined) return { train, validation: heldOut, evaluation: await read(evaluation) }
  const halves = splitOf(heldOut, 0.5, 'validation or evaluation')
  return { train, validation: halves.train, evaluation: halves.evaluation }
}

function splitOf(pairs: Pairs, share: number, name?: string): { train: Pairs; evaluation: Pairs } {
  const { train, evaluation } = stableSplit(pairs, share, name)
  return { train: selectPairs(pairs, train), evaluation: selectPairs(pairs, evaluation) }
}

/** @throws SetupError 'too-few-pairs' | 'no-texts' */
export function checkSides(sides: Pick<TrainingData, 'train' | 'validation' | 'evaluation'>, from: string): void {
  for (const side of ['train', 'validation', 'evaluation'] as const) {
    const { count, texts } = sides[side]
    if (count < LEAST_PAIRS[side]) {
      throw new SetupError(
        'too-few-pairs',
        `${from} gives ${count} pairs for ${side}, where ${LEAST_PAIRS[side]} are the least. Bring more.`,
      )
    }
    if (texts === undefined) {
      throw new SetupError('no-texts', `The pairs for ${side} have no words: items.csv needs a column text or labels.`)
    }
  }
}

const encodersSchema = z.strictObject({ video: z.string().min(1), music: z.string().min(1) })

async function encoderIds(folder: string): Promise<z.infer<typeof encodersSchema>> {
  const path = join(folder, 'encoders.json')
  if (!existsSync(path)) return { video: 'unnamed-video', music: 'unnamed-music' }
  try {
    return encodersSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message
    throw new InvalidRecordError('bad-encoders', `${path} cannot be used: ${why}. It is {"video": id, "music": id}.`, {
      cause,
    })
  }
}

function described(
  { train, validation, evaluation }: Pick<TrainingData, 'train' | 'validation' | 'evaluation'>,
  encoders: ReleaseManifest['encoders'],
): string {
  const apart =
    evaluation === validation
      ? `${validation.count} other pairs stopped training, tuned a, and measured it`
      : `${validation.count} other pairs stopped training and tuned a; ${evaluation.count} others measured it`
  return (
    `Trained on ${train.count} pairs of a video and its music, from files of the operator, with features of ` +
    `${encoders.video.id} and ${encoders.music.id}. ${apart}.`
  )
}
