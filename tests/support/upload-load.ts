/**
 * Uploads, takedowns, second uploads and poison at a steady rate, with a ledger of what was acknowledged.
 *
 *   [client]  whoever is not acknowledged asks again, as a client would, until it is; what is done with one upload is
 *             done in order
 *   [seeded]  the same seed asks for the same things in the same order; the faults decide when they are acknowledged
 *   [ledger]  only what was acknowledged counts; an upload whose last request was refused in a way that may or may not
 *             have happened is 'undecided' and compared with nothing
 */
import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Uploads } from '../../gateway/uploads.ts'
import { pick, seededRandom } from '../../model/random.ts'
import type { Broker } from '../../ports/broker.ts'
import { InvalidRequestError } from '../../ports/errors.ts'
import type { Codec } from '../../runtime/codec.ts'
import { uploadsReceived } from '../../topics/topics.ts'
import { standInMedia } from './stand-in-media.ts'

/** What each stage that meets it says of it in the dead letters. */
export const POISON = {
  undecodable: {
    'analyse-video': 'undecodable',
    'analyse-music': 'undecodable',
    'index-embeddings': 'undecodable',
  },
  truncated: {
    'analyse-video': 'undecodable',
    'analyse-music': 'undecodable',
    'index-embeddings': 'undecodable',
  },
  'unknown-schema': {
    'analyse-video': 'unknown-schema',
    'analyse-music': 'unknown-schema',
    'index-embeddings': 'unknown-schema',
  },
  'media-missing': { 'analyse-music': 'media-missing' },
  'media-silent': { 'analyse-music': 'media-silent' },
  'media-crash': { 'analyse-music': 'crashed' },
  'media-format': { 'analyse-video': 'media-format', 'analyse-music': 'media-format' },
} as const satisfies Record<string, Readonly<Record<string, string>>>
export type Poison = keyof typeof POISON
const POISONS = Object.keys(POISON) as Poison[]

export interface LedgerEntry {
  readonly id: string
  readonly kind: 'track' | 'video'
  /** Of a video: it yields no triplet. */
  readonly silent: boolean
  readonly poison?: Poison
  state: 'asked' | 'live' | 'removed' | 'undecided'
  /** Takedowns that were acknowledged. */
  takedowns: number
}

export interface Load {
  readonly ledger: ReadonlyMap<string, LedgerEntry>
  /** Refusals that were followed by another try, by code. */
  readonly refusals: ReadonlyMap<string, number>
  /** Longest that a single request took, ms. */
  readonly slowestMs: number
  acknowledged(): number
  waiting(): number
  /** Asks for nothing new and waits until all that was asked for is acknowledged. */
  finish(): Promise<void>
  /** Asks for nothing again: the run has failed. */
  abandon(): Promise<void>
}

export interface LoadOptions {
  readonly uploads: Uploads
  readonly broker: Broker
  readonly codec: Codec
  readonly seed: string
  /** Requests a second. */
  readonly rate: number
  /** One request in so many is poison. */
  readonly poisonEvery: number
}

const VIDEO_SHARE = 0.3
const SILENT_SHARE = 0.15
const TAKEDOWN_SHARE = 0.08
const SECOND_UPLOAD_SHARE = 0.04
/** Requests that wait for their acknowledgement at most: an outage does not pile them up. */
const MAX_WAITING = 48
/** Between two tries. */
const TRY_AGAIN_MS = 150
const UNKNOWN_SCHEMA_ID = 1_987_654_321

