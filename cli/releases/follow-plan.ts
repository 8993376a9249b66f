/** The release plan as this process knows it: asked for a few times a second, never for a request. */
import type { Logger } from 'pino'
import type { Catalogue } from '../../ports/catalogue.ts'
import { OutageError } from '../../ports/errors.ts'
import type { ReleasePlan } from '../../ports/release-plan.ts'

export interface FollowedPlan {
  /** The latest that was taken over. */
  current(): ReleasePlan
  /** Looks now. */
  look(): Promise<void>
  stop(): Promise<void>
}

/**
 * @param onChange takes a new plan over; the one before counts until it resolves, and when it rejects it is tried again at
 * the next look.
 */
export function followPlan(options: {
  catalogue: Pick<Catalogue, 'releasePlan'>
  first: ReleasePlan
  everyMs: number
  onChange: (plan: ReleasePlan) => Promise<void>
  logger: Logger
}): FollowedPlan {
  const { catalogue, everyMs, onChange, logger } = options
  let current = options.first
  let looking: Promise<void> | undefined
  let stopped = false

  async function take(): Promise<void> {
    try {
      const plan = await catalogue.releasePlan()
      // One that was wiped, or is of an old snapshot, is written again by whoever fills the catalogue (Releases.restore).
      if (plan === undefined || plan.revision <= current.revision || stopped) return
      await onChange(plan)
      current = plan
    } catch (error) {
      if (error instanceof OutageError) return
      logger.error({ err: error }, 'The release plan could not be taken over; what answered before goes on answering')
    }
  }

  /** A look that was asked for while another was under way sees what was written before it was asked for. */
  function look(): Promise<void> {
    const next = (looking ?? Promise.resolve()).then(take)
    looking = next
    return next
  }

  let timer = setTimeout(tick, everyMs)
  timer.unref()
  function tick(): void {
    void look().then(() => {
      if (stopped) return
      timer = setTimeout(tick, everyMs)
      timer.unref()
    })
  }

  return {
    current: () => current,
    look,
    async stop() {
      stopped = true
      clearTimeout(timer)
      await looking
    },
  }
}
