/**
 * Fetches what the lanes of one consumer can take: one request at a time to each node that leads some of them.
 *
 *   [waiting]   a request waits at the broker until something comes. While a lane is not part of it, being busy or paused,
 *               it waits shortly, so that this lane need not wait for it
 *   [fair]      each request begins with another partition: one that is larger than the rest of the answer gets its turn
 *   [bounded]   nothing is fetched while much waits in the lanes, whichever node they are fetched from
 */
import { setTimeout as delay } from 'node:timers/promises'
import { isTransient, translated, typeOf } from './faults.ts'
import type { Lane } from './lane.ts'
import type { Nodes } from './nodes.ts'
import { errorOf, fetchRequest } from './requests.ts'

export interface FetcherOptions {
  /** Connections that nothing else fetches by. */
  readonly nodes: Nodes
  readonly lanes: () => Iterable<Lane>
  onFailure(error: unknown): void
  /** It has been failing for a while, and goes on trying. */
  onError(error: unknown): void
}

const PARTITION_BYTES = 1024 * 1024
const FETCH_BYTES = 8 * 1024 * 1024
/** Waits in all lanes together at most, but for the answers on their way. */
const WAITING_BYTES = 32 * 1024 * 1024
const IDLE_WAIT_MS = 500
const SHORTEST_WAIT_MS = 5
const LONGEST_WAIT_MS = 100
const NO_LEADER = -1
const FAILURES_TOLD = 5

export class Fetcher {
  readonly #options: FetcherOptions
  readonly #loops = new Map<number, { wake: () => void }>()
  #turn = 0
  #closed = false
  /** performance.now() when a request was sent that is not answered yet, by leader. */
  readonly #asked = new Map<number, number>()

  constructor(options: FetcherOptions) {
    this.#options = options
  }

  /** How long the oldest request has been waiting for its answer, ms. */
  get waitingMs(): number {
    return performance.now() - Math.min(performance.now(), ...this.#asked.values())
  }

  /** Some lane can take more, or moved. */
  wake(): void {
    if (this.#closed) return
    for (const lane of this.#options.lanes()) {
      if (lane.hungryAt === undefined) continue
      const leader = this.#leaderOf(lane)
      const loop = this.#loops.get(leader)
      if (loop !== undefined) loop.wake()
      else {
        this.#loops.set(leader, { wake: () => {} })
        void this.#run(leader)
      }
    }
  }

  close(): void {
    this.#closed = true
    for (const { wake } of this.#loops.values()) wake()
  }

  #leaderOf({ topic, partition }: Lane): number {
    return this.#options.nodes.layout(topic)?.leaders[partition] ?? NO_LEADER
  }

  async #run(leader: number): Promise<void> {
    try {
      let waitMs = SHORTEST_WAIT_MS
      let failures = 0
      while (!this.#closed) {
        const lanes = [...this.#options.lanes()].filter((lane) => this.#leaderOf(lane) === leader)
        const hungry = lanes.filter((lane) => lane.hungryAt !== undefined)
        let waiting = 0
        for (const { waitingBytes } of this.#options.lanes()) waiting += waitingBytes
        if (hungry.length === 0 || waiting > WAITING_BYTES) {
          await new Promise<void>((resolve) => this.#loops.set(leader, { wake: resolve }))
          this.#loops.set(leader, { wake: () => {} })
          continue
        }
        try {
          if (leader === NO_LEADER) throw new LeaderlessError('a partition has no leader now')
          const maxWaitMs = hungry.length === lanes.length ? IDLE_WAIT_MS : waitMs // [waiting]
          const gotSome = await this.#fetch(leader, hungry, maxWaitMs)
          waitMs = gotSome ? SHORTEST_WAIT_MS : Math.min(LONGEST_WAIT_MS, waitMs * 2)
          failures = 0
        } catch (error) {
          if (this.#closed) return
          if (!isTransient(error) && !(error instanceof LeaderlessError)) throw error
          if (failures === FAILURES_TOLD) this.#options.onError(translated('fetching', error))
          if (failures++ > 0) await delay(Math.min(1_000, 20 * 2 ** Math.min(failures, 6)))
          await this.#options.nodes.refresh(hungry.map(({ topic }) => topic)).catch(() => {}) // met again by the fetch
          this.wake() // those whose leader moved
        }
      }
    } catch (error) {
      if (!this.#closed) this.#options.onFailure(translated('fetching', error))
    } finally {
      this.#loops.delete(leader)
    }
  }

  /** @returns whether records came. @throws the first error of a partition that calls for another look at the cluster */
  async #fetch(leader: number, hungry: readonly Lane[], maxWaitMs: number): Promise<boolean> {
    const first = this.#turn++ % hungry.length // [fair]
    const asked = [...hungry.slice(first), ...hungry.slice(0, first)].map((lane) => ({ lane, offset: lane.hungryAt! }))
    const positions = asked.map(({ lane: { topic, partition }, offset }) => {
      return { topic, partition, offset, maxBytes: PARTITION_BYTES }
    })
    const node = await this.#options.nodes.node(leader)
    this.#asked.set(leader, performance.now())
    const fetched = await node
      .send(fetchRequest(positions, { maxWaitMs, maxBytes: FETCH_BYTES }))
      .finally(() => this.#asked.delete(leader))
    let gotSome = false
    let stale: Error | undefined
    for (const partition of fetched) {
      const question = asked.find(
        ({ lane }) => lane.partition === partition.partition && lane.topic === partition.topic,
      )
      if (question === undefined || this.#closed) continue
      const error = errorOf(partition.errorCode)
      if (error === undefined) question.lane.accept(question.offset, partition)
      else if (typeOf(error) === 'OFFSET_OUT_OF_RANGE') await this.#outOfRange(question)
      else stale ??= error
      gotSome ||= partition.records.length > 0
    }
    if (stale !== undefined) throw stale
    return gotSome
  }

  async #outOfRange({ lane, offset }: { lane: Lane; offset: number }): Promise<void> {
    const { topic, partition } = lane
    const node = await this.#options.nodes.leader(topic, partition)
    const topics = [{ topic, partitions: [{ partition, timestamp: '-2' }] }]
    const { responses } = await node.call<{ responses: { partitions: { offset: string }[] }[] }>('ListOffsets', {
      isolationLevel: 0,
      topics,
    })
    lane.outOfRange(offset, Number(responses[0]!.partitions[0]!.offset))
  }
}

class LeaderlessError extends Error {}
