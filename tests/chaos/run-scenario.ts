/**
 * One run of the chaos suite: real servers, a fleet of real stage processes, load, the scenario's faults, and the
 * comparison by sets when all is quiet.
 *
 *     servers ──▶ fleet ──▶ load ──▶ faults ──▶ quiet ──▶ comparison ──▶ report
 *
 * The seed decides the load and the moments of the faults; what the machine makes of them differs from run to run.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { openFileMediaStore } from '../../adapters/media/file-media-store.ts'
import { type Backends, openBackends } from '../../cli/backends.ts'
import { dataPaths } from '../../cli/paths.ts'
import { projectionGeneration } from '../../cli/projection.ts'
import { createUploads } from '../../gateway/uploads.ts'
import { seededRandom } from '../../model/random.ts'
import type { PartitionLag } from '../../ports/broker.ts'
import { indexEmbeddings } from '../../processors/index-embeddings/index-embeddings.ts'
import { materializeTriplets } from '../../processors/materialize-triplets/materialize-triplets.ts'
import { processors } from '../../processors/registry.ts'
import { createCodec } from '../../runtime/codec.ts'
import { loadConfig } from '../../runtime/config.ts'
import { createLogger } from '../../runtime/logger.ts'
import { groupOf, groupTopics } from '../../runtime/run-processor.ts'
import { deadLetterTopic } from '../../topics/topic.ts'
import { topics } from '../../topics/topics.ts'
import { inTime } from '../conformance/deadline.ts'
import { type ChaosServers, type ServerNeeds, startChaosServers } from '../support/chaos-servers.ts'
import { type Fleet, type Slot, startFleet } from '../support/fleet.ts'
import { errorsIn, lastWarningsIn } from '../support/fleet-logs.ts'
import { openGroupMembers } from '../support/group-members.ts'
import { compareMembership } from '../support/membership.ts'
import { behindOn, placesOf, watchProgress } from '../support/progress.ts'
import { until } from '../support/until.ts'
import { type Load, type RequestLoad, startLoad, startRequests } from '../support/upload-load.ts'
import { type Recovery, type Report, reportOf } from './report.ts'

/** How much a scenario does: short for every CI run, long for nights. */
export interface Form {
  /** Faults, of each kind or of each processor as the scenario says. */
  readonly faults: number
  /** Longest random wait before a fault. */
  readonly calmMs: number
  /** How long an outage lasts, where there is one. */
  readonly outageMs: number
  /** Uploads, takedowns and poison a second. */
  readonly rate: number
  readonly poisonEvery: number
}

export interface Scenario {
  readonly name: string
  /** A sentence that is false when it fails. */
  readonly shows: string
  readonly servers: ServerNeeds
  /** Instances of each process. */
  readonly layout: Readonly<Record<string, number>>
  readonly sessionMs: number
  /** Whether its faults make the joins read their topics again. */
  readonly joinsBeginAnew?: boolean
  readonly short: Form
  readonly long: Form
  faults(chaos: Chaos, form: Form): Promise<void>
}

/** What a scenario has at hand. */
export interface Chaos {
  readonly seed: string
  readonly random: () => number
  readonly servers: ChaosServers
  readonly fleet: Fleet
  readonly load: Load
  readonly requests: RequestLoad
  readonly backends: Backends
  readonly deadlineMs: number
  /** Of each member of a stage's group, the partitions that it owns. */
  members(stage: string): Promise<readonly (readonly string[])[]>
  /** Waits a random time of at most `mostMs`: the fault's own moment. Faults side by side have a `random` of their own. */
  moment(mostMs: number, random?: () => number): Promise<void>
  /** Counts a fault, and measures the time until these stages commit again. @returns when they do */
  struck(stages: readonly string[], sinceMs: number): Promise<void>
  /** A figure of this scenario for the report. */
  figure(name: string, value: number | string): void
  /** Something that must not be. */
  wrong(what: string): void
  say(line: string): void
}

export const ALL_STAGES = processors.map(({ name }) => name)
/** All stages in three processes, for faults that are not theirs. */
export const IN_THREE = {
  'analyse-video,analyse-music,describe-music': 1,
  'embed-music,embed-video,materialize-triplets': 1,
  'index-embeddings,answer-recommendations': 1,
  gateway: 1,
}
/** Every stage in processes of its own. */
export const apart = (instances: number): Record<string, number> => ({
  ...Object.fromEntries(ALL_STAGES.map((name) => [name, instances])),
  gateway: 1,
})

const REQUESTS_PER_SECOND = 4
const DEADLINE_MS = 2_000
/** Longer than any recovery that would be called one. */
const RECOVERY_PATIENCE_MS = 90_000
const QUIET_WITHIN_MS = 120_000
/** What is waited for is told so often. */
const TELL_EVERY_MS = 10_000
const WARM_WITHIN_MS = 120_000

