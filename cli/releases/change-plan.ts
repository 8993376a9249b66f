/** Changes of the plan that stands, one at a time among all processes. */
import type { Catalogue } from '../../ports/catalogue.ts'
import { OutageError } from '../../ports/errors.ts'
import type { ReleasePlan } from '../../ports/release-plan.ts'

export type PlanStore = Pick<Catalogue, 'releasePlan' | 'replaceReleasePlan'>

/**
 * Makes the change on whatever stands, again when another was made meanwhile. A change that gives its argument back
 * changes nothing. @returns the plan that stands afterwards. @throws OutageError 'no-release-plan'; what `change` throws.
 */
export async function changePlan(store: PlanStore, change: (plan: ReleasePlan) => ReleasePlan): Promise<ReleasePlan> {
  for (;;) {
    const plan = await store.releasePlan()
    if (plan === undefined) {
      throw new OutageError(
        'no-release-plan',
        'The catalogue was wiped and does not name a release yet; try again later',
      )
    }
    const changed = change(plan)
    if (changed === plan) return plan
    const next = { ...changed, revision: plan.revision + 1 }
    if (await store.replaceReleasePlan(plan.revision, next)) return next
  }
}
