import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Assignment,
  assign,
  decodeAssignment,
  decodeMember,
  encodeAssignment,
  encodeMember,
  type Member,
} from '../../../adapters/kafka/assignment.ts'
import { seededRandom } from '../../../model/random.ts'

const NOTHING: Assignment = new Map()

function member(id: string, topics: readonly string[], owned: Assignment = NOTHING, generation = -1): Member {
  return { id, topics, owned, generation }
}

function numbersOf(assignment: Assignment | undefined, topic: string): readonly number[] {
  return assignment?.get(topic) ?? []
}

test('members share the partitions evenly, the same number of every topic at the same member', () => {
  const partitions = new Map([
    ['a', 6],
    ['b', 6],
  ])
  const assigned = assign(
    ['m1', 'm2', 'm3', 'm4'].map((id) => member(id, ['a', 'b'])),
    partitions,
  )
  const counts = [...assigned.values()].map((own) => numbersOf(own, 'a').length).sort()
  assert.deepEqual(counts, [1, 1, 2, 2])
  for (const own of assigned.values()) assert.deepEqual(numbersOf(own, 'a'), numbersOf(own, 'b'))
  assert.deepEqual([...assigned.values()].flatMap((own) => [...numbersOf(own, 'a')]).sort(), [0, 1, 2, 3, 4, 5])
})

test('a topic with fewer partitions keeps to the numbers that the larger one has', () => {
  const partitions = new Map([
    ['large', 5],
    ['small', 2],
  ])
  const assigned = assign([member('m1', ['large', 'small']), member('m2', ['large', 'small'])], partitions)
  for (const own of assigned.values()) {
    assert.deepEqual(
      numbersOf(own, 'small'),
      numbersOf(own, 'large').filter((number) => number < 2),
    )
  }
  assert.equal([...assigned.values()].flatMap((own) => [...numbersOf(own, 'small')]).length, 2)
})

test('a topic goes only to the members that read it', () => {
  const partitions = new Map([
    ['old', 4],
    ['new', 4],
  ])
  const assigned = assign([member('m1', ['old']), member('m2', ['old', 'new'])], partitions)
  assert.deepEqual(numbersOf(assigned.get('m1'), 'new'), [])
  assert.deepEqual(numbersOf(assigned.get('m2'), 'new'), [0, 1, 2, 3])
  assert.equal(numbersOf(assigned.get('m1'), 'old').length, 2)
})

test('a member that joins takes only its share, and one that leaves moves only what it had', () => {
  const topics = ['a', 'b']
  const partitions = new Map(topics.map((topic) => [topic, 12]))
  const three = assign(
    ['m1', 'm2', 'm3'].map((id) => member(id, topics)),
    partitions,
  )
  const stay = (id: string) => member(id, topics, three.get(id)!, 7)
  const four = assign([...['m1', 'm2', 'm3'].map(stay), member('m0', topics)], partitions)
  for (const id of ['m1', 'm2', 'm3']) {
    assert.equal(numbersOf(four.get(id), 'a').length, 3)
    assert.ok(numbersOf(four.get(id), 'a').every((number) => numbersOf(three.get(id), 'a').includes(number)))
  }
  const two = assign(['m1', 'm3'].map(stay), partitions)
  for (const id of ['m1', 'm3']) {
    assert.ok(numbersOf(three.get(id), 'a').every((number) => numbersOf(two.get(id), 'a').includes(number)))
    assert.equal(numbersOf(two.get(id), 'a').length, 6)
  }
})

test('of two members that claim a partition the later one keeps it', () => {
  const claim: Assignment = new Map([['a', [0, 1]]])
  const assigned = assign([member('asleep', ['a'], claim, 3), member('awake', ['a'], claim, 9)], new Map([['a', 4]]))
  assert.deepEqual(numbersOf(assigned.get('awake'), 'a'), [0, 1])
  assert.deepEqual(numbersOf(assigned.get('asleep'), 'a'), [2, 3])
})

test('whatever the history, each partition has one owner and no member two numbers more than another', () => {
  const random = seededRandom(20_240_607)
  const topics = ['a', 'b', 'c']
  let history = new Map<string, Assignment>()
  for (let round = 0; round < 300; round++) {
    const partitions = new Map(topics.map((topic) => [topic, 1 + Math.floor(random() * 9)]))
    const ids = Array.from({ length: 7 }, (_, i) => `m${i}`).filter((_, i) => i === 0 || random() < 0.5)
    const members = ids.map((id) => member(id, topics, history.get(id) ?? NOTHING, Math.floor(random() * 5)))
    const assigned = assign(members, partitions)
    for (const [topic, count] of partitions) {
      const owned = [...assigned.values()].flatMap((own) => [...numbersOf(own, topic)])
      assert.deepEqual(
        owned.sort((a, b) => a - b),
        Array.from({ length: count }, (_, i) => i),
        `round ${round}`,
      )
    }
    const numbers = [...assigned.values()].map((own) => new Set([...own.values()].flat()).size)
    assert.ok(Math.max(...numbers) - Math.min(...numbers) <= 1, `round ${round}: ${numbers}`)
    history = assigned
  }
})

test('what a member tells and is told survives the wire, and a stranger owns nothing', () => {
  const owned: Assignment = new Map([['a.topic', [0, 5]]])
  assert.deepEqual(decodeMember('m', encodeMember(['a.topic', 'b'], owned, 42)), {
    id: 'm',
    topics: ['a.topic', 'b'],
    owned,
    generation: 42,
  })
  assert.deepEqual(decodeAssignment(encodeAssignment(owned)), owned)
  assert.deepEqual(decodeAssignment(Buffer.alloc(0)), new Map())
  const stranger = encodeMember(['a'], owned, 1).subarray(0, 7) // version, topics: no data of ours
  assert.deepEqual(decodeMember('x', Buffer.concat([stranger, Buffer.from([0, 1, 97, 0, 0, 0, 0])])).owned, new Map())
})
