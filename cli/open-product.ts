/**
 * The composition root: chooses an adapter for every port and wires the processors.
 *
 *   [one owner]  the data folder of a process that runs everything belongs to it; others talk to it over HTTP
 *                (cli/service.ts). Processes that share Kafka and Redis share the folder of media and releases too.
 *   [lazy]       models are loaded when a stage first needs them, so a command that needs none pays for none
 *   [order]      closing goes the other way round: requests, stages, stores, folder
 */
import { randomUUID } from 'node:crypto'
import { availableParallelism, hostname } from 'node:os'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { boundedDecoder } from '../adapters/media/bounded-decoder.ts'
import { mediaFetcher } from '../adapters/media/fetch.ts'
import { ffmpegDecoder } from '../adapters/media/ffmpeg-decoder.ts'
import { openFileMediaStore } from '../adapters/media/file-media-store.ts'
import { findFfmpeg } from '../adapters/media/find-ffmpeg.ts'
import { type LoadedProfile, loadProfile } from '../adapters/onnx/load-profile.ts'
import { settlesWithin } from '../adapters/settles-within.ts'
import type { Rebuilds } from '../gateway/rebuilds.ts'
import type { RollOuts } from '../gateway/releases.ts'
import type { TrainingSyncs } from '../gateway/training.ts'
import { createUploads, type Uploads } from '../gateway/uploads.ts'
import type { Broker } from '../ports/broker.ts'
import type { Catalogue } from '../ports/catalogue.ts'
import { OutageError, SetupError } from '../ports/errors.ts'
import type { MediaDecoder, MediaStore } from '../ports/media.ts'
import type { SchemaRegistry } from '../ports/schema-registry.ts'
import type { VectorIndex } from '../ports/vector-index.ts'
import { answerRecommendations } from '../processors/answer-recommendations/answer-recommendations.ts'
import { describeMusic } from '../processors/describe-music/describe-music.ts'
import { indexEmbeddings } from '../processors/index-embeddings/index-embeddings.ts'
import { materializeTriplets } from '../processors/materialize-triplets/materialize-triplets.ts'
import { processors } from '../processors/registry.ts'
import { type Codec, createCodec } from '../runtime/codec.ts'
import type { Config } from '../runtime/config.ts'
import type { WiredProcessor } from '../runtime/define-processor.ts'
import { createHealth, type Health, type RunningStage, startWatchdog } from '../runtime/health.ts'
import { collectProcessMetrics, createStageMetrics } from '../runtime/metrics.ts'
import { runProcessor, type StageOptions } from '../runtime/run-processor.ts'
import { deadLetterTopic } from '../topics/topic.ts'
import { topics } from '../topics/topics.ts'
import { isShared, type Opened, openBackends, openModelStore } from './backends.ts'
import { claimDataFolder } from './data-folder.ts'
import { openDescribing } from './describing.ts'
import { startHousekeeping } from './housekeeping.ts'
import { dataPaths, repositoryPaths } from './paths.ts'
import { filledGate, projectionGeneration } from './projection.ts'
import { createRebuilds } from './rebuild/rebuilds.ts'
import { startCoordinator } from './releases/coordinator.ts'
import { openReleases, type Releases } from './releases/open-releases.ts'
import { createRollOuts } from './releases/roll-outs.ts'
import { createTrainingSyncs } from './training-syncs.ts'
import { embeddingProcessors, wireEmbedding, wireProcessors } from './wire-processors.ts'

export interface Product {
  readonly config: Config
  readonly logger: Logger
  readonly registry: Registry
  readonly broker: Broker
  readonly codec: Codec
  readonly catalogue: Catalogue
  readonly index: VectorIndex
  readonly mediaStore: MediaStore
  readonly uploads: Uploads
  readonly releases: Releases
  readonly rollOuts: RollOuts
  readonly rebuilds: Rebuilds
  readonly trainingSyncs: TrainingSyncs
  readonly health: Health
  readonly now: () => number
  readonly newId: () => string
  /** Tells other processes where this one answers. */
  announce(url: string): Promise<void>
  /** Rejects when a stage has crashed for good. */
  readonly failed: Promise<never>
  close(): Promise<void>
}

export interface ProductOptions {
  readonly logger: Logger
  readonly stages: 'all' | readonly string[]
  /** Whether this process sweeps media and expires joins; so does every process that runs everything. */
  readonly keepsHouse?: boolean
  /** How long what a release leaves behind is kept once it is no longer in use; a minute if absent. */
  readonly unusedReleaseMs?: number
  /** In place of the configured profile and of ffmpeg; closed by whoever gives them. */
  readonly profile?: LoadedProfile
  readonly decoder?: MediaDecoder
}

/** Longer than any part takes that lets what is under way end. */
const CLOSES_WITHIN_MS = 15_000

/**
 * @param stages names of the processors to run here; 'all', or none for reading only.
 * @throws SetupError 'data-folder-in-use' | 'data-folder-unusable' | 'unknown-processor' | whatever an adapter refuses
 */
