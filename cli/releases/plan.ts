/**
 * The rules of the release plan (ports/release-plan.ts): pure functions from a plan to the next one.
 *
 *     requested ──▶ embedding ──▶ serving ──▶ previous ──▶ retired
 *                           └───▶ trial ──▶ retired
 *
 *   [one]       one roll-out at a time
 *   [whole]     what answers was embedded whole first: a roll-out is the only way to become serving or trial
 *   [way back]  what served before goes on being embedded, so that a roll-back is this one change
 */
import { createHash } from 'node:crypto'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { EndedRollOut, ReleasePlan, RollOut } from '../../ports/release-plan.ts'

/** @param at Unix epoch, ms: a plan that is made after a wipe is of a later revision than any that was lost. */
export function firstPlan(serving: string, at: number): ReleasePlan {
  return { revision: at, serving, previous: null, trial: null, preparing: null, lastRollOut: null, carrier: null }
}

/** Releases that may answer: each has an index that is whole. */
export function answering({ serving, previous, trial }: ReleasePlan): string[] {
  return [...new Set([serving, previous, trial?.release].filter((release) => typeof release === 'string'))]
}

/** Releases that new music and videos are embedded by. */
export function embedding(plan: ReleasePlan): string[] {
  const { preparing } = plan
  return [...new Set([...answering(plan), ...(preparing?.phase === 'embedding' ? [preparing.release] : [])])]
}

/** Releases that are named at all: what others left behind is retired. */
export function named(plan: ReleasePlan): string[] {
  return [...new Set([...answering(plan), ...(plan.preparing === null ? [] : [plan.preparing.release])])]
}

/** The same request has the same release in every process. @returns the release that answers it. */
export function assigned({ serving, trial }: ReleasePlan, requestId: string): string {
  if (trial === null) return serving
  const drawn = createHash('sha256').update(requestId).digest().readUInt32BE(0) / 2 ** 32 // 0 ≤ drawn < 1
  return drawn < trial.share ? trial.release : serving
}

/** @throws InvalidRequestError 'roll-out-running' | 'already-serving' */
export function request(
  plan: ReleasePlan,
  { release, trialShare, at }: { release: string; trialShare: number | null; at: number },
): ReleasePlan {
  if (plan.preparing !== null) {
    throw refused(
      'roll-out-running',
      `Release ${plan.preparing.release} is being rolled out; wait for that, or cancel it`,
    )
  }
  if (release === plan.serving) throw refused('already-serving', `Release ${release} serves already`)
  return { ...plan, preparing: { release, trialShare, phase: 'requested', requestedAt: at } }
}

/** Whether the plan still asks for this very roll-out. */
export function stands(plan: ReleasePlan, rollOut: RollOut): boolean {
  return plan.preparing?.release === rollOut.release && plan.preparing.requestedAt === rollOut.requestedAt
}

export function beginEmbedding(plan: ReleasePlan): ReleasePlan {
  return plan.preparing === null ? plan : { ...plan, preparing: { ...plan.preparing, phase: 'embedding' } }
}

/** The switch: what was prepared answers from now on. [whole] */
export function complete(plan: ReleasePlan, at: number): ReleasePlan {
  if (plan.preparing === null) return plan
  const { release, trialShare } = plan.preparing
  const ended = end(plan, { release, outcome: 'done', failure: null, endedAt: at })
  if (trialShare !== null) return { ...ended, trial: { release, share: trialShare } }
  return { ...ended, serving: release, previous: plan.serving, trial: withoutTrialOf(release, plan) }
}

export function fail(plan: ReleasePlan, failure: { code: string; message: string }, at: number): ReleasePlan {
  if (plan.preparing === null) return plan
  return end(plan, { release: plan.preparing.release, outcome: 'failed', failure, endedAt: at })
}

/** @throws InvalidRequestError 'no-roll-out' */
export function cancel(plan: ReleasePlan, at: number): ReleasePlan {
  if (plan.preparing === null) throw refused('no-roll-out', 'No release is being rolled out', 404)
  return end(plan, { release: plan.preparing.release, outcome: 'cancelled', failure: null, endedAt: at })
}

/** [way back] @throws InvalidRequestError 'no-previous-release' */
export function rollBack(plan: ReleasePlan, at: number): ReleasePlan {
  const { serving, previous, preparing } = plan
  if (previous === null) {
    throw refused('no-previous-release', `Release ${serving} is the first that serves; there is none to go back to`)
  }
  const trial = withoutTrialOf(previous, plan)
  // It would be rolled out to where it is now.
  const rest = preparing?.release === previous ? cancel(plan, at) : plan
  return { ...rest, serving: previous, previous: serving, trial }
}

/** @throws InvalidRequestError 'no-trial' */
export function endTrial(plan: ReleasePlan): ReleasePlan {
  if (plan.trial === null) throw refused('no-trial', 'No release is on trial', 404)
  return { ...plan, trial: null }
}

/** Of several that ask, one carries out what the plan asks for; the plan as it is where another does. */
export function carriedBy(plan: ReleasePlan, id: string, at: number, forMs: number): ReleasePlan {
  const { carrier } = plan
  if (carrier !== null && carrier.id !== id && carrier.until > at) return plan
  return { ...plan, carrier: { id, until: at + forMs } }
}

export function letGo(plan: ReleasePlan, id: string): ReleasePlan {
  return plan.carrier?.id === id ? { ...plan, carrier: null } : plan
}

function end(plan: ReleasePlan, lastRollOut: EndedRollOut): ReleasePlan {
  return { ...plan, preparing: null, lastRollOut }
}

function withoutTrialOf(release: string, { trial }: ReleasePlan): ReleasePlan['trial'] {
  return trial?.release === release ? null : trial
}

function refused(code: string, message: string, status: 404 | 409 = 409): InvalidRequestError {
  return new InvalidRequestError(code, message, { status })
}
