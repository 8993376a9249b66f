/**
 * What is trained on where the data come from the topics. The embedded broker belongs to the process that owns the data
 * folder, so that one brings them to `training/` when it is asked over HTTP; on Kafka this process reads the topics
 * itself. From there on both are the same.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { SetupError } from '../ports/errors.ts'
import { createCodec } from '../runtime/codec.ts'
import type { Config } from '../runtime/config.ts'
import { type FeatureEncoders, pairsFromTriplets, type TripletPairs } from '../trainer/data/triplet-pairs.ts'
import { newTriplets, type SyncReport } from '../trainer/data/triplet-shards.ts'
import { splitTriplets, type TripletSplit } from '../trainer/data/triplet-split.ts'
import type { ApiClient, TrainingSyncView } from './api-client.ts'
import { isShared, openSharedTopics } from './backends.ts'
import { dataPaths } from './paths.ts'
import { withService } from './service.ts'
import { checkSides, type DataSource } from './train/training-data.ts'
import { holdingTrainingFolder, syncTrainingFolder } from './training-folder.ts'

/** Of the groups; one half stops training, the other measures it. */
const HELD_OUT = 0.2
const POLL_MS = 200

export interface SyncOptions {
  readonly signal?: AbortSignal | undefined
  /** Records read of the topics. */
  readonly onRecords?: ((done: number, of: number) => void) | undefined
}

export interface TripletSourceOptions extends SyncOptions {
  /** Whose features are taken; those of most pairs if absent. */
  readonly encoders?: FeatureEncoders | undefined
}

/** The triplets of the topics, up to date. @throws SetupError 'no-triplets' | 'too-few-pairs' | 'training-folder-in-use' */
export const tripletSource =
  (config: Config, logger: Logger, { encoders, ...sync }: TripletSourceOptions = {}): DataSource =>
  async ({ textEncoder, onTexts }) => {
    const folder = dataPaths(config.dataFolder).training
    await syncTraining(config, logger, sync)
    const read = { textEncoder, encoders, onProgress: (done: number, of: number) => onTexts?.(done, of) }
    const triplets = await holdingTrainingFolder(folder, () => pairsFromTriplets(folder, read))
    const split = splitTriplets(triplets, HELD_OUT)
    const { train, validation, evaluation } = split
    checkSides({ train, validation, evaluation }, 'The topic of triplets')
    return {
      train,
      validation,
      evaluation,
      encoders: {
        video: { id: triplets.encoders.video, dims: train.video.dims },
        music: { id: triplets.encoders.music, dims: train.music.dims },
        text: { id: textEncoder.id, dims: textEncoder.dims },
      },
      description: described(triplets, split),
    }
  }

/** Brings `training/` up to date with the topics. @throws SetupError with the code of what failed */
export function syncTraining(config: Config, logger: Logger, options: SyncOptions = {}): Promise<SyncReport> {
  return isShared(config) ? syncHere(config, logger, options) : syncByOwner(config, logger, options)
}

/** @param since Unix epoch, ms. @returns how many triplets came later, as of the last sync. */
export function tripletsSince(config: Config, since: number): Promise<number> {
  return newTriplets(dataPaths(config.dataFolder).training, since)
}

async function syncHere(config: Config, logger: Logger, { signal, onRecords }: SyncOptions): Promise<SyncReport> {
  const closers: (() => Promise<unknown>)[] = []
  try {
    const { broker, schemaRegistry } = await openSharedTopics(config, logger, (_, resource, close) => {
      closers.unshift(() => close(resource))
      return resource
    })
    const codec = createCodec(schemaRegistry)
    const folder = dataPaths(config.dataFolder).training
    return await syncTrainingFolder({ broker, codec, folder, signal, onProgress: onRecords })
  } finally {
    for (const close of closers) await close()
  }
}

function syncByOwner(config: Config, logger: Logger, { signal, onRecords }: SyncOptions): Promise<SyncReport> {
  return withService(config, logger, async (api) => {
    const first = await api.startTrainingSync()
    try {
      return reportOf(await followed(api, first, signal, onRecords))
    } catch (error) {
      if (signal?.aborted) await api.stopTrainingSync()
      throw error
    }
  })
}

async function followed(
  api: ApiClient,
  first: TrainingSyncView,
  signal: AbortSignal | undefined,
  onRecords: SyncOptions['onRecords'],
): Promise<TrainingSyncView> {
  for (let view = first; ; view = await api.trainingSync()) {
    onRecords?.(view.doneRecords, view.totalRecords)
    if (view.state !== 'running') return view
    await delay(POLL_MS)
    signal?.throwIfAborted()
  }
}

function reportOf({ report, failure }: TrainingSyncView): SyncReport {
  if (failure !== null) throw new SetupError(failure.code, failure.message)
  if (report === null) throw new SetupError('sync-stopped', 'The sync of the training data was stopped by another.')
  return report
}

function described({ soundtracks, encoders, methods, pairs, leftOut }: TripletPairs, split: TripletSplit): string {
  const { train, validation, evaluation, withheld } = split
  const texts = Object.entries(methods).map(([method, count]) => `${count} by ${method || 'none'}`)
  const out = Object.entries({ ...leftOut, withheld }).filter(([, count]) => count > 0)
  const without = out.length === 0 ? '' : ` Left out: ${out.map(([why, count]) => `${why} ${count}`).join(', ')}.`
  return (
    `Trained on ${train.count} pairs of this product's own uploads, with features of ${encoders.video} and ` +
    `${encoders.music}: of ${soundtracks} videos with their soundtrack those that are not held out, and of ` +
    `${pairs.count - soundtracks} videos with a track that users chose for them those of nothing held out. Texts: ` +
    `${texts.join(', ')}. ${validation.count} other soundtracks stopped training and tuned a, and it was measured on ` +
    `${evaluation.count} others.${without}`
  )
}
