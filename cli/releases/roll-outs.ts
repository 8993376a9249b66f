/** What operators ask for becomes a change of the plan; how it goes is read from the plan and the topics. */
import type { ReleaseRole, ReleasesView, ReleaseView, RollOuts, RollOutView } from '../../gateway/releases.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import { InvalidRecordError, InvalidRequestError } from '../../ports/errors.ts'
import type { ModelStore } from '../../ports/model-store.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import type { ReleasePlan } from '../../ports/release-plan.ts'
import { type AnnounceDeps, announceRelease } from './announce.ts'
import { changePlan } from './change-plan.ts'
import { cancel, endTrial, named, request, rollBack } from './plan.ts'
import { embeddingProgress } from './whole.ts'

export interface RollOutDeps extends AnnounceDeps {
  readonly catalogue: Catalogue
  readonly modelStore: ModelStore
  /** Called when this process has changed the plan. */
  readonly onChange: () => Promise<void>
}

export function createRollOuts(deps: RollOutDeps): RollOuts {
  const { catalogue, modelStore, broker, now, onChange } = deps
  /** Of bundles that were read and found whole: they never change. */
  const manifests = new Map<string, ReleaseManifest>()

  async function change(step: (plan: ReleasePlan) => ReleasePlan): Promise<ReleasesView> {
    const plan = await changePlan(catalogue, step)
    await onChange()
    return present(plan)
  }

  async function present(plan: ReleasePlan): Promise<ReleasesView> {
    const releases: ReleaseView[] = []
    const unreadable: { release: string; code: string; message: string }[] = []
    const kept = await modelStore.list()
    for (const release of manifests.keys()) if (!kept.includes(release)) manifests.delete(release)
    for (const release of kept) {
      try {
        const manifest = manifests.get(release) ?? (await modelStore.fetch(release)).manifest
        manifests.set(release, manifest)
        const { model, dims, metrics, parent, createdAt } = manifest
        releases.push({ release, model, dims, metrics, parent, createdAt, roles: rolesOf(release, plan) })
      } catch (error) {
        if (!(error instanceof InvalidRecordError)) throw error
        unreadable.push({ release, code: error.code, message: error.message })
      }
    }
    const { serving, previous, trial } = plan
    return { serving, previous, trial, rollOut: await rollOutOf(plan), releases, unreadable }
  }

  async function rollOutOf({ preparing, lastRollOut }: ReleasePlan): Promise<RollOutView | undefined> {
    const nothing = { phase: undefined, trialShare: undefined, doneRecords: 0, totalRecords: 0, failure: undefined }
    if (preparing !== null) {
      const { release, trialShare } = preparing
      const running = { ...nothing, release, state: 'running', trialShare: trialShare ?? undefined } as const
      if (preparing.phase === 'requested') return { ...running, phase: 'checking' }
      const progress = await embeddingProgress(broker, release)
      const phase = progress.doneRecords < progress.totalRecords ? 'embedding' : 'comparing'
      return { ...running, ...progress, phase }
    }
    if (lastRollOut === null) return undefined
    const { release, outcome, failure } = lastRollOut
    return { ...nothing, release, state: outcome, failure: failure ?? undefined }
  }

  async function assertKept(release: string): Promise<void> {
    if ((await modelStore.list()).includes(release)) return
    throw new InvalidRequestError('unknown-release', `There is no release ${release} in the model store`, {
      status: 404,
    })
  }

  async function standing(): Promise<ReleasePlan> {
    return changePlan(catalogue, (plan) => plan)
  }

  return {
    view: async () => present(await standing()),
    async rollOut(release, trialShare) {
      await assertKept(release)
      await modelStore.fetch(release) // whoever asks hears of a bundle that was changed
      return change((plan) => request(plan, { release, trialShare: trialShare ?? null, at: now() }))
    },
    cancel: () => change((plan) => cancel(plan, now())),
    async rollBack() {
      const view = await change((plan) => rollBack(plan, now()))
      const manifest = (await modelStore.fetch(view.serving)).manifest
      await announceRelease(deps, manifest)
      return view
    },
    endTrial: () => change(endTrial),
    async remove(release) {
      await assertKept(release)
      const plan = await standing()
      if (named(plan).includes(release)) {
        const message = `Release ${release} is in use; let another serve, or end its trial, first`
        throw new InvalidRequestError('release-in-use', message, { status: 409 })
      }
      await modelStore.remove(release)
      return present(plan)
    },
  }
}

function rolesOf(release: string, { serving, previous, trial, preparing }: ReleasePlan): ReleaseRole[] {
  const roles: ReleaseRole[] = []
  if (release === serving) roles.push('serving')
  if (release === previous) roles.push('previous')
  if (release === trial?.release) roles.push('trial')
  if (release === preparing?.release) roles.push('preparing')
  return roles
}
