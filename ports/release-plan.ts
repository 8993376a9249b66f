/**
 * Which releases are in use, and for what: one small document, replaced in one step (Catalogue.replaceReleasePlan), that
 * every process follows. cli/releases/plan.ts has its rules.
 */
export interface ReleasePlan {
  /** Grows by at least 1 with every change. */
  readonly revision: number
  readonly serving: string
  /** What served before: it is still embedded by, so that a roll-back is at once. */
  readonly previous: string | null
  readonly trial: ReleaseTrial | null
  readonly preparing: RollOut | null
  /** How the latest roll-out ended. */
  readonly lastRollOut: EndedRollOut | null
  /** The process that carries out what the plan asks for; another may when the time is over. */
  readonly carrier: { readonly id: string; readonly until: number } | null
}

export interface ReleaseTrial {
  readonly release: string
  /** Of the requests that it answers, above 0 and below 1. */
  readonly share: number
}

export interface RollOut {
  readonly release: string
  /** The share that it will answer as a trial; null when it will serve. */
  readonly trialShare: number | null
  /** 'requested': to be checked. 'embedding': what there is is embedded by it, into an index of its own. */
  readonly phase: 'requested' | 'embedding'
  /** Unix epoch, ms. */
  readonly requestedAt: number
}

export interface EndedRollOut {
  readonly release: string
  readonly outcome: 'done' | 'failed' | 'cancelled'
  /** Of one that failed. */
  readonly failure: { readonly code: string; readonly message: string } | null
  /** Unix epoch, ms. */
  readonly endedAt: number
}
