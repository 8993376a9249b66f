import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { TopicDescription, WantedTopic } from '../../../ports/topic-admin.ts'
import { type Change, planTopics } from '../../../topics/plan.ts'

const DAY_MS = 86_400_000
const topic = (change: Partial<TopicDescription> = {}): TopicDescription => ({
  name: 'uploads.received.v1',
  partitions: 6,
  replicationFactor: 3,
  config: { 'cleanup.policy': 'delete', 'retention.ms': `${7 * DAY_MS}`, 'min.insync.replicas': '2' },
  ...change,
})
const withConfig = (config: Record<string, string>) => topic({ config: { ...topic().config, ...config } })

/** 'what verdict' of each change; what is refused with its risk. */
function outcome(wanted: WantedTopic, found: TopicDescription): string[] {
  return planTopics([wanted], [found]).changes.map((change) => {
    const what = change.what === 'config' ? change.key : change.what
    return `${what} ${change.verdict === 'refused' ? change.risk : change.verdict}`
  })
}

describe('the plan of the topics', () => {
  test('is empty where all is as wanted, whatever else the broker sets', () => {
    assert.deepEqual(outcome(topic(), withConfig({ 'compression.type': 'producer' })), [])
  })

  test('creates what is missing, in the order of the definitions, and leaves topics that nobody defines alone', () => {
    const missing = ['b.made.v1', 'a.made.v1'].map((name) => topic({ name }))
    const names = ['z.made.v1', 'a.made.v0', 'a.made.v1.dlq', 'somebody-elses', 'theirs.v', 'uploads.received.v1']
    const plan = planTopics([...missing, topic()], [topic(), topic({ name: 'somebody-elses' })], names)
    assert.deepEqual(
      plan.changes.map(({ what, topic, verdict }) => [what, topic, verdict]),
      [
        ['create', 'b.made.v1', 'safe'],
        ['create', 'a.made.v1', 'safe'],
      ],
    )
    assert.deepEqual(plan.foreign, ['a.made.v0', 'a.made.v1.dlq', 'z.made.v1'])
  })

  test('says nothing of the replicas where their number is left to the cluster', () => {
    assert.deepEqual(outcome({ ...topic(), replicationFactor: 'default' }, topic({ replicationFactor: 1 })), [])
  })

  const cases: [string, TopicDescription, TopicDescription, string[]][] = [
    ['longer retention is safe', withConfig({ 'retention.ms': `${8 * DAY_MS}` }), topic(), ['retention.ms safe']],
    [
      'shorter retention is refused',
      withConfig({ 'retention.ms': `${6 * DAY_MS}` }),
      topic(),
      ['retention.ms shorter-retention'],
    ],
    [
      'retention without limit is longer than any',
      withConfig({ 'retention.ms': '-1' }),
      topic(),
      ['retention.ms safe'],
    ],
    [
      'a limit where there was none is shorter',
      topic(),
      withConfig({ 'retention.ms': '-1' }),
      ['retention.ms shorter-retention'],
    ],
    [
      'tombstones that go sooner are refused',
      withConfig({ 'delete.retention.ms': '1' }),
      withConfig({ 'delete.retention.ms': '2' }),
      ['delete.retention.ms shorter-retention'],
    ],
    [
      'larger records are safe',
      withConfig({ 'max.message.bytes': '1000000' }),
      withConfig({ 'max.message.bytes': '999999' }),
      ['max.message.bytes safe'],
    ],
    [
      'smaller records are refused',
      withConfig({ 'max.message.bytes': '999999' }),
      withConfig({ 'max.message.bytes': '1000000' }),
      ['max.message.bytes smaller-records'],
    ],
    [
      'compaction in place of deletion is refused',
      withConfig({ 'cleanup.policy': 'compact' }),
      topic(),
      ['cleanup.policy cleanup-policy'],
    ],
    [
      'deletion in place of compaction is refused',
      topic(),
      withConfig({ 'cleanup.policy': 'compact' }),
      ['cleanup.policy cleanup-policy'],
    ],
    [
      'compaction alone, in place of compaction and deletion, keeps more: safe',
      withConfig({ 'cleanup.policy': 'compact' }),
      withConfig({ 'cleanup.policy': 'compact,delete' }),
      ['cleanup.policy safe'],
    ],
    ['more partitions are refused', topic({ partitions: 12 }), topic(), ['partitions more-partitions']],
    ['fewer partitions are impossible', topic({ partitions: 3 }), topic(), ['partitions impossible']],
    ['other replication is impossible', topic({ replicationFactor: 2 }), topic(), ['replication impossible']],
    [
      'more acknowledgements are safe where there are the replicas for them',
      topic(),
      withConfig({ 'min.insync.replicas': '1' }),
      ['min.insync.replicas safe'],
    ],
    [
      'more acknowledgements than replicas, which would stop every writer, are impossible',
      topic(),
      { ...withConfig({ 'min.insync.replicas': '1' }), replicationFactor: 1 },
      ['min.insync.replicas impossible', 'replication impossible'],
    ],
    [
      'fewer acknowledgements are refused',
      withConfig({ 'min.insync.replicas': '1' }),
      topic(),
      ['min.insync.replicas fewer-acknowledgements'],
    ],
    [
      'how often the broker cleans up is safe',
      withConfig({ 'segment.ms': '5', 'min.cleanable.dirty.ratio': '0.2' }),
      withConfig({ 'segment.ms': '6', 'min.cleanable.dirty.ratio': '0.1' }),
      ['segment.ms safe', 'min.cleanable.dirty.ratio safe'],
    ],
  ]
  for (const [what, wanted, found, expected] of cases) {
    test(what, () => assert.deepEqual(outcome(wanted, found), expected))
  }

  test('says what to do about what is impossible', () => {
    const { changes } = planTopics([topic({ partitions: 3, replicationFactor: 5 })], [topic()])
    const why = changes.map((change: Change) => (change.verdict === 'impossible' ? change.why : ''))
    assert.match(why[0]!, /next version/)
    assert.match(why[1]!, /kafka-reassign-partitions/)
  })
})
