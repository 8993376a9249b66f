/** Carries a plan out, as far as it is safe or its risks are named; again, or by two at once, it comes to the same. */
import { SetupError } from '../ports/errors.ts'
import type { TopicAdmin } from '../ports/topic-admin.ts'
import type { TopicSettings } from '../ports/topic-settings.ts'
import { type Change, type Plan, planTopics, type Risk } from './plan.ts'
import { deadLetterTopic } from './topic.ts'

/** The topics, and the dead letters of each. */
export function withDeadLetters(topics: readonly TopicSettings[]): readonly TopicSettings[] {
  return topics.flatMap((topic) => [topic, deadLetterTopic(topic)])
}

export async function readPlan(admin: TopicAdmin, topics: readonly TopicSettings[]): Promise<Plan> {
  const wanted = await admin.wanted(topics)
  return planTopics(wanted, await admin.describe(wanted.map(({ name }) => name)), await admin.names())
}

/**
 * Reads anew what is there, whatever was planned before.
 * @returns what was done, and what still differs: refused or impossible.
 * @throws SetupError 'topics-not-applied' when the broker shows something else than what it was told.
 */
export async function applyTopics(
  admin: TopicAdmin,
  topics: readonly TopicSettings[],
  allow: ReadonlySet<Risk> = new Set(),
): Promise<{ done: readonly Change[]; left: readonly Change[] }> {
  const { changes } = await readPlan(admin, topics)
  const done = changes.filter((change) => isAllowed(change, allow))
  const missing = done.flatMap((change) => (change.what === 'create' ? [change.as] : []))
  if (missing.length > 0) await admin.create(missing)
  for (const change of done) if (change.what === 'partitions') await admin.addPartitions(change.topic, change.to)
  for (const [topic, config] of configsByTopic(done)) await admin.alter(topic, config)
  const { changes: left } = await readPlan(admin, topics)
  const missed = left.filter((change) => isAllowed(change, allow)).map(({ topic, what }) => `${topic} (${what})`)
  if (missed.length > 0) {
    throw new SetupError(
      'topics-not-applied',
      `The broker took these changes and does not show them: ${missed.join(', ')}; look whether somebody else changes them, and apply again`,
    )
  }
  return { done, left }
}

function isAllowed(change: Change, allow: ReadonlySet<Risk>): boolean {
  return change.verdict === 'safe' || (change.verdict === 'refused' && allow.has(change.risk))
}

/** In one call a topic, so that a policy and its limits change together. */
function configsByTopic(changes: readonly Change[]): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const configs = new Map<string, Record<string, string>>()
  for (const change of changes) {
    if (change.what !== 'config') continue
    configs.set(change.topic, { ...configs.get(change.topic), [change.key]: change.to })
  }
  return configs
}
