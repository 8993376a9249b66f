/**
 * The nodes of a cluster as seen over one set of connections: who is there, who leads a partition, who coordinates a group.
 *
 * Kafka answers the requests of one connection in order, so what may wait there (a fetch, a JoinGroup) must not share it
 * with what may not. Each of these sets has two connections a node: one for fetches, one for the rest.
 *
 *   [lenient]  one topic or partition in trouble hides no other
 *   [dropped]  a connection that failed or fell silent is closed at once, with all that waits on it
 *   [fresh]    the next one shares nothing with it: kafkajs keeps half an answer, and how long it was asked to wait, across
 *              reconnects, and events of the old socket would reach the new one
 */
import { logLevel } from 'kafkajs'
import { InvalidRecordError, SetupError } from '../../ports/errors.ts'
import { clientConfig, type KafkaOptions } from './client.ts'
import { coalesced } from './coalesced.ts'
import { isAway, isCoordinatorLost, NoNodeError, type Patience, patiently, settledBy, within } from './faults.ts'
import { type ApiVersions, type KafkaJsBroker, kafkajsInternals, type ProtocolRequest } from './kafkajs-internals.ts'
import { patchKafkajs } from './kafkajs-patches.ts'

export interface TopicLayout {
  readonly name: string
  /** Leader of each partition by its number; -1 where there is none now. */
  readonly leaders: readonly number[]
}

interface Address {
  readonly host: string
  readonly port: number
}

interface MetadataResponse {
  readonly brokers: readonly (Address & { nodeId: number })[]
  readonly controllerId: number
  readonly topicMetadata: readonly {
    topicErrorCode: number
    topic: string
    partitionMetadata: readonly { partitionId: number; leader: number }[]
  }[]
}

const COORDINATOR_TYPES = { group: 0, transaction: 1 } as const
/** A node that takes longer to connect, or to say what any node can say, is passed over. */
const ANSWERS_WITHIN_MS = 4_000
const UNKNOWN_TOPIC = 3
const INVALID_TOPIC = 17

export class Nodes {
  readonly #options: KafkaOptions
  readonly #seeds: readonly Address[]
  readonly #nodes = new Map<number, KafkaNode>()
  readonly #layouts = new Map<string, TopicLayout>()
  readonly #coordinators = new Map<string, number>()
  #seed: KafkaNode | undefined
  #controller: number | undefined
  #closed = false

