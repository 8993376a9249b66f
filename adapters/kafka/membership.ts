/**
 * One member of a consumer group: joins, keeps its place by heartbeats, gives up what it must and joins again, for ever.
 *
 *     join ─▶ onAssigned ─▶ heartbeats ─▶ rebalance called: onRebalance, heartbeats go on ─▶ join …
 *                               │
 *                               └─▶ the group forgot this member, or could not be reached for a session: onLost ─▶ join …
 *
 *   [alive]     heartbeats depend on no handler: one may run for minutes
 *   [sole]      a member that was not heard of for a session gives up its partitions by itself, as the group then does
 *   [grace]     the group waits while running batches of a rebalancing member end, but no longer than `graceMs`
 *   [unbroken]  partitions are kept only from one generation to the next: in one that was missed they may have been
 *               another's, who did more than is known here
 *   [returns]   an outage ends no member: it comes back when Kafka does (kafkajs#558, #659, #1441)
 */
import { OutageError } from '../../ports/errors.ts'
import {
  ASSIGNER,
  type Assignment,
  assign,
  decodeAssignment,
  decodeMember,
  encodeAssignment,
  encodeMember,
} from './assignment.ts'
import { isAway, isCoordinatorLost, isFenced, isTransient, settledBy, translated, typeOf, within } from './faults.ts'
import type { KafkaNode, Nodes } from './nodes.ts'
import type { GroupIdentity } from './requests.ts'

export interface MembershipOptions {
  readonly group: string
  readonly topics: readonly string[]
  readonly sessionTimeoutMs: number
  readonly heartbeatMs: number
  /** Connections of this member alone: a JoinGroup holds up what comes after it. */
  readonly nodes: Nodes
  /** For leaving, which must not wait behind a JoinGroup. */
  readonly leaveBy: Nodes
  /** Called in place of the assignment before, in full. */
  onAssigned(assignment: Assignment): void
  /** Begin nothing new. Resolves when what runs has ended; it is not waited for longer than the grace. */
  onRebalance(): Promise<void>
  /** From now on no commit begins; resolves when none is on its way, or late enough. */
  beforeJoin(): Promise<void>
  /** The partitions may be another's already. */
  onLost(): void
  onError(error: unknown): void
}

interface Joined {
  readonly generationId: number
  readonly memberId: string
  readonly leaderId: string
  readonly members: readonly { memberId: string; memberMetadata: Buffer }[]
}

const GRACE_MS = 3_000
/** A member that takes longer to come back to a rebalancing group is put out of it. */
const REBALANCE_TIMEOUT_MS = 10_000
const LEAVE_WITHIN_MS = 2_000
/** How often the leader looks whether topics have grown. */
const LOOK_MS = 10_000
const FIRST_DELAY_MS = 50
const LONGEST_DELAY_MS = 1_000

export class Membership {
  readonly #options: MembershipOptions
  readonly #stopping = new AbortController()
  /** Ends a wait for the next heartbeat. */
  #hurry: (() => void) | undefined
  #memberId = ''
  /** The last one whose share this member was told: what it owns is of this generation. */
  #generation = -1
  #leads = false
  #owned: Assignment = new Map()
  /** What the leader shared out. */
  #shared: ReadonlyMap<string, number> = new Map()
  #heardAt = 0
  #confirming: Promise<boolean> | undefined
  /** Settled while the group knows this member by `identity`; pending while it joins. */
  #joined = gate()

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  get identity(): GroupIdentity {
    return { group: this.#options.group, memberId: this.#memberId, generation: this.#generation }
  }

  /** Until `leave`. @throws SetupError for what no retry mends: rights, a group of another kind. */
  async run(): Promise<void> {
    for (let failures = 0; !this.#stopping.signal.aborted; ) {
      try {
        await this.#join()
        failures = 0
        await this.#stay()
      } catch (error) {
        if (this.#stopping.signal.aborted) return
        if (!isTransient(error) && !isFenced(error)) throw translated(`group ${this.#options.group}`, error)
        this.#leaveBehind(error)
        if (isTransient(error) && failures === 3)
          this.#options.onError(translated(`group ${this.#options.group}`, error))
        const delayMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures++, 10))
        await this.#sleep(delayMs)
      }
    }
  }

  /** Settles once the member stands in the group: what it commits before would be refused. */
  ready(): Promise<void> {
    return this.#joined.promise
  }

  /** Whether this member still stands in the group, asked of the group now. */
  confirm(): Promise<boolean> {
    this.#confirming ??= this.#heartbeat()
      .then(
        () => true,
        (error) => {
          this.#hurry?.() // what is wrong is dealt with where heartbeats are
          return typeOf(error) === 'REBALANCE_IN_PROGRESS'
        },
      )
      .finally(() => {
        this.#confirming = undefined
      })
    return this.#confirming
  }

  /** Lets the group share out the partitions at once, if Kafka can be reached. */
  async leave(): Promise<void> {
    this.#stopping.abort()
    const { group, leaveBy, nodes } = this.#options
    const memberId = this.#memberId
    if (memberId !== '') {
      this.#memberId = ''
      const request = { groupId: group, memberId }
      await leaveBy
        .askCoordinator('group', group, `leaving ${group}`, { deadline: within(LEAVE_WITHIN_MS) }, (node) =>
          node.call('LeaveGroup', request),
        )
        .catch((error: unknown) => {
          if (error instanceof OutageError) this.#options.onError(error) // the session ends it then
        })
    }
    nodes.close()
  }

