/**
 * Reading without a group: from an offset on, or whatever comes from now on.
 *
 * kafkajs can consume only as a member of a group; a throw-away group would take a join before the first record and would
 * stay on the broker for days. A fetch of one partition needs none.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { StoredRecord } from '../../ports/broker.ts'
import { SetupError } from '../../ports/errors.ts'
import type { KafkaOptions } from './client.ts'
import { isTransient, patiently, translated, typeOf, within } from './faults.ts'
import { Nodes, unknownPartition, unknownTopic } from './nodes.ts'
import { Offsets, type TopicPartition } from './offsets.ts'
import { decodeRecordSet, type ReadSet } from './record-batch.ts'
import { errorOf, fetchRequest } from './requests.ts'

const FETCH_BYTES = 1024 * 1024
const TAIL_WAIT_MS = 500
const LOOK_WITHIN_MS = 5_000
const MOST_READ_BYTES = 16 * 1024 * 1024
/** As decodeRecordSet tells it. */
const UNREADABLE = new Set(['unknown-codec', 'unreadable-batch', 'old-message-format'])

interface Fetched extends ReadSet {
  /** What is committed ends here. */
  readonly end: number
}

async function fetch(
  nodes: Nodes,
  topic: string,
  partition: number,
  offset: number,
  maxWaitMs: number,
): Promise<Fetched> {
  const leader = await nodes.leader(topic, partition)
  const position = { topic, partition, offset, maxBytes: FETCH_BYTES }
  const [fetched] = await leader.send(fetchRequest([position], { maxWaitMs, maxBytes: FETCH_BYTES }))
  const error = errorOf(fetched!.errorCode)
  if (error !== undefined) throw error
  const set = decodeRecordSet(fetched!.records, offset, fetched!.aborted, `partition ${partition} of ${topic}`)
  return { ...set, end: fetched!.lastStableOffset }
}

/** @throws SetupError 'unknown-topic' | InvalidRecordError 'unknown-partition' */
export async function assertPartition(nodes: Nodes, at: TopicPartition, deadline: number): Promise<void> {
  const { topic, partition } = at
  if (nodes.layout(topic)?.leaders[partition] !== undefined) return
  const [layout] = await patiently(`looking up ${topic}`, { deadline }, () => nodes.layouts([topic]))
  if (layout === undefined) throw unknownTopic(topic)
  if (!(partition in layout.leaders)) throw unknownPartition(topic, partition, layout.leaders.length)
}

/** Committed records from `fromOffset` on; none past the end. */
export async function read(
  nodes: Nodes,
  at: TopicPartition,
  fromOffset: number,
  maxRecords: number,
  deadline: number,
): Promise<StoredRecord[]> {
  const { topic, partition } = at
  await assertPartition(nodes, at, deadline)
  const records: StoredRecord[] = []
  let bytes = 0
  let offset = fromOffset
  while (records.length < maxRecords && bytes < MOST_READ_BYTES) {
    const fetched = await patiently(`reading ${topic}`, { deadline }, async () => {
      try {
        return await fetch(nodes, topic, partition, offset, 0)
      } catch (error) {
        if (typeOf(error) === 'OFFSET_OUT_OF_RANGE') return undefined
        await nodes.refresh([topic]).catch(() => {})
        throw error
      }
    })
    if (fetched === undefined) {
      const [start] = await new Offsets(nodes).edge([{ topic, partition }], 'earliest', { deadline })
      if (offset >= start!) break // past the end
      offset = start!
      continue
    }
    for (const { bytes: taken, ...record } of fetched.records) {
      if (records.length === maxRecords) return records
      records.push({ topic, partition, ...record })
      bytes += taken
    }
    // Nothing but control records and holes may be left before the end. [kafka]
    if (fetched.nextOffset === offset || fetched.nextOffset >= fetched.end) break
    offset = fetched.nextOffset
  }
  return records
}

/** Follows one partition until stopped, through outages too; what was produced meanwhile comes afterwards. */
export async function tail(
  options: KafkaOptions,
  at: TopicPartition,
  onRecord: (record: StoredRecord) => void,
  onError: (error: unknown) => void,
  deadline: number,
): Promise<{ stop(): Promise<void> }> {
  const nodes = new Nodes(options) // of its own: the fetch waits at the broker
  try {
    await assertPartition(nodes, at, deadline)
    const [end] = await new Offsets(nodes).edge([at], 'latest', { deadline })
    const tail = new Tail(nodes, at, end!, onRecord, onError)
    return { stop: () => tail.stop() }
  } catch (error) {
    nodes.close()
    throw error
  }
}

class Tail {
  readonly #nodes: Nodes
  readonly #ended: Promise<void>
  #stopped = false

  constructor(
    nodes: Nodes,
    at: TopicPartition,
    start: number,
    onRecord: (record: StoredRecord) => void,
    onError: (error: unknown) => void,
  ) {
    this.#nodes = nodes
    this.#ended = this.#run(at, start, onRecord, onError)
  }

  async #run(
    { topic, partition }: TopicPartition,
    start: number,
    onRecord: (record: StoredRecord) => void,
    onError: (error: unknown) => void,
  ): Promise<void> {
    let offset = start
    for (let failures = 0; !this.#stopped; ) {
      try {
        const fetched = await fetch(this.#nodes, topic, partition, offset, TAIL_WAIT_MS)
        failures = 0
        offset = fetched.nextOffset
        // In a turn of its own: what onRecord throws is the listener's, not the tail's.
        for (const { bytes: _, ...record } of fetched.records) {
          setImmediate(() => {
            if (!this.#stopped) onRecord({ topic, partition, ...record })
          })
        }
      } catch (error) {
        if (this.#stopped) return
        const isUnreadable = error instanceof SetupError && UNREADABLE.has(error.code)
        if (isUnreadable) onError(error)
        if (isUnreadable || typeOf(error) === 'OFFSET_OUT_OF_RANGE') {
          const patience = { deadline: within(LOOK_WITHIN_MS) }
          const [end] = await new Offsets(this.#nodes).edge([{ topic, partition }], 'latest', patience).catch(() => [])
          offset = end ?? offset // replies of an hour ago are void, and what cannot be read is none
          continue
        }
        if (failures === 3 || !isTransient(error)) onError(translated(`following ${topic}`, error))
        await delay(Math.min(1_000, 20 * 2 ** Math.min(failures++, 6)))
        await this.#nodes.refresh([topic]).catch(() => {})
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#nodes.close()
    await this.#ended
  }
}