export async function openProduct(
  config: Config,
  { logger, stages: wanted, ...given }: ProductOptions,
): Promise<Product> {
  const chosen = chooseProcessors(wanted)
  const paths = dataPaths(config.dataFolder)
  const now = Date.now
  const registry = new Registry()
  collectProcessMetrics(registry)

  const closers: { readonly what: string; close(): Promise<unknown> }[] = []
  /** Everything is closed, whatever fails on the way; the first failure is told at the end. */
  const closing = async () => {
    const failures: unknown[] = []
    for (const { what, close } of closers.splice(0).reverse()) {
      const closed = close().catch((error: unknown) => failures.push(error))
      if (await settlesWithin(closed, CLOSES_WITHIN_MS)) continue
      logger.error({ what }, 'It could not be closed in time and is left as it is')
    }
    if (failures.length > 0) throw failures[0]
  }
  const opened: Opened = (what, resource, close) => {
    closers.push({ what, close: async () => close(resource) })
    return resource
  }

  try {
    const owns = !isShared(config) || wanted === 'all'
    const owner = owns
      ? opened('the data folder', await claimDataFolder(paths.owner), (hold) => hold.release())
      : undefined
    const { broker, schemaRegistry, index, catalogue, joins, texts } = await openBackends(config, logger, opened)
    const maxBytes = config.maxUploadMegabytes * 1024 * 1024
    const mediaStore = await openFileMediaStore({ folder: paths.media, maxBytes })
    const codec = createCodec(schemaRegistry)
    await registerSchemas(schemaRegistry, logger)
    await broker.ensureTopics([...topics, ...topics.map(deadLetterTopic)])

    const folder = config.modelsFolder ?? paths.models
    const sessions = { intraOpThreads: config.onnxThreads }
    const profile =
      given.profile ??
      opened(
        'the encoders',
        await loadProfile(config.profile, { repositoryModels: repositoryPaths.models, folder, sessions }),
        (loaded) => loaded.dispose(),
      )
    const modelStore = await openModelStore(config, logger)
    const needsMedia = chosen.some(({ name }) => name === 'analyse-video' || name === 'analyse-music')
    const decoder = given.decoder ?? (needsMedia ? await openDecoder(config, logger) : undefined)

    const describing = chosen.some(({ name }) => name === describeMusic.name)
      ? opened('the language model', await openDescribing(config, { texts, registry, logger, now }), (d) => d.close())
      : undefined

    const metrics = createStageMetrics(registry)
    const retry = { maxAttempts: config.retryMaxAttempts, baseMs: config.retryBaseMs, maxMs: config.retryMaxMs }
    const running = new Set<RunningStage>()
    let crashed: (error: unknown) => void = () => {}
    const failed = new Promise<never>((_, reject) => {
      crashed = reject
    })
    failed.catch(() => {}) // whoever runs the product hears of it
    const run = (
      { processor, deps }: WiredProcessor,
      more: Partial<Pick<StageOptions<never>, 'generation' | 'release'>> = {},
    ): RunningStage => {
      const onCrash = wanted === 'all' ? ('restart' as const) : ('exit' as const)
      const options = { broker, onCrash, codec, metrics, logger, now, random: Math.random, retry, deps: deps as never }
      const started = { stage: runProcessor({ ...options, ...more, processor }), processor }
      running.add(started)
      started.stage.ended.catch(crashed)
      return started
    }
    const embeds = chosen.map(({ name }) => name).filter((name) => embeddingProcessors.includes(name))
    const answers = chosen.some(({ name }) => name === answerRecommendations.name)
    const projects = chosen.some(({ name }) => name === indexEmbeddings.name)
    const unused = given.unusedReleaseMs === undefined ? {} : { unusedMs: given.unusedReleaseMs }
    const releases = opened(
      'the releases',
      await openReleases({
        ...unused,
        modelStore,
        catalogue,
        index,
        broker,
        codec,
        profile,
        uses: { answers, embeds },
        startStage: (name, towers) =>
          run(wireEmbedding(name, { towers, now }), {
            release: towers.release,
            generation: async () => towers.release,
          }),
        onStageStop: (started) => running.delete(started as RunningStage),
        now,
        logger,
      }),
      (r) => r.close(),
    )
    const projection = { index, catalogue: catalogue.handle() }
    const assertFilled = filledGate({ index, catalogue, broker, now })
    const wired = wireProcessors({
      codec,
      catalogue,
      index,
      projection,
      assertFilled,
      joins,
      describing,
      mediaStore,
      decoder,
      profile,
      towersFor: releases.towersFor,
      now,
    })
    /** What is projected into a store is projected anew into each generation of it. */
    let restored: string | undefined
    const generations: Readonly<Record<string, () => Promise<string>>> = {
      [indexEmbeddings.name]: async () => {
        const generation = await projectionGeneration(projection)
        if (generation !== restored) await releases.restore()
        restored = generation
        return generation
      },
      [materializeTriplets.name]: () => joins.generation(),
    }
    opened('the stages', running, () => Promise.all([...running].map(({ stage }) => stage.stop())))
    for (const { name } of chosen) {
      const found = wired.find((entry) => entry.processor.name === name)
      const generation = generations[name]
      if (found !== undefined) run(found, generation === undefined ? {} : { generation })
    }
    if (wanted === 'all' || given.keepsHouse === true) {
      opened(
        'housekeeping',
        startHousekeeping({ broker, catalogue, mediaStore, joins, registry, logger, now }),
        (house) => house.stop(),
      )
    }
    const onChange = releases.look
    const rollOuts = createRollOuts({ catalogue, modelStore, broker, codec, now, onChange })
    if (projects) {
      // An owner that was killed goes on at once with what it carried out.
      const id = isShared(config) ? `${hostname()}:${process.pid}:${randomUUID()}` : 'owner'
      const coordinating = {
        ...unused,
        catalogue,
        index,
        broker,
        codec,
        modelStore,
        profile,
        logger,
        id,
        now,
        onChange,
      }
      opened('the coordinator', startCoordinator(coordinating), (coordinator) => coordinator.stop())
    }
    const health = createHealth({
      stages: running,
      broker,
      metrics,
      now,
      stallMs: config.stallSeconds * 1_000,
      countsFor: (release) => release === releases.plan().serving,
      checks: {
        // A process that needs no towers starts none.
        release: async () => {
          if (answers || embeds.length > 0) await (await releases.current()).ready()
        },
        ...(answers ? { index: assertFilled } : {}),
      },
    })
    // What is whole now is written down before anything is added to it. One that is not yet, or is away, is no failure.
    if (answers) await assertFilled().catch(() => {})
    const watchdog = { health, stages: running, stallMs: config.stallSeconds * 1_000, logger }
    opened('the watchdog', startWatchdog(watchdog), async (stopWatching) => stopWatching())
    const indexing = () => [...running].find(({ processor }) => processor.name === indexEmbeddings.name)?.stage
    const rebuilding = { broker, codec, catalogue, index, retry, logger, now, random: Math.random }
    const rebuilds = opened(
      'rebuilds',
      createRebuilds(rebuilding, async () => indexing()?.restart()),
      (all) => all.stop(),
    )
    const trainingSyncs = opened(
      'syncs of training data',
      createTrainingSyncs({ broker, codec, folder: paths.training, logger }),
      (all) => all.stop(),
    )
    // The first request does not wait for the towers to load.
    if (answers) await (await releases.current()).ready()
    const fetchMedia =
      config.mediaHosts.length === 0
        ? undefined
        : mediaFetcher({
            store: mediaStore,
            allowedHosts: config.mediaHosts,
            allowPrivateNetworks: config.allowPrivateHosts,
          }).fetch
    return {
      config,
      logger,
      registry,
      broker,
      codec,
      catalogue,
      index,
      mediaStore,
      uploads: createUploads({ broker, codec, catalogue, mediaStore, fetchMedia, now }),
      releases,
      rollOuts,
      rebuilds,
      trainingSyncs,
      health,
      now,
      newId: randomUUID,
      announce: async (url) => owner?.announceUrl(url),
      failed,
      close: closing,
    }
  } catch (error) {
    await closing()
    throw error
  }
}