  async #join(): Promise<void> {
    const { group, topics, nodes, sessionTimeoutMs } = this.#options
    if (this.#joined.isOpen) {
      this.#joined = gate()
      await this.#options.beforeJoin()
    }
    const coordinator = await nodes.coordinator('group', group)
    const metadata = encodeMember(topics, this.#owned, this.#generation)
    const joined = await this.#joinGroup(coordinator, {
      groupId: group,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      memberId: this.#memberId,
      protocolType: 'consumer',
      groupProtocols: [{ name: ASSIGNER, metadata }],
    })
    this.#memberId = joined.memberId
    this.#leads = joined.leaderId === joined.memberId
    const { memberAssignment } = await coordinator.call<{ memberAssignment: Buffer }>('SyncGroup', {
      groupId: group,
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupAssignment: this.#leads ? await this.#shareOut(joined) : [],
    })
    this.#heardAt = performance.now()
    if (this.#stopping.signal.aborted) return
    if (joined.generationId !== this.#generation + 1) this.#options.onLost() // [unbroken]
    this.#generation = joined.generationId
    this.#owned = decodeAssignment(memberAssignment)
    this.#options.onAssigned(this.#owned)
    this.#joined.open()
  }

  /** The first request of a new member only tells its id, so that one that gives up can be removed. */
  async #joinGroup(coordinator: KafkaNode, request: object): Promise<Joined> {
    try {
      return await coordinator.call<Joined>('JoinGroup', request)
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'KafkaJSMemberIdRequired') throw error
      this.#memberId = (error as Error & { memberId: string }).memberId
      return coordinator.call<Joined>('JoinGroup', { ...request, memberId: this.#memberId })
    }
  }

  async #shareOut({ members }: Joined): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
    const decoded = members.map(({ memberId, memberMetadata }) => decodeMember(memberId, memberMetadata))
    const topics = [...new Set(decoded.flatMap((member) => member.topics))]
    const layouts = await this.#options.nodes.layouts(topics)
    this.#shared = new Map(layouts.map(({ name, leaders }) => [name, leaders.length]))
    return [...assign(decoded, this.#shared)].map(([memberId, assignment]) => ({
      memberId,
      memberAssignment: encodeAssignment(assignment),
    }))
  }

  /** Returns when it is time to join again. [alive] */
  async #stay(): Promise<void> {
    const { heartbeatMs, sessionTimeoutMs } = this.#options
    let graceEnds = Number.POSITIVE_INFINITY
    let isDone = false
    let lookAt = performance.now() + LOOK_MS
    let retryMs = 0
    const rebalance = () => {
      if (graceEnds !== Number.POSITIVE_INFINITY) return
      graceEnds = performance.now() + GRACE_MS // [grace]
      void this.#options.onRebalance().then(() => {
        isDone = true
        this.#hurry?.()
      })
    }
    while (!this.#stopping.signal.aborted) {
      await this.#sleep(Math.min(retryMs || heartbeatMs, Math.max(0, graceEnds - performance.now())))
      if (isDone || performance.now() >= graceEnds) return
      try {
        await this.#heartbeat()
        retryMs = 0
        if (this.#leads && performance.now() > lookAt) {
          lookAt = performance.now() + LOOK_MS
          if (await this.#hasGrown()) rebalance()
        }
      } catch (error) {
        if (typeOf(error) === 'REBALANCE_IN_PROGRESS') rebalance()
        else if (!isTransient(error)) throw error
        else if (performance.now() - this.#heardAt > sessionTimeoutMs) throw error
        else retryMs = Math.min(heartbeatMs, 250)
      }
    }
  }

  async #heartbeat(): Promise<void> {
    const { group, nodes, sessionTimeoutMs } = this.#options
    const request = { groupId: group, groupGenerationId: this.#generation, memberId: this.#memberId }
    const beat = async () => {
      const coordinator = await nodes.coordinator('group', group)
      await coordinator.call('Heartbeat', request)
    }
    try {
      await settledBy(beat(), { deadline: within(sessionTimeoutMs / 3) })
      this.#heardAt = performance.now()
    } catch (error) {
      if (typeOf(error) === 'REBALANCE_IN_PROGRESS') this.#heardAt = performance.now()
      if (isCoordinatorLost(error)) nodes.forgetCoordinator('group', group)
      // Connections that fell silent must not cost the session: they are replaced while there is time.
      if (isAway(error)) nodes.drop()
      throw error
    }
  }

  async #hasGrown(): Promise<boolean> {
    const layouts = await this.#options.nodes.layouts([...this.#shared.keys()])
    return layouts.some(({ name, leaders }) => leaders.length > this.#shared.get(name)!)
  }

  /** What must be given up before joining again. */
  #leaveBehind(error: unknown): void {
    if (isCoordinatorLost(error)) this.#options.nodes.forgetCoordinator('group', this.#options.group)
    const forgotten = typeOf(error) === 'UNKNOWN_MEMBER_ID' || typeOf(error) === 'FENCED_INSTANCE_ID'
    const lapsed = performance.now() - this.#heardAt > this.#options.sessionTimeoutMs // [sole]
    if (forgotten) this.#memberId = ''
    if (!forgotten && !lapsed && typeOf(error) !== 'ILLEGAL_GENERATION') return
    this.#owned = new Map()
    this.#options.onLost()
  }

  /** Until `#hurry` or `leave`, but no longer. */
  #sleep(ms: number): Promise<void> {
    const { signal } = this.#stopping
    if (signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', wake)
        this.#hurry = undefined
        resolve()
      }
      const timer = setTimeout(wake, ms)
      signal.addEventListener('abort', wake)
      this.#hurry = wake
    })
  }
}

interface Gate {
  readonly promise: Promise<void>
  readonly isOpen: boolean
  open(): void
}

function gate(): Gate {
  let resolve!: () => void
  let isOpen = false
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return {
    promise,
    get isOpen() {
      return isOpen
    },
    open() {
      isOpen = true
      resolve()
    },
  }
}
