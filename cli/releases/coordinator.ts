/**
 * Carries out what the plan asks for: rolls a release out, retires what is named no more. It runs in every process that
 * projects embeddings; which of them asked does not matter.
 *
 *     requested ──▶ probed ──▶ index made ──▶ embedding ──▶ whole ──▶ announced ──▶ switched
 *
 *   [carrier]  one process at a time, by a lease in the plan; where it dies, another goes on when the lease is over
 *   [resumed]  every step may be done again, so whoever goes on begins with the step that the plan names
 *   [or not]   whatever fails or is cancelled leaves what serves as it was
 *   [unused]   what no process may be asking any more is taken away, a while after the plan stopped naming it
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { LoadedProfile } from '../../adapters/onnx/load-profile.ts'
import { CuestreamError, InvalidRequestError, RetryableError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import type { ReleasePlan, RollOut } from '../../ports/release-plan.ts'
import { embedMusic } from '../../processors/embed-music/embed-music.ts'
import { embedVideo } from '../../processors/embed-video/embed-video.ts'
import { groupOf } from '../../runtime/run-processor.ts'
import { type AnnounceDeps, announceRelease } from './announce.ts'
import { changePlan } from './change-plan.ts'
import { checkEncoders } from './first-release.ts'
import { answering, beginEmbedding, carriedBy, complete, fail, letGo, named, stands } from './plan.ts'
import { probeRelease } from './probe.ts'
import { leftBehind, retireRelease } from './retire.ts'
import { untilWhole, type WholeDeps } from './whole.ts'

export interface CoordinatorDeps extends WholeDeps, AnnounceDeps {
  readonly modelStore: ModelStore
  readonly profile: LoadedProfile
  readonly logger: Logger
  /** Of this process. Of several with the same id one runs at a time. */
  readonly id: string
  /** Called when this process has changed the plan. */
  readonly onChange: () => Promise<void>
  /** Since a release is named by the plan no more. [unused] */
  readonly unusedMs?: number
}

const LOOK_EVERY_MS = 500
const LEASE_MS = 15_000
/** Longer than any request waits, and any process takes to hear of a new plan. [unused] */
const UNUSED_MS = 60_000
const INDEXES_EVERY_MS = 5_000