export function startLoad({ uploads, broker, codec, seed, rate, poisonEvery }: LoadOptions): Load {
  const random = seededRandom(`load/${seed}`)
  const run = createHash('sha256').update(seed).digest('hex').slice(0, 6)
  const ledger = new Map<string, LedgerEntry>()
  const refusals = new Map<string, number>()
  const busy = new Map<string, Promise<void>>()
  let acknowledged = 0
  let slowestMs = 0
  let asked = 0
  let stopped = false
  let abandoned = false

  /** [client] @returns false when it was refused for what it asks, after `tries` that may have done it. */
  async function untilAcknowledged(request: () => Promise<unknown>): Promise<{ refused?: string; tries: number }> {
    for (let tries = 1; ; tries++) {
      const startedAt = performance.now()
      try {
        await request()
        acknowledged++
        return { tries }
      } catch (error) {
        const code = (error as { code?: string }).code ?? (error as Error).name
        refusals.set(code, (refusals.get(code) ?? 0) + 1)
        if (abandoned || error instanceof InvalidRequestError) return { refused: code, tries }
        await delay(TRY_AGAIN_MS * (1 + (tries % 4)))
      } finally {
        slowestMs = Math.max(slowestMs, performance.now() - startedAt)
      }
    }
  }

  async function submit(entry: LedgerEntry): Promise<void> {
    const { id, kind, silent, poison } = entry
    const content =
      poison === 'media-format'
        ? Buffer.from(`No medium at all: ${id}`)
        : standInMedia({
            kind,
            seconds: 1.5,
            silent: silent || poison === 'media-silent',
            crashes: poison === 'media-crash',
            seed: id,
          })
    const source = async function* () {
      yield content
    }
    const { refused } = await untilAcknowledged(() =>
      uploads.submit({ id, kind, source: { content: source() }, title: `Title of ${id}` }),
    )
    entry.state = refused === undefined ? 'live' : 'undecided'
  }

  async function remove(entry: LedgerEntry): Promise<void> {
    const { refused, tries } = await untilAcknowledged(() => uploads.remove(entry.id, 'chaos'))
    if (refused === undefined) entry.takedowns++
    // An earlier try may have been carried out by now; of a first one nothing has happened.
    if (refused === undefined || (refused === 'unknown-upload' && tries > 1)) entry.state = 'removed'
    else entry.state = 'undecided'
  }

  async function poisonBytes(entry: LedgerEntry): Promise<void> {
    const { refused } = await untilAcknowledged(async () => {
      const value = await bytesOf(entry)
      await broker.produce([{ topic: uploadsReceived.name, key: entry.id, value }])
    })
    entry.state = refused === undefined ? 'live' : 'undecided'
  }

  async function bytesOf({ id, poison }: LedgerEntry): Promise<Uint8Array> {
    if (poison === 'undecodable') return Buffer.from(`{"uploadId":"${id}"}`)
    const sha256 = createHash('sha256').update(`missing ${id}`).digest('hex')
    const record = Buffer.from(
      await codec.encode(uploadsReceived, {
        uploadId: id,
        kind: 'track',
        media: { uri: `media:${sha256}`, sha256, bytes: 1 },
        title: null,
        artist: null,
        owner: null,
        rights: { licence: null, territories: [], explicit: false },
        receivedAt: Date.now(),
      }),
    )
    if (poison === 'truncated') return record.subarray(0, 9)
    if (poison === 'unknown-schema') record.writeInt32BE(UNKNOWN_SCHEMA_ID, 1)
    return record
  }

  function next(): { entry: LedgerEntry; work: (entry: LedgerEntry) => Promise<void> } {
    const n = asked++
    const dice = random()
    if (n % poisonEvery === poisonEvery - 1) {
      const poison = POISONS[Math.floor(n / poisonEvery) % POISONS.length]!
      const kind = poison === 'media-format' ? 'video' : 'track'
      const whole = poison.startsWith('media-') && poison !== 'media-missing'
      return {
        entry: enter({ id: `${run}-poison-${n}`, kind, silent: false, poison }),
        work: whole ? submit : poisonBytes,
      }
    }
    const at = (state: LedgerEntry['state']) =>
      [...ledger.values()].filter((entry) => entry.state === state && !entry.poison && !busy.has(entry.id))
    if (dice < TAKEDOWN_SHARE) {
      const live = at('live')
      if (live.length > 0) return { entry: pick(live, random), work: remove }
    } else if (dice < TAKEDOWN_SHARE + SECOND_UPLOAD_SHARE) {
      const removed = at('removed')
      if (removed.length > 0) return { entry: pick(removed, random), work: submit }
    }
    const kind = random() < VIDEO_SHARE ? 'video' : 'track'
    const silent = kind === 'video' && random() < SILENT_SHARE
    return { entry: enter({ id: `${run}-${n}`, kind, silent }), work: submit }
  }

  function enter(about: Pick<LedgerEntry, 'id' | 'kind' | 'silent' | 'poison'>): LedgerEntry {
    const entry: LedgerEntry = { ...about, state: 'asked', takedowns: 0 }
    ledger.set(entry.id, entry)
    return entry
  }

  async function pace(): Promise<void> {
    for (let dueMs = performance.now(); !stopped; dueMs += 1_000 / rate) {
      await delay(Math.max(0, dueMs - performance.now()))
      if (busy.size >= MAX_WAITING) await Promise.race(busy.values())
      if (performance.now() - dueMs > 1_000) dueMs = performance.now() // after an outage the rate is the same, not higher
      if (stopped) return
      const { entry, work } = next()
      const running = work(entry).finally(() => busy.delete(entry.id))
      busy.set(entry.id, running)
    }
  }
  const pacing = pace()

  return {
    ledger,
    refusals,
    get slowestMs() {
      return slowestMs
    },
    acknowledged: () => acknowledged,
    waiting: () => busy.size,
    async finish() {
      stopped = true
      await pacing
      await Promise.all(busy.values())
    },
    async abandon() {
      stopped = true
      abandoned = true
      await pacing
      await Promise.all(busy.values())
    },
  }
}

export interface Request {
  readonly atMs: number
  readonly ms: number
  /** HTTP status; 0 when the gateway could not be reached. */
  readonly status: number
  /** Of the problem document; '' for an answer. */
  readonly code: string
}

export interface RequestLoad {
  readonly requests: readonly Request[]
  finish(): Promise<void>
}

const WORDS = ['calm piano for a beach at dawn', 'fast drums', 'sad strings', 'a city at night', 'happy folk']

/** Recommendations asked for at a steady rate, whatever became of those before (an open loop). */
export function startRequests(options: {
  url: () => string
  rate: number
  deadlineMs: number
  seed: string
}): RequestLoad {
  const { url, rate, deadlineMs, seed } = options
  const random = seededRandom(`requests/${seed}`)
  const requests: Request[] = []
  const open = new Set<Promise<void>>()
  let stopped = false

  async function ask(): Promise<void> {
    const atMs = performance.now()
    const done = (status: number, code: string) => {
      requests.push({ atMs, ms: performance.now() - atMs, status, code })
    }
    try {
      const response = await fetch(new URL('/v1/recommendations', url()), {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-request-id': randomUUID() },
        body: JSON.stringify({ text: pick(WORDS, random), limit: 5, deadlineMs }),
      })
      const body = (await response.json()) as { code?: string }
      done(response.status, response.ok ? '' : (body.code ?? 'no-code'))
    } catch (error) {
      done(0, (error as Error).name)
    }
  }

  async function pace(): Promise<void> {
    for (let dueMs = performance.now(); !stopped; dueMs += 1_000 / rate) {
      await delay(Math.max(0, dueMs - performance.now()))
      const asking = ask().finally(() => open.delete(asking))
      open.add(asking)
    }
  }
  const pacing = pace()
  return {
    requests,
    async finish() {
      stopped = true
      await pacing
      await Promise.all(open)
    },
  }
}
