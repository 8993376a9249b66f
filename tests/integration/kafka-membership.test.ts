/** One member of a group whose leader is the test: a real broker, and generations that come as the test wants them. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { ASSIGNER, decodeMember, encodeAssignment, encodeMember } from '../../adapters/kafka/assignment.ts'
import { Membership } from '../../adapters/kafka/membership.ts'
import { Nodes } from '../../adapters/kafka/nodes.ts'
import { until } from '../conformance/deadline.ts'
import { testServices } from '../support/services.ts'
import { newTopic, testBroker } from './kafka-fixtures.ts'

test('a member that missed a generation begins its partitions anew, also those that it gets again', async (t) => {
  const options = { clientId: 'test', brokers: (await testServices()).kafkaBrokers }
  const topic = await newTopic(await testBroker(t))
  const group = randomUUID()
  const [nodes, leaveBy, leaderNodes] = [new Nodes(options), new Nodes(options), new Nodes(options)]
  const seen: string[] = []
  const member = new Membership({
    group,
    topics: [topic],
    sessionTimeoutMs: 10_000,
    heartbeatMs: 50,
    nodes,
    leaveBy,
    onAssigned: (assignment) => void seen.push(`assigned ${[...assignment.values()].flat()}`),
    onRebalance: async () => {},
    beforeJoin: async () => {},
    onLost: () => void seen.push('lost'),
    onError: (error) => void seen.push(String(error)),
  })
  t.after(async () => {
    await member.leave()
    leaderNodes.close()
    leaveBy.close()
  })

  // The leader is the first that joins, and shares everything out to the other.
  interface Joined {
    generationId: number
    memberId: string
    members: { memberId: string; memberMetadata: Buffer }[]
  }
  const ask = async <T>(api: string, request: object) =>
    (await leaderNodes.coordinator('group', group)).call<T>(api, { groupId: group, ...request })
  let told = 0 // other metadata each time: a join that brings nothing new calls no rebalance
  const join = (memberId: string) =>
    ask<Joined>('JoinGroup', {
      sessionTimeout: 30_000,
      rebalanceTimeout: 30_000,
      memberId,
      protocolType: 'consumer',
      groupProtocols: [{ name: ASSIGNER, metadata: encodeMember([topic], new Map(), told++) }],
    })
  const { memberId: leader } = await join('').catch((error: { memberId: string }) => join(error.memberId))
  const othersOf = ({ members }: Joined) => members.filter(({ memberId }) => memberId !== leader)
  const share = async (joined: Joined) => {
    const groupAssignment = othersOf(joined).map(({ memberId }) => {
      return { memberId, memberAssignment: encodeAssignment(new Map([[topic, [0]]])) }
    })
    await ask('SyncGroup', { generationId: joined.generationId, memberId: leader, groupAssignment })
  }
  const joinBoth = async () => {
    let joined = await join(leader)
    while (othersOf(joined).length === 0) joined = await join(leader)
    return joined
  }
  await ask('SyncGroup', { generationId: 1, memberId: leader, groupAssignment: [] })
  const running = member.run()
  const first = await joinBoth()
  await share(first)
  await until(() => seen.includes('assigned 0'), 'the partition')
  seen.length = 0

  await share(await joinBoth())
  await until(() => seen.includes('assigned 0'), 'the partition in the next generation')
  assert.deepEqual(seen, ['assigned 0'], 'a partition that stays is not given up')
  seen.length = 0

  const missed = await joinBoth() // and is never shared out
  const next = await joinBoth()
  assert.equal(next.generationId, missed.generationId + 1)
  const [other] = othersOf(next)
  const claimed = decodeMember(other!.memberId, other!.memberMetadata)
  assert.equal(claimed.generation, missed.generationId - 1, 'it claims by a generation in which it was told nothing')
  await share(next)
  await until(() => seen.includes('assigned 0'), 'the partition again')
  assert.deepEqual(seen, ['lost', 'assigned 0'])
  await member.leave()
  await running
})