  constructor(options: KafkaOptions) {
    patchKafkajs()
    this.#options = options
    this.#seeds = options.brokers.map(addressOf)
    if (this.#seeds.length === 0) throw new SetupError('bad-config', 'Name at least one Kafka broker as host:port')
  }

  /** A node that answers, whichever. @throws NoNodeError; SetupError 'broker-closed' after close() */
  async any(): Promise<KafkaNode> {
    this.#assertOpen()
    const nodes = shuffled([...this.#nodes.values()])
    const connected = nodes.find((node) => node.connected)
    if (connected !== undefined) return connected
    let last: unknown
    for (const node of nodes) {
      try {
        await node.connect()
        return node
      } catch (error) {
        if (!isAway(error)) throw error
        last = error
      }
    }
    return this.#connectSeed(last)
  }

  async #connectSeed(last: unknown): Promise<KafkaNode> {
    const turn = turnOf(this.#options)
    for (let tries = 0; tries < this.#seeds.length; tries++) {
      const address = this.#seeds[turn.next % this.#seeds.length]!
      try {
        if (this.#seed?.isAt(address) !== true) {
          this.#seed?.close()
          this.#seed = this.#open(address)
        }
        const seed = this.#seed // while it connects it may become one of the nodes
        await seed.connect()
        return seed
      } catch (error) {
        if (!isAway(error)) throw error
        last = error
        turn.next++
      }
    }
    const where = this.#options.brokers.join(', ')
    throw new NoNodeError(`no broker answers at ${where}: ${last instanceof Error ? last.message : 'unknown'}`, {
      cause: last,
    })
  }

  async node(id: number): Promise<KafkaNode> {
    this.#assertOpen()
    let node = this.#nodes.get(id)
    if (node === undefined) {
      await this.refresh([])
      node = this.#nodes.get(id)
    }
    if (node === undefined) throw new NoNodeError(`broker ${id} is not there now`)
    await node.connect()
    return node
  }

  async controller(): Promise<KafkaNode> {
    if (this.#controller === undefined) await this.refresh([])
    return this.node(this.#controller ?? -1)
  }

  async coordinator(kind: keyof typeof COORDINATOR_TYPES, id: string): Promise<KafkaNode> {
    const known = this.#coordinators.get(`${kind} ${id}`)
    if (known !== undefined) return this.node(known)
    const request = { groupId: id, coordinatorType: COORDINATOR_TYPES[kind] }
    const { coordinator } = await this.#askAny((any) =>
      any.call<{ coordinator: Address & { nodeId: number } }>('GroupCoordinator', request),
    )
    if (!this.#nodes.has(coordinator.nodeId)) await this.refresh([])
    this.#coordinators.set(`${kind} ${id}`, coordinator.nodeId)
    return this.node(coordinator.nodeId)
  }

  forgetCoordinator(kind: keyof typeof COORDINATOR_TYPES, id: string): void {
    this.#coordinators.delete(`${kind} ${id}`)
  }

  /** Tries again, and looks for the coordinator anew where it moved, as `patience` allows. */
  askCoordinator<T>(
    kind: keyof typeof COORDINATOR_TYPES,
    id: string,
    what: string,
    patience: Patience,
    ask: (coordinator: KafkaNode) => Promise<T>,
  ): Promise<T> {
    return patiently(what, patience, async () => {
      try {
        return await ask(await this.coordinator(kind, id))
      } catch (error) {
        if (isCoordinatorLost(error)) this.forgetCoordinator(kind, id)
        throw error
      }
    })
  }

  /** As last heard; undefined when it was never asked for, or does not exist. */
  layout(topic: string): TopicLayout | undefined {
    return this.#layouts.get(topic)
  }

  async leader(topic: string, partition: number): Promise<KafkaNode> {
    const known = this.#layouts.get(topic)?.leaders[partition] ?? -1
    if (known !== -1) return this.node(known)
    await this.refresh([topic])
    const leader = this.#layouts.get(topic)?.leaders[partition] ?? -1
    if (leader === -1) throw new NoNodeError(`partition ${partition} of ${topic} has no leader now`)
    return this.node(leader)
  }

  /** @returns those that exist. */
  async layouts(topics: readonly string[]): Promise<TopicLayout[]> {
    await this.refresh(topics)
    return topics.flatMap((topic) => this.#layouts.get(topic) ?? [])
  }

  async allLayouts(): Promise<TopicLayout[]> {
    const { topicMetadata } = await this.#metadata([])
    return topicMetadata.filter(({ topicErrorCode }) => topicErrorCode === 0).map(layoutOf)
  }

  /** Asks anew where the topics named, and those asked for before, lie. */
  async refresh(topics: readonly string[]): Promise<void> {
    const wanted = new Set([...this.#layouts.keys(), ...topics])
    const { topicMetadata } = await this.#metadata([...wanted])
    for (const topic of topicMetadata) {
      if (topic.topicErrorCode === UNKNOWN_TOPIC || topic.topicErrorCode === INVALID_TOPIC) {
        this.#layouts.delete(topic.topic)
      } else if (wanted.has(topic.topic)) this.#layouts.set(topic.topic, layoutOf(topic))
    }
  }

  /** Asks anew where all topics lie that were asked for before. Who comes meanwhile shares the next answer; never rejects. */
  readonly lookAgain = coalesced(() => this.refresh([]).catch(() => {})) // what fails is met again by whoever tries

  async #askAny<T>(ask: (any: KafkaNode) => Promise<T>): Promise<T> {
    for (let others = this.#nodes.size; ; others--) {
      const any = await this.any()
      try {
        return await settledBy(ask(any), { deadline: within(ANSWERS_WITHIN_MS) })
      } catch (error) {
        if (!isAway(error)) throw error
        any.drop() // the next is another one
        if (others <= 0) throw error
      }
    }
  }

  async #metadata(topics: readonly string[]): Promise<MetadataResponse> {
    const { any, metadata } = await this.#askAny(async (any) => {
      const { request, response } = any.request('Metadata', { topics, allowAutoTopicCreation: false })
      const lenient = { decode: response.decode, parse: async (decoded: MetadataResponse) => decoded } // [lenient]
      return { any, metadata: await any.send({ request, response: lenient }) }
    })
    this.#controller = metadata.controllerId
    const seen = new Set(metadata.brokers.map(({ nodeId }) => nodeId))
    for (const [id, node] of this.#nodes) if (!seen.has(id)) this.#forget(id, node)
    for (const { nodeId, ...address } of metadata.brokers) {
      const known = this.#nodes.get(nodeId)
      if (known?.isAt(address)) continue
      if (known !== undefined) this.#forget(nodeId, known)
      const seed = this.#seed
      if (seed?.isAt(address)) {
        this.#nodes.set(nodeId, seed)
        this.#seed = undefined
      } else this.#nodes.set(nodeId, this.#open(address))
    }
    if (this.#seed !== undefined && this.#seed !== any) {
      this.#seed.close()
      this.#seed = undefined
    }
    return metadata
  }

  #forget(id: number, node: KafkaNode): void {
    this.#nodes.delete(id)
    node.close()
  }

  #open(address: Address): KafkaNode {
    this.#assertOpen()
    return new KafkaNode(this.#options, address)
  }

  /** Who goes on trying learns that there is no point. */
  #assertOpen(): void {
    if (this.#closed) throw new SetupError('broker-closed', 'the broker was closed')
  }

  /** Ends every connection; what waits on one fails, and what comes connects anew. */
  drop(): void {
    for (const node of this.#nodes.values()) node.drop()
    this.#seed?.drop()
  }

  close(): void {
    this.#closed = true
    for (const node of this.#nodes.values()) node.close()
    this.#seed?.close()
    this.#nodes.clear()
    this.#seed = undefined
  }
}

export class KafkaNode {
  readonly #address: Address
  readonly #options: KafkaOptions
  #broker: KafkaJsBroker
  #connecting: Promise<void> | undefined
  #closed = false

  constructor(options: KafkaOptions, address: Address) {
    this.#options = options
    this.#address = { host: address.host, port: address.port }
    this.#broker = this.#newBroker(null)
  }

  #newBroker(versions: ApiVersions | null): KafkaJsBroker {
    const { Broker, ConnectionPool, createLogger } = kafkajsInternals()
    const { logCreator, authenticationTimeout, ...config } = clientConfig(this.#options)
    const logger = createLogger({ level: logLevel.WARN, logCreator })
    const connectionPool = new ConnectionPool({ ...config, ...this.#address, logger })
    return new Broker({ connectionPool, logger, authenticationTimeout, versions })
  }

  isAt({ host, port }: Address): boolean {
    return this.#address.host === host && this.#address.port === port
  }

  /** kafkajs counts as connected before it has asked which versions the broker speaks. */
  get connected(): boolean {
    return this.#broker.isConnected() && Boolean(this.#broker.versions)
  }

  /**
   * One attempt at a time serves all who ask: kafkajs lets each wait for the one before, also for those who gave up.
   * It limits the TCP connection, and lets what is asked on it first wait for as long as any request.
   */
  connect(): Promise<void> {
    if (this.connected) return Promise.resolve()
    if (this.#closed) return Promise.reject(new NoNodeError(`the connection to ${this.#address.host} was closed`))
    this.#connecting ??= settledBy(this.#broker.connect(), { deadline: within(ANSWERS_WITHIN_MS) })
      .then(() => {
        if (!this.connected) throw new NoNodeError(`the connection to ${this.#address.host} ended as it was made`)
      })
      .catch((error) => {
        if (isAway(error)) this.drop()
        throw error
      })
      .finally(() => {
        this.#connecting = undefined
      })
    return this.#connecting
  }

  /** A request in kafkajs's own encoding, in the latest version that both sides know. */
  request<Response>(api: string, options: object): ProtocolRequest<Response> {
    const { lookup, apiKeys, requests } = kafkajsInternals()
    return lookup(this.#broker.versions!)(apiKeys[api]!, requests[api]!)(options) as ProtocolRequest<Response>
  }

  async call<Response>(api: string, options: object): Promise<Response> {
    await this.connect()
    return this.send(this.request<Response>(api, options))
  }

  supports(apiKey: number, version: number): boolean {
    const range = this.#broker.versions?.[apiKey]
    return range !== undefined && range.minVersion <= version && version <= range.maxVersion
  }

  async send<Response>(request: ProtocolRequest<Response>): Promise<Response> {
    await this.connect()
    const broker = this.#broker
    try {
      return await broker.connectionPool.send(request)
    } catch (error) {
      if (isAway(error) && broker === this.#broker) this.drop() // [dropped]
      throw error
    }
  }

  /** Whoever still holds it gets no connection any more. */
  close(): void {
    this.#closed = true
    this.drop()
  }

  /** kafkajs's own disconnect waits for what is on its way, and counts as connected until then. */
  drop(): void {
    const error = new NoNodeError(`the connection to ${this.#address.host}:${this.#address.port} was closed`)
    const { connectionPool, versions } = this.#broker
    this.#broker = this.#newBroker(versions) // [fresh]
    for (const connection of connectionPool.pool) {
      const { socket } = connection
      connection.connectionStatus = 'disconnected'
      connection.authenticatedAt = null
      connection.rejectRequests(error)
      connection.requestQueue.destroy()
      socket?.destroy(socket.connecting ? error : undefined) // who connects hears of it
    }
  }
}

/** Which of the brokers named is tried next: what one set of connections learned saves the others of the process waiting. */
function turnOf(options: KafkaOptions): { next: number } {
  const turn = turns.get(options) ?? { next: 0 }
  turns.set(options, turn)
  return turn
}

const turns = new WeakMap<KafkaOptions, { next: number }>()

function layoutOf(topic: MetadataResponse['topicMetadata'][number]): TopicLayout {
  const leaders: number[] = new Array(topic.partitionMetadata.length).fill(-1)
  for (const { partitionId, leader } of topic.partitionMetadata) leaders[partitionId] = leader
  return { name: topic.topic, leaders }
}

function addressOf(broker: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(broker)
  if (match === null) throw new SetupError('bad-config', `${broker} is no address of a Kafka broker: write host:port`)
  return { host: match[1] ?? match[2]!, port: Number(match[3]) }
}

function shuffled<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    ;[items[i], items[j]] = [items[j]!, items[i]!]
  }
  return items
}

/** What a request about a partition that is not there means to who made it. */
export function unknownTopic(topic: string): SetupError {
  return new SetupError('unknown-topic', `There is no topic ${topic}; create it with: cuestream topics apply`)
}

export function unknownPartition(topic: string, partition: number, partitions: number): InvalidRecordError {
  return new InvalidRecordError('unknown-partition', `${topic} has ${partitions} partitions and no number ${partition}`)
}
