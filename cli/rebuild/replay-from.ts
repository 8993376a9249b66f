/** Where a replay begins: the start of every topic, a moment, or named positions. */
import type { Broker, PartitionLag } from '../../ports/broker.ts'
import { InvalidRequestError } from '../../ports/errors.ts'

export type ReplayFrom =
  | { readonly kind: 'earliest' }
  /** Unix epoch, ms: records produced since. */
  | { readonly kind: 'time'; readonly at: number }
  /** Partitions that are not named begin at their start. */
  | { readonly kind: 'positions'; readonly positions: readonly Position[] }

interface Position {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** @param words 'earliest', one time in ISO 8601, or positions 'topic/partition/offset'. @throws InvalidRequestError 'bad-position' */
export function parseReplayFrom(words: readonly string[]): ReplayFrom {
  const [first, ...others] = words
  if (first === undefined || (first === 'earliest' && others.length === 0)) return { kind: 'earliest' }
  if (words.every((word) => POSITION.test(word))) return { kind: 'positions', positions: words.map(parsePosition) }
  const at = Date.parse(first)
  if (others.length === 0 && ISO.test(first) && !Number.isNaN(at)) return { kind: 'time', at }
  throw badPosition(
    `${words.join(' ')} is neither earliest, nor a time such as 2026-11-22T14:00:00Z, nor topic/partition/offset`,
  )
}

const POSITION = /^[^/]+\/\d{1,6}\/\d{1,15}$/
const ISO = /^\d{4}-\d{2}-\d{2}/

function parsePosition(word: string): Position {
  const [topic, partition, offset] = word.split('/') as [string, string, string]
  return { topic, partition: Number(partition), offset: Number(offset) }
}

/** Sets the group, which must have no members, to where the replay begins. @throws InvalidRequestError 'bad-position' */
export async function seekTo(
  broker: Broker,
  group: string,
  topics: readonly string[],
  from: ReplayFrom,
): Promise<void> {
  if (from.kind === 'earliest') return
  const partitions = await broker.lag(group, topics)
  if (from.kind === 'time') {
    for (const { topic, partition, endOffset } of partitions) {
      await broker.seek(group, topic, partition, await offsetAt(broker, topic, partition, endOffset, from.at))
    }
    return
  }
  for (const { topic, partition, offset } of from.positions) {
    const found = partitions.find((one) => one.topic === topic && one.partition === partition)
    if (found === undefined || offset > found.endOffset) throw badPosition(saysWhere(topic, partition, offset, found))
    await broker.seek(group, topic, partition, offset)
  }
}

function saysWhere(topic: string, partition: number, offset: number, found: PartitionLag | undefined): string {
  return found === undefined
    ? `${topic}/${partition} is no partition that is replayed`
    : `${topic}/${partition} ends at ${found.endOffset}, before ${offset}`
}

/** The first offset whose record is of `at` or later: times grow along a partition, but for what is within a moment. */
async function offsetAt(broker: Broker, topic: string, partition: number, end: number, at: number): Promise<number> {
  let [low, high] = [0, end]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const [record] = await broker.read(topic, partition, middle, 1)
    if (record === undefined || record.timestamp >= at) high = middle
    else low = record.offset + 1
  }
  return low
}

function badPosition(why: string): InvalidRequestError {
  return new InvalidRequestError('bad-position', `A replay cannot begin there: ${why}`)
}
