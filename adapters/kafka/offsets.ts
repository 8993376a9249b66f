/** Where groups stand and where logs begin and end. */
import { FencedError, InvalidRequestError } from '../../ports/errors.ts'
import { isFenced, type Patience, patiently, typeOf } from './faults.ts'
import type { Nodes } from './nodes.ts'
import { byTopic, errorOf, type GroupIdentity, offsetFetchRequest, type PartitionOffset } from './requests.ts'

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

interface ListedOffsets {
  readonly responses: readonly { topic: string; partitions: readonly { partition: number; offset: string }[] }[]
}

const TIMESTAMPS = { latest: '-1', earliest: '-2' } as const
const UNCOMMITTED_TOO = 0

export class Offsets {
  readonly #nodes: Nodes

  constructor(nodes: Nodes) {
    this.#nodes = nodes
  }

  /**
   * One a partition, in order; undefined where the group has none.
   * @param stable waits for transactions that may still move one.
   */
  async committed(
    group: string,
    partitions: readonly TopicPartition[],
    stable: boolean,
    patience: Patience,
  ): Promise<(number | undefined)[]> {
    if (partitions.length === 0) return []
    const what = `reading the offsets of ${group}`
    return this.#nodes.askCoordinator('group', group, what, { firstDelayMs: 5, ...patience }, async (coordinator) => {
      const found = await coordinator.send(offsetFetchRequest(group, partitions, stable))
      return partitions.map(({ topic, partition }) => {
        const entry = found.find((one) => one.partition === partition && one.topic === topic)
        const error = errorOf(entry?.errorCode ?? 0)
        if (error !== undefined) throw error
        return entry === undefined || entry.offset < 0 ? undefined : entry.offset
      })
    })
  }

  /** @throws FencedError when the group has gone on without this member. */
  async commit(identity: GroupIdentity, offsets: readonly PartitionOffset[], patience: Patience): Promise<void> {
    const { group, generation, memberId } = identity
    try {
      await this.#commit(group, generation, memberId, offsets, patience)
    } catch (error) {
      const cause = (error as Error).cause
      if (!isFenced(cause)) throw error
      throw new FencedError(`Group ${group} has gone on without this member: ${(cause as Error).message}`, { cause })
    }
  }

  /** As no member. @throws InvalidRequestError 'group-running' while the group has members. */
  async seek(group: string, offsets: readonly PartitionOffset[], patience: Patience): Promise<void> {
    try {
      await this.#commit(group, -1, '', offsets, patience)
    } catch (error) {
      const type = typeOf((error as Error).cause)
      if (type !== 'UNKNOWN_MEMBER_ID' && type !== 'ILLEGAL_GENERATION' && type !== 'REBALANCE_IN_PROGRESS') throw error
      const message = `Stop the members of ${group} before setting its offset`
      throw new InvalidRequestError('group-running', message, { status: 409, cause: error })
    }
  }

  async #commit(
    groupId: string,
    groupGenerationId: number,
    memberId: string,
    offsets: readonly PartitionOffset[],
    patience: Patience,
  ): Promise<void> {
    const sorted = [...offsets].sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : 0))
    const topics = byTopic(sorted).map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map(({ partition, offset }) => ({ partition, offset: String(offset) })),
    }))
    await this.#nodes.askCoordinator('group', groupId, `committing offsets of ${groupId}`, patience, (coordinator) =>
      coordinator.call('OffsetCommit', { groupId, groupGenerationId, memberId, topics }),
    )
  }

  /** One a partition, in order: the first offset that is there, or the one that the next record gets. */
  async edge(
    partitions: readonly TopicPartition[],
    edge: keyof typeof TIMESTAMPS,
    patience: Patience,
  ): Promise<number[]> {
    const timestamp = TIMESTAMPS[edge]
    return patiently('listing offsets', patience, async () => {
      try {
        const leaders = await Promise.all(
          partitions.map(({ topic, partition }) => this.#nodes.leader(topic, partition)),
        )
        const found = new Map<string, number>()
        await Promise.all(
          [...new Set(leaders)].map(async (leader) => {
            const own = partitions.filter((_, i) => leaders[i] === leader)
            const topics = own.map(({ topic, partition }) => ({ topic, partitions: [{ partition, timestamp }] }))
            const request = { isolationLevel: UNCOMMITTED_TOO, topics: merged(topics) }
            const { responses } = await leader.call<ListedOffsets>('ListOffsets', request)
            for (const { topic, partitions: listed } of responses) {
              for (const { partition, offset } of listed) found.set(`${partition} ${topic}`, Number(offset))
            }
          }),
        )
        return partitions.map(({ topic, partition }) => found.get(`${partition} ${topic}`)!)
      } catch (error) {
        await this.#nodes.refresh([...new Set(partitions.map(({ topic }) => topic))]).catch(() => {})
        throw error
      }
    })
  }
}

function merged<T>(entries: readonly { topic: string; partitions: T[] }[]): { topic: string; partitions: T[] }[] {
  const topics = new Map<string, T[]>()
  for (const { topic, partitions } of entries) topics.set(topic, [...(topics.get(topic) ?? []), ...partitions])
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
}