export interface RunOptions {
  readonly form: 'short' | 'long'
  readonly seed: string
  /** In place of the form's. */
  readonly faults?: number
  readonly sessionMs?: number
  readonly say?: (line: string) => void
}

export async function runScenario(scenario: Scenario, options: RunOptions): Promise<Report> {
  const { seed } = options
  const startedAt = performance.now()
  const say = (line: string) => {
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
    options.say?.(`${scenario.name} +${seconds} s: ${line}`)
  }
  const form = { ...scenario[options.form], ...(options.faults === undefined ? {} : { faults: options.faults }) }
  const sessionMs = options.sessionMs ?? scenario.sessionMs
  const folder = mkdtempSync(join(tmpdir(), 'cuestream-chaos-'))
  const logFolder = join(folder, 'logs')
  const closers: (() => Promise<unknown>)[] = []
  const opened = <T>(resource: T, close: (resource: T) => Promise<unknown>): T => {
    closers.push(() => close(resource))
    return resource
  }
  let endedWell = false
  try {
    const servers = opened(await startChaosServers(scenario.servers, say), (all) => all.stop())
    const prefix = `chaos-${randomBytes(4).toString('hex')}`
    const env = {
      ...servers.env,
      CUESTREAM_DATA_FOLDER: join(folder, 'data'),
      CUESTREAM_PORT: '0',
      CUESTREAM_KAFKA_PREFIX: `${prefix}.`,
      CUESTREAM_REDIS_KEY_PREFIX: `${prefix}:`,
      CUESTREAM_KAFKA_SESSION_MS: String(sessionMs),
      CUESTREAM_LOG_FORMAT: 'json',
    }
    const config = loadConfig({ env })
    const logger = createLogger({ logLevel: 'error', logFormat: 'json' })
    const backends = await openBackends(config, logger, (_, engine, close) => opened(engine, close))
    const { broker, catalogue, index } = backends
    await broker.ensureTopics([...topics, ...topics.map(deadLetterTopic)])
    const codec = createCodec(backends.schemaRegistry)
    const mediaStore = await openFileMediaStore({ folder: dataPaths(config.dataFolder).media })
    const uploads = createUploads({ broker, codec, catalogue, mediaStore, now: Date.now })
    say(`seed ${seed}; the servers are up (${servers.rung}); logs of the fleet in ${logFolder}`)

    const fleet = opened(startFleet({ layout: scenario.layout, env, logFolder }), (all) => all.stop())
    await inTime(fleet.up(), 'the fleet to be up', WARM_WITHIN_MS)
    say('the fleet is up')
    const members = opened(await openGroupMembers(config.kafkaBrokers), (admin) => admin.close())
    const progress = opened(watchProgress(broker, mainInputs(backends)), (watcher) => watcher.stop())
    const load = opened(
      startLoad({ uploads, broker, codec, seed, rate: form.rate, poisonEvery: form.poisonEvery }),
      (started) => started.abandon(),
    )
    const gateway = fleet.of('gateway')[0]!
    const requests = opened(
      startRequests({ url: () => gateway.url, rate: REQUESTS_PER_SECOND, deadlineMs: DEADLINE_MS, seed }),
      (started) => started.finish(),
    )
    await Promise.all(ALL_STAGES.map((name) => progress.started(name, WARM_WITHIN_MS)))
    say('every stage is at work: the faults begin')

    const random = seededRandom(`${scenario.name}/${seed}`)
    const recoveries: Recovery[] = []
    const figures: Record<string, number | string> = {}
    const wrong: string[] = []
    let faults = 0
    const chaos: Chaos = {
      seed,
      random,
      servers,
      fleet,
      load,
      requests,
      backends,
      deadlineMs: DEADLINE_MS,
      members: async (stage) => members.of(`${prefix}.${await groupsOf(backends)(stage)}`),
      moment: (mostMs, own = random) => delay(own() * mostMs),
      async struck(stages, sinceMs) {
        faults++
        for (const stage of stages) {
          const ms = await progress.recovered(stage, sinceMs, RECOVERY_PATIENCE_MS)
          recoveries.push({ stage, ms })
        }
      },
      figure: (name, value) => {
        figures[name] = value
      },
      wrong: (what) => void wrong.push(what),
      say,
    }
    const faultsFromMs = performance.now()
    await scenario.faults(chaos, form)
    const faultsToMs = performance.now()
    await inTime(load.finish(), 'every upload to be acknowledged', QUIET_WITHIN_MS)
    await requests.finish()
    say(`${faults} faults; waiting until all is quiet`)
    await quiet(backends, say)
    const joinsBeganAnew = scenario.joinsBeginAnew ?? false
    const verdict = await compareMembership(load.ledger, { broker, codec, catalogue, index }, { joinsBeganAnew })
    if (verdict.timelines.length > 0) writeFileSync(join(logFolder, 'timelines.txt'), verdict.timelines.join('\n'))
    await progress.stop()
    const exitCodes = await fleet.stop()
    const report = reportOf({
      scenario: scenario.name,
      form: options.form,
      seed,
      rung: servers.rung,
      seconds: (performance.now() - startedAt) / 1_000,
      faults,
      faultsFromMs,
      faultsToMs,
      sessionMs,
      recoveries,
      figures,
      wrong,
      acknowledged: load.acknowledged(),
      refusals: load.refusals,
      slowestUploadMs: load.slowestMs,
      verdict,
      fleet,
      requests: requests.requests,
      deadlineMs: DEADLINE_MS,
      exitCodes,
      errors: errorsIn(logFolder),
    })
    endedWell = report.failures.length === 0
    return report
  } catch (error) {
    say(`it broke off: ${(error as Error).message} ${(error as { cause?: Error }).cause?.message ?? ''}`)
    for (const warning of existsSync(logFolder) ? lastWarningsIn(logFolder) : []) say(warning)
    throw error
  } finally {
    for (const close of closers.reverse()) await close().catch((error: Error) => say(`closing: ${error.message}`))
    if (endedWell) rmSync(folder, { recursive: true, force: true })
    else say(`it did not end well; the logs stay in ${logFolder}`)
  }
}

