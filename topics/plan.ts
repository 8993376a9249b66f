/**
 * What would have to change so that the topics of a broker are kept as they should be, and what that would cost.
 *
 *   [safe]        loses no record and no guarantee: topics that are missing, longer retention, larger records
 *   [refused]     loses something: done only when its risk is named (`--allow`)
 *   [impossible]  no broker does it; `why` says what to do instead
 *   [foreign]     topics that nobody defines are left alone; those that look like ours are listed
 */
import type { TopicDescription, WantedTopic } from '../ports/topic-admin.ts'

export const risks = {
  'shorter-retention': 'records, or tombstones, that are older than that are deleted',
  'smaller-records': 'records between the two sizes are refused from then on',
  'cleanup-policy': 'compaction keeps only the latest record of each key, and deletion by age only recent ones',
  'fewer-acknowledgements': 'a record may be acknowledged by one replica alone, and lost with it',
  'more-partitions':
    'keys move to other partitions, so records of one key lose their order and topics that are joined no longer match',
} as const
export type Risk = keyof typeof risks

export type Verdict =
  | { readonly verdict: 'safe' }
  | { readonly verdict: 'refused'; readonly risk: Risk }
  | { readonly verdict: 'impossible'; readonly why: string }

export type Change = Verdict &
  (
    | { readonly what: 'create'; readonly topic: string; readonly as: WantedTopic }
    | {
        readonly what: 'partitions' | 'replication'
        readonly topic: string
        readonly from: number
        readonly to: number
      }
    | {
        readonly what: 'config'
        readonly topic: string
        readonly key: string
        readonly from: string | undefined
        readonly to: string
      }
  )

export interface Plan {
  /** Topic by topic, in the order in which they are wanted. */
  readonly changes: readonly Change[]
  /** Names of topics that look like ours and that nobody defines: older versions, what an operator made. [foreign] */
  readonly foreign: readonly string[]
}

/** domain.event.v1, and its dead letters. */
const OUR_NAME = /^[a-z0-9-]+(\.[a-z0-9-]+)+\.v[0-9]+(\.dlq)?$/

/**
 * @param found what is there, in any order; topics that are not wanted are passed over.
 * @param names of all topics of the broker.
 */
export function planTopics(
  wanted: readonly WantedTopic[],
  found: readonly TopicDescription[],
  names: readonly string[] = [],
): Plan {
  const present = new Map(found.map((topic) => [topic.name, topic]))
  const known = new Set(wanted.map(({ name }) => name))
  const changes = wanted.flatMap((topic): readonly Change[] => {
    const there = present.get(topic.name)
    if (there === undefined) return [{ what: 'create', topic: topic.name, as: topic, verdict: 'safe' }]
    return [...configChanges(topic, there), ...sizeChanges(topic, there)]
  })
  return { changes, foreign: names.filter((name) => OUR_NAME.test(name) && !known.has(name)).sort() }
}

function configChanges(wanted: WantedTopic, found: TopicDescription): Change[] {
  return Object.entries(wanted.config)
    .filter(([key, to]) => found.config[key] !== to)
    .map(([key, to]) => {
      const from = found.config[key]
      return { what: 'config', topic: wanted.name, key, from, to, ...verdictOf(key, from, to, found.replicationFactor) }
    })
}

function sizeChanges(wanted: WantedTopic, found: TopicDescription): Change[] {
  const changes: Change[] = []
  const topic = wanted.name
  if (found.partitions !== wanted.partitions) {
    const [from, to] = [found.partitions, wanted.partitions]
    changes.push({
      what: 'partitions',
      topic,
      from,
      to,
      ...(to > from
        ? { verdict: 'refused', risk: 'more-partitions' }
        : { verdict: 'impossible', why: 'a topic never loses partitions; define its next version and copy it there' }),
    })
  }
  const [from, to] = [found.replicationFactor, wanted.replicationFactor]
  if (to !== 'default' && to !== from) {
    const why = 'replicas are moved by kafka-reassign-partitions.sh of Apache Kafka'
    changes.push({ what: 'replication', topic, from, to, verdict: 'impossible', why })
  }
  return changes
}

function verdictOf(key: string, from: string | undefined, to: string, replicas: number): Verdict {
  switch (key) {
    case 'max.message.bytes':
      return isLess(to, from) ? { verdict: 'refused', risk: 'smaller-records' } : safe
    case 'retention.ms':
    case 'delete.retention.ms':
      return isLess(to, from) ? { verdict: 'refused', risk: 'shorter-retention' } : safe
    case 'cleanup.policy':
      // What was compacted and deleted by age, too, is kept for longer.
      return to === 'compact' && from?.split(',').includes('compact')
        ? safe
        : { verdict: 'refused', risk: 'cleanup-policy' }
    case 'min.insync.replicas':
      if (Number(to) > replicas) {
        const why = `with ${replicas} replica(s) nothing could be written; give the topic more replicas first`
        return { verdict: 'impossible', why }
      }
      return isLess(to, from) ? { verdict: 'refused', risk: 'fewer-acknowledgements' } : safe
    default:
      return safe
  }
}

const safe = { verdict: 'safe' } as const

/** −1 means without limit. */
function isLess(to: string, from: string | undefined): boolean {
  const limit = (value: string | undefined) =>
    value === undefined || Number(value) === -1 ? Number.POSITIVE_INFINITY : Number(value)
  return limit(to) < limit(from)
}