/**
 * A schema that cannot read what its topic holds keeps the process from starting. A registry that is away does not: what
 * needs it waits.
 * @throws SetupError 'incompatible-schema'
 */
async function registerSchemas(registry: SchemaRegistry, logger: Logger): Promise<void> {
  try {
    await Promise.all(topics.map(({ subject, schema }) => registry.register(subject, schema)))
  } catch (error) {
    if (!(error instanceof OutageError)) throw error
    logger.warn({ code: error.code, reason: error.message }, 'The schemas could not be compared with the registry')
  }
}

function chooseProcessors(wanted: 'all' | readonly string[]): readonly { name: string }[] {
  if (wanted === 'all') return processors
  return wanted.map((name) => {
    const found = processors.find((processor) => processor.name === name)
    if (found !== undefined) return found
    const names = processors.map((processor) => processor.name).join(', ')
    throw new SetupError('unknown-processor', `There is no processor ${name}; there are: ${names}`)
  })
}

async function openDecoder(config: Config, logger: Logger) {
  const binaries = await findFfmpeg({
    ffmpegPath: config.ffmpeg,
    ffprobePath: config.ffprobe,
    searchPath: process.env.PATH ?? '',
    cacheFolder: dataPaths(config.dataFolder).cache,
  })
  const { path, from, version } = binaries.ffmpeg
  logger.info({ path, from, version }, 'Media are decoded by ffmpeg')
  const decoder = ffmpegDecoder(binaries, {
    maxFileBytes: config.maxUploadMegabytes * 1024 * 1024,
    maxDurationSeconds: config.maxMediaSeconds,
    maxPixels: config.maxMegapixels * 1_000_000,
  })
  return boundedDecoder(decoder, config.decoders ?? Math.max(2, availableParallelism()))
}