/** Kills what runs in a slot and waits until its stages commit again. */
export async function killAndRecover(chaos: Chaos, slot: Slot): Promise<void> {
  await slot.kill()
  const sinceMs = performance.now()
  await chaos.struck(slot.what === 'gateway' ? [] : slot.what.split(','), sinceMs)
}

/** Where each stage's records come from first of all, for the measure of its progress. */
const MAIN_INPUTS: Readonly<Record<string, string>> = {
  'analyse-video': 'uploads.received.v1',
  'analyse-music': 'uploads.received.v1',
  'describe-music': 'music.tagged.v1',
  'materialize-triplets': 'music.features.v1',
  'embed-music': 'music.features.v1',
  'embed-video': 'video.features.v1',
  'index-embeddings': 'uploads.received.v1',
  'answer-recommendations': 'recommendations.requested.v1',
}

function groupsOf({ index, catalogue, joins }: Backends): (stage: string) => Promise<string> {
  let known = ''
  // A catalogue that was wiped names it again in a moment.
  const serving = async () => {
    known = (await catalogue.releasePlan())?.serving ?? known
    return known
  }
  const generations: Readonly<Record<string, () => Promise<string>>> = {
    [indexEmbeddings.name]: () => projectionGeneration({ index, catalogue }),
    [materializeTriplets.name]: () => joins.generation(),
    'embed-music': serving,
    'embed-video': serving,
  }
  return async (stage) => groupOf(stage, (await generations[stage]?.()) ?? '')
}

function mainInputs(backends: Backends) {
  const groups = groupsOf(backends)
  return Object.fromEntries(
    ALL_STAGES.map((stage) => [stage, { group: () => groups(stage), topic: MAIN_INPUTS[stage]! }]),
  )
}

/** Stage after stage in the order of the pipeline: what has no lag then gets no more. */
async function quiet(backends: Backends, say: (line: string) => void): Promise<void> {
  const groups = groupsOf(backends)
  for (const processor of processors) {
    const names = groupTopics(processor)
    let before = false
    let behind: readonly PartitionLag[] = []
    const waits = () => `${processor.name} still waits: ${placesOf(behind) || 'nothing'}`
    let tellAt = performance.now() + TELL_EVERY_MS
    const isQuiet = async () => {
      behind = behindOn(await backends.broker.lag(await groups(processor.name), names))
      if (performance.now() > tellAt) {
        say(waits())
        tellAt += TELL_EVERY_MS
      }
      const twice = behind.length === 0 && before
      before = behind.length === 0
      return twice
    }
    await until(`${processor.name} to have no lag`, isQuiet, QUIET_WITHIN_MS).catch(async (cause) => {
      for (const { topic, partition, committedOffset } of behind) {
        // None: a transaction that nobody ends holds readers up.
        const readable = await backends.broker.read(topic, partition, committedOffset, 1_000)
        say(`${topic}/${partition}: ${readable.length} records can be read from ${committedOffset} on`)
      }
      throw new Error(waits(), { cause })
    })
  }
}
