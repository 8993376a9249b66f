/**
 * Who of a group gets which partitions: decided by the group's leader, for all.
 *
 *   [co-partitioned]  the same partition number of every topic goes to the same member, so that one task may join them;
 *                     topics that are not read by the same members are shared out apart
 *   [even]            members that read the same topics differ by one partition number at most
 *   [sticky]          within that, a member keeps what it has: its running batches go on through a rebalance
 */
import { AssignerProtocol } from 'kafkajs'

/** Partition numbers by topic. */
export type Assignment = ReadonlyMap<string, readonly number[]>

export interface Member {
  readonly id: string
  readonly topics: readonly string[]
  readonly owned: Assignment
  /** Of the group, when it got what it owns: an older claim yields. */
  readonly generation: number
}

export const ASSIGNER = 'cuestream-co-partitioned'

export function assign(members: readonly Member[], partitions: ReadonlyMap<string, number>): Map<string, Assignment> {
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : 1))
  const result = new Map<string, Map<string, number[]>>(sorted.map(({ id }) => [id, new Map()]))
  const classes = new Map<string, string[]>()
  for (const topic of [...partitions.keys()].sort()) {
    const readers = sorted.filter(({ topics }) => topics.includes(topic)).map(({ id }) => id)
    if (readers.length > 0) classes.set(readers.join(), [...(classes.get(readers.join()) ?? []), topic])
  }
  for (const topics of classes.values()) {
    const readers = sorted.filter(({ topics: read }) => read.includes(topics[0]!))
    const numbers = Math.max(...topics.map((topic) => partitions.get(topic)!))
    for (const [number, id] of shareOut(readers, topics, numbers).entries()) {
      for (const topic of topics) {
        if (number >= partitions.get(topic)!) continue
        const own = result.get(id)!
        own.set(topic, [...(own.get(topic) ?? []), number])
      }
    }
  }
  return result
}

/** @returns the owner of each partition number. */
function shareOut(readers: readonly Member[], topics: readonly string[], numbers: number): string[] {
  const owners: (string | undefined)[] = new Array(numbers).fill(undefined)
  const counts = new Map(readers.map(({ id }) => [id, 0]))
  const fewest = Math.floor(numbers / readers.length)
  let larger = numbers % readers.length // so many members get one more
  const latestFirst = [...readers].sort((a, b) => b.generation - a.generation)
  for (const { id, owned } of latestFirst) {
    const claimed = new Set(topics.flatMap((topic) => owned.get(topic) ?? []))
    for (const number of [...claimed].sort((a, b) => a - b)) {
      const count = counts.get(id)!
      if (number >= numbers || owners[number] !== undefined || count > fewest) continue
      if (count === fewest && larger-- <= 0) continue
      owners[number] = id
      counts.set(id, count + 1)
    }
  }
  return owners.map((owner) => {
    if (owner !== undefined) return owner
    const [id, count] = [...counts].reduce((least, next) => (next[1] < least[1] ? next : least))
    counts.set(id, count + 1)
    return id
  })
}

interface UserData {
  readonly generation: number
  readonly owned: Record<string, readonly number[]>
}

/** What a member tells when it joins. */
export function encodeMember(topics: readonly string[], owned: Assignment, generation: number): Buffer {
  const userData: UserData = { generation, owned: Object.fromEntries(owned) }
  return AssignerProtocol.MemberMetadata.encode({
    version: 1,
    topics: [...topics],
    userData: Buffer.from(JSON.stringify(userData)),
  })
}

export function decodeMember(id: string, metadata: Buffer): Member {
  const decoded = AssignerProtocol.MemberMetadata.decode(metadata)
  const member = { id, topics: decoded?.topics ?? [] }
  try {
    const { generation, owned } = JSON.parse(decoded!.userData.toString()) as UserData
    return { ...member, generation, owned: new Map(Object.entries(owned)) }
  } catch {
    return { ...member, generation: -1, owned: new Map() } // no member of ours: it owns nothing that could be kept
  }
}

export function encodeAssignment(assignment: Assignment): Buffer {
  return AssignerProtocol.MemberAssignment.encode({
    version: 0,
    assignment: Object.fromEntries([...assignment].map(([topic, numbers]) => [topic, [...numbers]])),
    userData: Buffer.alloc(0),
  })
}

export function decodeAssignment(bytes: Buffer): Assignment {
  const decoded = AssignerProtocol.MemberAssignment.decode(bytes)
  return new Map(Object.entries(decoded?.assignment ?? {}))
}
