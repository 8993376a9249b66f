import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { openRecommendationClient } from '../../../gateway/request-reply.ts'
import type { Headers } from '../../../ports/broker.ts'
import type { RecommendationRequested } from '../../../schemas/types.ts'
import { recommendationsRequested } from '../../../topics/topics.ts'
import { query } from '../../support/query.ts'
import { answerWith, NOW, openPorts, type Ports, reply } from './harness.ts'

const folk = (requestId: string) => query({ requestId, text: 'folk', requestedAt: NOW })

async function openClient(
  ports: Ports,
  options: { replyPartition?: number; maxInFlight?: number; name?: string } = {},
) {
  const registry = new Registry()
  let ids = 0
  const client = await openRecommendationClient({
    ...ports,
    registry,
    now: () => NOW,
    newId: () => `${options.name ?? 'client'}-${++ids}`,
    replyPartition: options.replyPartition ?? 0,
    maxInFlight: options.maxInFlight ?? 1000,
  })
  ports.onClose(() => client.close())
  return { client, registry }
}

async function metricValue(registry: Registry, name: string, labels: Record<string, string> = {}): Promise<number> {
  const metric = (await registry.getMetricsAsJSON()).find((candidate) => candidate.name === name)
  const values = (metric?.values ?? []) as { value: number; metricName?: string; labels: Record<string, string> }[]
  const matches = values.filter(
    (value) =>
      (value.metricName ?? name) !== `${name}_bucket` &&
      !value.metricName?.endsWith('_sum') &&
      Object.entries(labels).every(([key, label]) => value.labels[key] === label),
  )
  return matches.reduce((sum, { value }) => sum + value, 0)
}

test('300 requests in flight, answered out of order, each get their own answer', async () => {
  const ports = await openPorts()
  const { client, registry } = await openClient(ports)
  const asked: { query: RecommendationRequested; headers: Headers }[] = []
  await answerWith(ports, async (received, headers) => {
    asked.push({ query: received, headers })
    if (asked.length < 300) return undefined
    const replies = asked.map(({ query: { requestId }, headers: echoed }) =>
      reply(ports.codec, requestId, echoed, { total: Number(requestId) }),
    )
    await ports.broker.produce((await Promise.all(replies)).reverse())
    return undefined
  })
  const answers = await Promise.all(
    Array.from({ length: 300 }, (_, index) => client.request(folk(String(index)), 30_000)),
  )
  assert.deepEqual(
    answers.map(({ requestId, total }) => [requestId, total]),
    Array.from({ length: 300 }, (_, index) => [String(index), index]),
  )
  assert.equal(client.inFlight(), 0)
  assert.equal(await metricValue(registry, 'cuestream_recommendation_seconds', { outcome: 'answered' }), 300)
  assert.equal(await metricValue(registry, 'cuestream_recommendations_in_flight'), 0)
})

test('a request goes out with its correlation id, reply partition and deadline', async () => {
  const ports = await openPorts()
  const { client } = await openClient(ports, { replyPartition: 3 })
  let seen: Headers = {}
  await answerWith(ports, (_, headers) => {
    seen = headers
    return {}
  })
  await client.request(folk('r1'), 1_500)
  assert.equal(seen['reply-partition'], '3')
  assert.equal(seen.deadline, String(NOW + 1_500))
  assert.match(seen['correlation-id']!, /^client-1\/client-2$/)
})

test('a request without an answer fails with deadline-exceeded, and its late answer is counted and dropped', async () => {
  const ports = await openPorts()
  const { client, registry } = await openClient(ports)
  await answerWith(ports, ({ requestId }) => (requestId === 'late' ? undefined : {}))
  await assert.rejects(client.request(folk('late'), 20), { code: 'deadline-exceeded', status: 504 })
  assert.equal(client.inFlight(), 0)
  const headers = { 'correlation-id': 'client-1/client-2', 'reply-partition': '0' } // of the first request
  await ports.broker.produce([await reply(ports.codec, 'late', headers, {})])
  await client.request(folk('next'), 30_000) // its answer comes after the late one
  assert.equal(await metricValue(registry, 'cuestream_recommendation_late_replies_total'), 1)
})

test('over the limit a request is refused at once, with nothing produced for it', async () => {
  const ports = await openPorts()
  const { client } = await openClient(ports, { maxInFlight: 2 })
  const waiting = [client.request(folk('a'), 30_000), client.request(folk('b'), 30_000)]
  await assert.rejects(client.request(folk('c'), 30_000), { code: 'overloaded', status: 503, retryAfterSeconds: 1 })
  await answerWith(ports, () => ({}))
  await Promise.all(waiting)
  await client.request(folk('d'), 30_000)
  const produced = await ports.written(recommendationsRequested)
  assert.deepEqual(produced.map(({ key }) => key).sort(), ['a', 'b', 'd'])
})

test('two clients on one reply partition do not take each other for late', async () => {
  const ports = await openPorts()
  const first = await openClient(ports, { name: 'first' })
  const second = await openClient(ports, { name: 'second' })
  await answerWith(ports, ({ requestId }) => ({ total: requestId === 'one' ? 1 : 2 }))
  const answers = await Promise.all([
    first.client.request(folk('one'), 30_000),
    second.client.request(folk('two'), 30_000),
  ])
  assert.deepEqual(
    answers.map(({ total }) => total),
    [1, 2],
  )
  for (const { registry } of [first, second]) {
    assert.equal(await metricValue(registry, 'cuestream_recommendation_late_replies_total'), 0)
  }
})

test('an answer that cannot be read fails its own request and no other', async () => {
  const ports = await openPorts()
  const { client } = await openClient(ports)
  await answerWith(ports, async ({ requestId }, headers) => {
    if (requestId !== 'broken') return {}
    const good = await reply(ports.codec, requestId, headers, {})
    await ports.broker.produce([{ ...good, value: new Uint8Array([1, 2, 3]) }])
    return undefined
  })
  const [broken, fine] = await Promise.allSettled([
    client.request(folk('broken'), 30_000),
    client.request(folk('fine'), 30_000),
  ])
  assert.equal(broken.status === 'rejected' && broken.reason.code, 'unreadable-answer')
  assert.equal(fine.status, 'fulfilled')
})

test('closing rejects what is pending and refuses what comes after', async () => {
  const ports = await openPorts()
  const { client } = await openClient(ports)
  const pending = client.request(folk('a'), 30_000)
  const rejected = assert.rejects(pending, { code: 'stopping', status: 503 })
  await client.close()
  await rejected
  await assert.rejects(client.request(folk('b'), 30_000), { code: 'stopping' })
})

test('a broker that refuses the request fails it at once instead of waiting for the deadline', async () => {
  const ports = await openPorts()
  const { client } = await openClient(ports)
  const tooLarge = { ...folk('a'), text: 'x'.repeat(recommendationsRequested.maxRecordBytes + 1) }
  await assert.rejects(client.request(tooLarge, 30_000), (error: Error) => !('status' in error))
  assert.equal(client.inFlight(), 0)
})

test('a reply partition that the topic does not have is a setup error', async () => {
  const ports = await openPorts()
  await assert.rejects(openClient(ports, { replyPartition: 6 }), { code: 'reply-partition' })
})