export function startCoordinator(deps: CoordinatorDeps): { stop(): Promise<void> } {
  const { catalogue, index, broker, modelStore, profile, logger, id, now, onChange } = deps
  const unusedMs = deps.unusedMs ?? UNUSED_MS
  const stopping = new AbortController()
  const unusedSince = new Map<string, number>()
  let lookedAtIndexes = Number.NEGATIVE_INFINITY

  async function change(step: (plan: ReleasePlan) => ReleasePlan): Promise<ReleasePlan> {
    const plan = await changePlan(catalogue, step)
    await onChange()
    return plan
  }

  /** Does `work` if no other process carries the plan out; its signal is aborted when that is no longer sure. [carrier] */
  async function asCarrier(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const take = async () =>
      (await changePlan(catalogue, (plan) => carriedBy(plan, id, now(), LEASE_MS))).carrier?.id === id
    if (!(await take())) return
    const lost = new AbortController()
    const renewal = setInterval(() => {
      take().then(
        (isOurs) => isOurs || lost.abort(),
        () => lost.abort(),
      )
    }, LEASE_MS / 3)
    try {
      await work(AbortSignal.any([lost.signal, stopping.signal]))
    } finally {
      clearInterval(renewal)
      await changePlan(catalogue, (plan) => letGo(plan, id))
    }
  }

  async function rollOut(asked: RollOut, signal: AbortSignal): Promise<void> {
    const { release } = asked
    const goesOn = async () => {
      const plan = await catalogue.releasePlan()
      return !signal.aborted && plan !== undefined && stands(plan, asked)
    }
    try {
      if (asked.phase === 'requested') {
        logger.info({ release }, 'A release is checked before it is rolled out')
        const manifest = await probeRelease(modelStore, release, (its) => checkEncoders(its, profile))
        if (!(await makeRoom(manifest, goesOn))) return
        await change((plan) => (stands(plan, asked) ? beginEmbedding(plan) : plan))
        logger.info({ release }, 'A release is embedded by, beside the one that serves')
      }
      const { serving } = (await catalogue.releasePlan()) ?? {}
      if (serving === undefined) return
      if (!(await untilWhole(deps, { release, serving, since: asked.requestedAt }, goesOn))) return
      if (asked.trialShare === null) await announceRelease(deps, (await modelStore.fetch(release)).manifest)
      if (!(await goesOn())) return
      const plan = await change((standing) => (stands(standing, asked) ? complete(standing, now()) : standing))
      logger.info({ release, serving: plan.serving, trial: plan.trial }, 'A release was rolled out')
    } catch (error) {
      if (signal.aborted || error instanceof RetryableError) throw error // it is gone on with later
      await refuse(asked, error)
    }
  }

  /** [or not] */
  async function refuse(asked: RollOut, error: unknown): Promise<void> {
    const { release } = asked
    const code = error instanceof CuestreamError ? error.code : 'internal'
    const message = error instanceof Error ? error.message : String(error)
    logger.error({ release, err: error }, 'A release could not be rolled out; what served goes on serving')
    await change((plan) => (stands(plan, asked) ? fail(plan, { code, message }, now()) : plan))
  }

  /**
   * An empty index, and groups that begin at the start: of an earlier time in use, both may be there still. What answers is
   * left as it is: a release that is on trial or served before is whole. @returns false when nobody wants it any more.
   */
  async function makeRoom({ release, dims }: ReleaseManifest, goesOn: () => Promise<boolean>): Promise<boolean> {
    const plan = await catalogue.releasePlan()
    if (plan === undefined) return false
    if (answering(plan).includes(release)) return goesOn()
    for (const { name, from } of [embedMusic, embedVideo]) {
      const topics = from.map((topic) => topic.name)
      for (const { topic, partition, committedOffset } of await broker.lag(groupOf(name, release), topics)) {
        if (committedOffset > 0 && !(await seekToStart(groupOf(name, release), topic, partition, goesOn))) return false
      }
    }
    for (const kind of ['music', 'video'] as const) {
      await index.drop({ release, kind })
      await index.create({ release, kind }, dims)
    }
    return goesOn()
  }

  /** Stages of an earlier time leave their group when their process hears of the plan. */
  async function seekToStart(group: string, topic: string, partition: number, goesOn: () => Promise<boolean>) {
    for (;;) {
      if (!(await goesOn())) return false
      try {
        await broker.seek(group, topic, partition, 0)
        return true
      } catch (error) {
        if (!(error instanceof InvalidRequestError)) throw error
        await sleep(LOOK_EVERY_MS)
      }
    }
  }

  /** @returns releases whose time is over. [unused] */
  async function retirable(plan: ReleasePlan): Promise<string[]> {
    if (now() - lookedAtIndexes < Math.min(INDEXES_EVERY_MS, unusedMs)) return []
    lookedAtIndexes = now()
    const releases = await leftBehind(index, named(plan))
    for (const release of unusedSince.keys()) if (!releases.includes(release)) unusedSince.delete(release)
    for (const release of releases) if (!unusedSince.has(release)) unusedSince.set(release, now())
    return releases.filter((release) => now() - unusedSince.get(release)! >= unusedMs)
  }

  async function look(): Promise<void> {
    const plan = await catalogue.releasePlan()
    if (plan === undefined) return
    const unused = await retirable(plan)
    if (plan.preparing === null && unused.length === 0) return
    await asCarrier(async (signal) => {
      if (plan.preparing !== null) await rollOut(plan.preparing, signal)
      for (const release of unused) {
        const standing = await catalogue.releasePlan()
        if (signal.aborted || standing === undefined || named(standing).includes(release)) continue
        await retireRelease({ broker, index }, release, signal)
        logger.info({ release }, 'A release that is no longer in use was retired; its bundle is kept')
      }
    })
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      await look().catch((error: unknown) => {
        // Services that are away are told of by the stages.
        if (error instanceof RetryableError || stopping.signal.aborted) return
        logger.error({ err: error }, 'What the release plan asks for could not be carried out; it is tried again')
      })
      await sleep(LOOK_EVERY_MS, undefined, { signal: stopping.signal, ref: false }).catch(() => {})
    }
  }

  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}
