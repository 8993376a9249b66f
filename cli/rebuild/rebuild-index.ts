/**
 * Replays the topics into a new generation of the index, beside the one that serves, and lets the new one take over.
 *
 *     topics ──▶ index-embeddings, as the group of the new generation ──▶ new generation ──▶ compared ──▶ serves
 *
 *   [takeover]  the replay runs as the very group that the live stage turns to once the generation serves
 *               (projectionGeneration): it goes on where the replay stopped, so no record is lost. What the stage read in
 *               between as its old group it reads again, which changes nothing; a record that cannot be projected gets a
 *               second dead letter then
 *   [whole]     the new generation serves only if it has a row for every embedding that stands on its topic
 *   [or not]    a replay that fails, is stopped or is not whole leaves what serves as it was
 *   [letters]   records that cannot be projected have their dead letters from the first time, and get no others
 *
 * The catalogue is not rebuilt beside itself: the same records are written into the one that serves, which changes
 * nothing where nothing is missing. If it is wiped meanwhile the rebuild ends, for the live stage then reads all anew.
 * Offsets of groups that are no longer used are left to the broker, which forgets them in its time: the port has no way to
 * remove a group.
 */
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import type { Broker, PartitionLag } from '../../ports/broker.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import { OutageError, SetupError } from '../../ports/errors.ts'
import type { Rebuild, VectorIndex } from '../../ports/vector-index.ts'
import { indexEmbeddings } from '../../processors/index-embeddings/index-embeddings.ts'
import type { Codec } from '../../runtime/codec.ts'
import { createStageMetrics } from '../../runtime/metrics.ts'
import type { RetryPolicy } from '../../runtime/retry.ts'
import { groupOf, runProcessor } from '../../runtime/run-processor.ts'
import { catchUp, type ProjectionStores, projectedTopics, projectionGeneration } from '../projection.ts'
import { countRows, type IndexCount, missingRows } from './live-rows.ts'
import { type ReplayFrom, seekTo } from './replay-from.ts'

export interface RebuildDeps {
  readonly broker: Broker
  readonly codec: Codec
  readonly catalogue: Catalogue
  readonly index: VectorIndex
  readonly retry: RetryPolicy
  readonly logger: Logger
  readonly now: () => number
  readonly random: () => number
}

export interface ReplayProgress {
  readonly phase: 'replaying' | 'comparing'
  readonly doneRecords: number
  /** Grows with what is produced meanwhile. */
  readonly totalRecords: number
}

export interface RebuildReport {
  readonly generation: string
  readonly records: number
  readonly indexes: readonly IndexCount[]
  /** Records that went to the dead letters, here as in their time. */
  readonly letters: number
}

const LOOK_EVERY_MS = 200
const NAMED_AT_MOST = 5

export interface BegunRebuild {
  readonly generation: string
  /** @throws SetupError 'rebuild-incomplete' | 'generation-ended'; the signal's reason. [or not] */
  finish(signal: AbortSignal, onProgress?: (progress: ReplayProgress) => void): Promise<RebuildReport>
}

/** @throws SetupError 'rebuild-running', InvalidRequestError 'bad-position': before anything is replayed. */
export async function beginRebuild(deps: RebuildDeps, from: ReplayFrom): Promise<BegunRebuild> {
  const rebuild = await deps.index.rebuild()
  const catalogue = deps.catalogue.handle()
  return orDiscard(rebuild, async () => {
    const generation = await rebuild.index.generation()
    for (const { release, kind, dims } of await deps.index.indexes()) {
      await rebuild.index.create({ release, kind }, dims)
    }
    const projection = await projectionGeneration({ index: rebuild.index, catalogue })
    await seekTo(deps.broker, groupOf(indexEmbeddings.name, projection), projectedTopics, from)
    return {
      generation,
      finish: (signal, onProgress = () => {}) =>
        orDiscard(rebuild, () =>
          finish({ ...deps, catalogue }, { rebuild, generation, projection, signal, onProgress }),
        ),
    }
  })
}

/** [or not] */
async function orDiscard<T>(rebuild: Rebuild, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    await rebuild.discard()
    throw error
  }
}

interface Running {
  readonly rebuild: Rebuild
  /** Of the index. */
  readonly generation: string
  /** Of the index and the catalogue that it is beside. */
  readonly projection: string
  readonly signal: AbortSignal
  readonly onProgress: (progress: ReplayProgress) => void
}

