/**
 * The releases in use, as this process has them: towers of each in a process of its own, the stages that embed by each, and
 * which of them answers a request.
 *
 *   [one answer]  a request has the towers of one release from its query vector to its index
 *   [no gap]      a new plan counts once the towers that it lets answer are loaded here
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { TowersProcess } from '../../adapters/onnx/towers-process.ts'
import type { ReleaseTowers } from '../../ports/encoder.ts'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { ReleasePlan } from '../../ports/release-plan.ts'
import type { VectorIndex } from '../../ports/vector-index.ts'
import type { Stage } from '../../runtime/run-processor.ts'
import { createEmbeddingStages } from './embedding-stages.ts'
import { checkEncoders, type FirstReleaseDeps, standingPlan } from './first-release.ts'
import { type FollowedPlan, followPlan } from './follow-plan.ts'
import { paced } from './paced.ts'
import { answering, assigned, embedding } from './plan.ts'
import { createTowersPool } from './towers-pool.ts'

export interface Releases {
  plan(): ReleasePlan
  /** Of the release that serves. */
  current(): Promise<TowersProcess>
  /** [one answer] @throws InvalidRequestError 'bad-cursor' */
  towersFor(requestId: string, pageOf: string | undefined): Promise<ReleaseTowers>
  /** Takes a plan over that was just changed. */
  look(): Promise<void>
  /** After a wipe: the catalogue has the plan again, and the indexes of its releases are there. */
  restore(): Promise<void>
  /** Of the processes that run towers for this one, by release. */
  pids(): Readonly<Record<string, number | undefined>>
  close(): Promise<void>
}

export interface ReleasesDeps extends FirstReleaseDeps {
  readonly index: VectorIndex
  /** What this process does with releases. */
  readonly uses: {
    readonly answers: boolean
    /** Names of the embedding stages that it runs. */
    readonly embeds: readonly string[]
  }
  readonly startStage: (processor: string, towers: ReleaseTowers) => { readonly stage: Stage }
  /** How long the process of a release is kept that is no longer in use. */
  readonly unusedMs?: number
  readonly onStageStop: (started: { readonly stage: Stage }) => void
}

const LOOK_EVERY_MS = 300
const LOADED_WITHIN_MS = 10_000

/** @throws InvalidRecordError 'unknown-release' | 'tampered-release', SetupError 'profile-mismatch': of what serves */
export async function openReleases(deps: ReleasesDeps): Promise<Releases> {
  const { catalogue, modelStore, profile, uses, logger } = deps
  const first = await standingPlan(deps)
  checkEncoders((await modelStore.fetch(first.serving)).manifest, profile)
  await createIndexes(deps, first)

  const pool = createTowersPool(deps)
  const stages = createEmbeddingStages({
    processors: uses.embeds,
    start: deps.startStage,
    onStop: deps.onStageStop,
    logger,
  })
  let followed: FollowedPlan | undefined
  const isPrepared = (release: string) => followed?.current().preparing?.release === release

  /** [no gap] */
  async function take(plan: ReleasePlan): Promise<void> {
    const towers = uses.answers || uses.embeds.length > 0 ? await openAll(plan) : []
    if (uses.answers && followed !== undefined) await untilLoaded(plan, towers)
    stages.follow(towers.map((one) => paced(one, () => isPrepared(one.release))))
    pool.keep(embedding(plan))
  }

  /** Those that new requests go to; one that does not load holds up no roll-back from it for ever. */
  async function untilLoaded({ serving, trial }: ReleasePlan, towers: readonly TowersProcess[]): Promise<void> {
    const asked = towers.filter(({ release }) => release === serving || release === trial?.release)
    const loaded = Promise.allSettled(asked.map((one) => one.ready()))
    await Promise.race([loaded, sleep(LOADED_WITHIN_MS, undefined, { ref: false })])
  }

  /** A bundle that is lost keeps what serves from nothing but itself. */
  async function openAll(plan: ReleasePlan): Promise<TowersProcess[]> {
    const opened: TowersProcess[] = []
    for (const release of embedding(plan)) {
      try {
        opened.push(await pool.open(release))
      } catch (err) {
        if (release === plan.serving) throw err
        logger.error({ release, err }, 'A release in use cannot be loaded here; others are')
      }
    }
    return opened
  }

  try {
    await take(first)
  } catch (error) {
    await stages.stop()
    await pool.close()
    throw error
  }
  const following = followPlan({ catalogue, first, everyMs: LOOK_EVERY_MS, onChange: take, logger })
  followed = following

  return {
    plan: following.current,
    current: () => pool.open(following.current().serving),
    async towersFor(requestId, pageOf) {
      const plan = following.current()
      if (pageOf === undefined) return pool.open(assigned(plan, requestId))
      if (answering(plan).includes(pageOf)) return pool.open(pageOf)
      const message = `The cursor is of release ${pageOf}, which is no longer in use. Ask without it`
      throw new InvalidRequestError('bad-cursor', message)
    },
    look: following.look,
    async restore() {
      const known = following.current()
      const standing = await catalogue.releasePlan()
      // Of an old snapshot the plan is old, too.
      if ((standing?.revision ?? 0) < known.revision) {
        await catalogue.replaceReleasePlan(standing?.revision ?? 0, { ...known, revision: known.revision + 1 })
      }
      await createIndexes(deps, (await catalogue.releasePlan()) ?? known)
    },
    pids: pool.pids,
    async close() {
      await following.stop()
      await stages.stop()
      await pool.close()
    },
  }
}

async function createIndexes({ modelStore, index, logger }: ReleasesDeps, plan: ReleasePlan): Promise<void> {
  for (const release of embedding(plan)) {
    try {
      const { dims } = (await modelStore.fetch(release)).manifest
      for (const kind of ['music', 'video'] as const) await index.create({ release, kind }, dims)
    } catch (err) {
      if (release === plan.serving) throw err
      logger.error({ release, err }, 'The index of a release in use cannot be made; those of others are')
    }
  }
}
