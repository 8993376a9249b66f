import assert from 'node:assert/strict'
import { test } from 'node:test'
import { topicConfig } from '../../../adapters/kafka/topic-config.ts'
import { withDeadLetters } from '../../../topics/apply.ts'
import { topics } from '../../../topics/topics.ts'

const DAY_MS = 86_400_000

test('every topic of ours has dead letters that take its largest record', () => {
  const all = withDeadLetters(topics)
  assert.equal(all.length, 2 * topics.length)
  for (const topic of topics) {
    const letters = all.find(({ name }) => name === `${topic.name}.dlq`)!
    const bytes = (settings: typeof letters) => Number(topicConfig(settings, 3)['max.message.bytes'])
    assert.ok(bytes(letters) > bytes(topic))
  }
})

test('a reader who starts over sees the tombstones of the last day, and what was removed is gone a day later', () => {
  for (const topic of topics.filter(({ retention }) => retention === 'compacted')) {
    const config = topicConfig(topic, 3)
    assert.equal(config['cleanup.policy'], 'compact')
    assert.ok(Number(config['delete.retention.ms']) >= DAY_MS)
    assert.ok(Number(config['max.compaction.lag.ms']) <= DAY_MS)
    assert.ok(Number(config['segment.ms']) <= Number(config['max.compaction.lag.ms']))
    assert.equal(config['retention.ms'], undefined)
  }
})

test('records that are kept for an hour are not kept for the week that Kafka fills a segment', () => {
  for (const { retention, ...topic } of topics) {
    if (retention === 'compacted') continue
    const config = topicConfig({ ...topic, retention }, 3)
    assert.equal(config['retention.ms'], String(retention.ms))
    assert.ok(Number(config['segment.ms']) <= retention.ms)
  }
})

test('with three replicas two must acknowledge; with fewer, one that fails must not stop the writers', () => {
  const needed = (replicas: number | 'default') => topicConfig(topics[0]!, replicas)['min.insync.replicas']
  assert.deepEqual([1, 2, 3, 4].map(needed), ['1', '1', '2', '2'])
  assert.equal(needed('default'), undefined, 'of replicas whose number is not known none is said to acknowledge')
})