async function finish(deps: RebuildDeps, running: Running): Promise<RebuildReport> {
  const { broker, catalogue, logger } = deps
  const { rebuild, generation, projection, signal, onProgress } = running
  const stores = { index: rebuild.index, catalogue }
  const group = groupOf(indexEmbeddings.name, projection)
  const letters = new Set<string>()
  const stage = runProcessor({
    ...deps,
    processor: indexEmbeddings,
    deps: { ...stores, now: deps.now },
    broker: withoutLetters(broker, letters), // [letters]
    logger: logger.child({ generation }),
    metrics: createStageMetrics(new Registry()),
    generation: async () => projection, // [takeover]
    onCrash: 'restart',
  })
  let progress = { doneRecords: 0, totalRecords: 0 }
  try {
    await caughtUp(
      () => broker.lag(group, projectedTopics),
      catchUp(deps.now),
      signal,
      async (doneRecords, totalRecords) => {
        progress = { doneRecords, totalRecords }
        onProgress({ phase: 'replaying', ...progress })
        await checkStands(stores, projection).catch(whileAway)
      },
    )
  } finally {
    await stage.stop()
  }

  onProgress({ phase: 'comparing', ...progress })
  const read = await broker.lag(group, projectedTopics)
  const indexes = await countRows(rebuild.index, broker, read)
  if (indexes.some(({ rows, liveKeys }) => rows < liveKeys)) {
    const missing = await missingRows(rebuild.index, broker, catalogue, read, letters.size + NAMED_AT_MOST)
    refuseIncomplete(
      missing.filter((key) => !letters.has(key)),
      indexes,
    ) // [whole]
  }
  signal.throwIfAborted()
  await catalogue.markFilled(projection)
  await rebuild.promote()
  logger.info({ generation, records: progress.doneRecords, indexes }, 'A rebuilt index serves')
  return { generation, records: progress.doneRecords, indexes, letters: letters.size }
}

/** @throws SetupError 'generation-ended': the stage of the replay would try for ever. */
async function checkStands(stores: ProjectionStores, projection: string): Promise<void> {
  await stores.index.indexes()
  if ((await projectionGeneration(stores)) === projection) return
  throw new SetupError(
    'generation-ended',
    'The catalogue was wiped during the rebuild; begin it again once it is filled.',
  )
}

async function caughtUp(
  lag: () => Promise<readonly PartitionLag[]>,
  isCaughtUp: (lags: readonly PartitionLag[]) => boolean,
  signal: AbortSignal,
  onLook: (done: number, total: number) => Promise<void>,
): Promise<void> {
  const sum = (lags: readonly PartitionLag[], of: (lag: PartitionLag) => number) =>
    lags.reduce((total, one) => total + of(one), 0)
  const start = sum(await lag(), ({ committedOffset }) => committedOffset)
  for (;;) {
    signal.throwIfAborted()
    const lags = await lag().catch(whileAway)
    if (lags === undefined) {
      await pause()
      continue
    }
    await onLook(
      sum(lags, ({ committedOffset }) => committedOffset) - start,
      sum(lags, ({ endOffset }) => endOffset) - start,
    )
    if (isCaughtUp(lags)) return
    await pause()
  }
}

/** The stage waits out an outage of its own. */
function whileAway(error: unknown): undefined {
  if (!(error instanceof OutageError)) throw error
}

const pause = () => new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))

/** This stage writes nothing but dead letters. @param letters gets the keys of what was not projected. */
function withoutLetters(broker: Broker, letters: Set<string>): Pick<Broker, 'consume'> {
  return {
    consume: (options) =>
      broker.consume({
        ...options,
        onBatch: (batch) =>
          options.onBatch({
            topic: batch.topic,
            partition: batch.partition,
            records: batch.records,
            endOffset: batch.endOffset,
            signal: batch.signal,
            async commit(nextOffset, outputs) {
              await batch.commit(nextOffset, [])
              for (const { key } of outputs) letters.add(key ?? '')
            },
          }),
      }),
  }
}

function refuseIncomplete(missing: readonly string[], indexes: readonly IndexCount[]): void {
  if (missing.length === 0) return
  const counts = indexes.map(({ kind, release, rows, liveKeys }) => `${kind}/${release} ${rows} of ${liveKeys}`)
  throw new SetupError(
    'rebuild-incomplete',
    `The rebuilt index lacks rows that its topics hold, such as ${missing.slice(0, NAMED_AT_MOST).join(', ')} ` +
      `(${counts.join(', ')}). What served goes on serving. Replay from the earliest records; if that was so, look into the log.`,
  )
}
