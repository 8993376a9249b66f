/**
 * What became of every upload, compared by sets once all is quiet.
 *
 *   [index]     rows are exactly the uploads that were acknowledged, not taken down and no poison, each with the vector
 *               of its last embedding
 *   [catalogue] so are the documents, and those whose media are poison beside them, marked failed
 *   [triplets]  the latest of each key is exactly the videos with sound that stand
 *   [hops]      between topics: as many outputs of a key as it had inputs (a transaction for each), none more or less; of
 *               several receipts of one upload the last must be analysed, the others may be passed by. Triplets may come
 *               again with the same content, since their join's state is at least once
 *   [letters]   dead letters are exactly the poison, with its cause; a stage with transactions wrote each once
 */
import { unpackFloats } from '../../model/features.ts'
import { dot } from '../../model/vector.ts'
import type { Broker, StoredRecord } from '../../ports/broker.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import type { IndexKind, VectorIndex } from '../../ports/vector-index.ts'
import type { Codec } from '../../runtime/codec.ts'
import { deadLetterCause, deadLetterName } from '../../runtime/dead-letter.ts'
import { splitEmbeddingKey } from '../../topics/embedding-key.ts'
import type { Topic } from '../../topics/topic.ts'
import {
  musicDescribed,
  musicEmbedded,
  musicFeatures,
  musicTagged,
  topics,
  tripletsMaterialized,
  uploadsReceived,
  uploadsRemoved,
  videoEmbedded,
  videoFeatures,
} from '../../topics/topics.ts'
import { type LedgerEntry, POISON } from './upload-load.ts'

export interface Verdict {
  readonly tracks: number
  readonly videos: number
  readonly triplets: number
  readonly poison: number
  readonly undecided: number
  /** Acknowledged, and missing in the index, the catalogue or the triplets. */
  readonly lost: readonly string[]
  /** In the index or the catalogue though taken down or poison, rows too many, or a hop with more outputs than inputs. */
  readonly duplicated: readonly string[]
  /** A hop with fewer outputs than inputs, a poison record with no dead letter. */
  readonly skipped: readonly string[]
  /** Dead letters of what is no poison, or with another cause. */
  readonly wrongLetters: readonly string[]
  /** Records of a triplet beyond one, of the same content: allowed. */
  readonly tripletsAgain: number
  /** What the topics hold of the first uploads with a finding, record by record. */
  readonly timelines: readonly string[]
}

export interface MembershipDeps {
  readonly broker: Broker
  readonly codec: Codec
  readonly catalogue: Catalogue
  readonly index: VectorIndex
}

export function isClean({ lost, duplicated, skipped, wrongLetters }: Verdict): boolean {
  return [lost, duplicated, skipped, wrongLetters].every((findings) => findings.length === 0)
}

const PAGE = 1_000
const TIMELINES = 8

/** @param joinsBeganAnew whether the joins read their topics again, so that all they write comes again. */
export async function compareMembership(
  ledger: ReadonlyMap<string, LedgerEntry>,
  deps: MembershipDeps,
  { joinsBeganAnew = false }: { joinsBeganAnew?: boolean } = {},
): Promise<Verdict> {
  const findings = { lost: [] as string[], duplicated: [] as string[], skipped: [] as string[] }
  const wrongLetters: string[] = []
  const logs = await readLogs(deps)
  const entries = [...ledger.values()]
  const undecided = entries.filter(({ state }) => state === 'undecided' || state === 'asked')
  const standing = entries.filter(({ state, poison }) => state === 'live' && poison === undefined)
  const whole = entries.filter(({ state, poison }) => state === 'live' && poison !== undefined && isWhole(poison))

  for (const kind of ['music', 'video'] as const) {
    const ids = standing.filter((entry) => indexOf(entry) === kind).map(({ id }) => id)
    const open = undecided.filter((entry) => indexOf(entry) === kind).map(({ id }) => id)
    await compareIndex(kind, ids, open, logs, deps, findings)
  }
  await compareCatalogue([...standing, ...whole], undecided, deps.catalogue, findings)
  const tripletsAgain = await compareTriplets(standing, ledger, logs, deps.codec, findings)
  await compareHops(ledger, logs, deps.codec, findings, joinsBeganAnew)
  await compareLetters(ledger, logs, deps, findings, wrongLetters)

  return {
    tracks: standing.filter(({ kind }) => kind === 'track').length,
    videos: standing.filter(({ kind }) => kind === 'video').length,
    triplets: standing.filter(({ kind, silent }) => kind === 'video' && !silent).length,
    poison: entries.filter(({ poison }) => poison !== undefined).length,
    undecided: undecided.length,
    ...findings,
    wrongLetters,
    tripletsAgain,
    timelines: timelines(ledger, logs, [...Object.values(findings).flat(), ...wrongLetters]),
  }
}

function timelines(ledger: ReadonlyMap<string, LedgerEntry>, logs: Logs, findings: readonly string[]): string[] {
  const ids = [...ledger.keys()].filter((id) => findings.some((finding) => finding.split(/[ :]/).includes(id)))
  return ids.slice(0, TIMELINES).map((id) => {
    const records = [...logs.values()].flat().filter(({ key }) => key !== null && splitEmbeddingKey(key)[0] === id)
    const lines = records
      .sort((a, b) => a.timestamp - b.timestamp)
      .map(({ topic, partition, offset, timestamp, value, headers }) => {
        const what = value === null ? 'tombstone' : `${value.length} bytes`
        return `${new Date(timestamp).toISOString()} ${topic}/${partition}@${offset} ${what} ${JSON.stringify(headers)}`
      })
    return [JSON.stringify(ledger.get(id)), ...lines].join('\n  ')
  })
}

type Findings = Record<'lost' | 'duplicated' | 'skipped', string[]>
type Logs = ReadonlyMap<string, readonly StoredRecord[]>

const indexOf = ({ kind }: LedgerEntry): IndexKind => (kind === 'track' ? 'music' : 'video')
/** A record that decodes: its upload is known, though its media are poison. */
const isWhole = (poison: keyof typeof POISON) => poison.startsWith('media-')

/** Committed records of every topic, in order. */
async function readLogs({ broker }: MembershipDeps): Promise<Logs> {
  const logs = new Map<string, StoredRecord[]>()
  for (const topic of topics) {
    for (const name of [topic.name, deadLetterName(topic.name)]) {
      const records: StoredRecord[] = []
      for (let partition = 0; partition < topic.partitions; partition++) {
        for (let from = 0; ; ) {
          const page = await broker.read(name, partition, from, PAGE)
          records.push(...page)
          if (page.length === 0) break
          from = page.at(-1)!.offset + 1
        }
      }
      logs.set(name, records)
    }
  }
  return logs
}

async function compareIndex(
  kind: IndexKind,
  ids: readonly string[],
  open: readonly string[],
  logs: Logs,
  { index, codec }: MembershipDeps,
  { lost, duplicated }: Findings,
): Promise<void> {
  const all = (await index.indexes()).filter((row) => row.kind === kind)
  if (all.length > 1) duplicated.push(`${kind}: ${all.length} indexes`)
  const name = all[0]
  if (name === undefined) return void lost.push(...ids.map((id) => `${id}: there is no index of ${kind}`))
  const rows = await index.vectors(name, ids)
  lost.push(...ids.filter((id) => !rows.has(id)).map((id) => `${id} is not in the index of ${kind}`))
  const count = await index.count(name)
  const others = (await index.vectors(name, open)).size
  if (count !== rows.size + others) {
    duplicated.push(`the index of ${kind} has ${count} rows, ${rows.size + others} of them wanted`)
  }
  const topic = kind === 'music' ? musicEmbedded : videoEmbedded
  const latest = new Map<string, Uint8Array>()
  for (const { key, value } of logs.get(topic.name)!) {
    if (value !== null) latest.set(splitEmbeddingKey(key!)[0], value)
  }
  for (const [id, vector] of rows) {
    const bytes = latest.get(id)
    if (bytes === undefined) duplicated.push(`${id} is in the index of ${kind} and not on ${topic.name}`)
    else {
      const embedded = unpackFloats((await codec.decode(topic as Topic<string, { vector: Uint8Array }>, bytes)).vector)
      if (!(dot(vector, embedded) > 0.99)) lost.push(`${id} has another vector in the index than on ${topic.name}`)
    }
  }
}

async function compareCatalogue(
  wanted: readonly LedgerEntry[],
  undecided: readonly LedgerEntry[],
  catalogue: Catalogue,
  { lost, duplicated }: Findings,
): Promise<void> {
  const open = new Set(undecided.map(({ id }) => id))
  const compare = (what: string, expected: readonly string[], found: readonly string[]) => {
    const there = new Set(found)
    const known = new Set(expected)
    if (there.size !== found.length) duplicated.push(`the catalogue lists ${what} twice`)
    lost.push(...expected.filter((id) => !there.has(id)).map((id) => `${id} is not among the ${what}`))
    const surplus = found.filter((id) => !known.has(id) && !open.has(id))
    duplicated.push(...surplus.map((id) => `${id} is among the ${what}, and should not be`))
  }
  const idsOf = (kind: LedgerEntry['kind']) => wanted.filter((entry) => entry.kind === kind).map(({ id }) => id)
  const list = async <T extends { id: string }>(
    page: (options: { after?: string; limit: number }) => Promise<{ items: readonly T[]; next?: string }>,
  ) => {
    const items: T[] = []
    for (let after: string | undefined; ; ) {
      const { items: some, next } = await page({ limit: PAGE, ...(after === undefined ? {} : { after }) })
      items.push(...some)
      if (next === undefined) return items
      after = next
    }
  }
  const ids = (items: readonly { id: string }[]) => items.map(({ id }) => id)
  compare('tracks', idsOf('track'), ids(await list((options) => catalogue.listTracks(options))))
  compare('videos', idsOf('video'), ids(await list((options) => catalogue.listVideos(options))))
  const uploads = await list((options) => catalogue.listUploads(options))
  compare('uploads', ids(wanted), ids(uploads.filter(({ stages }) => Object.keys(stages).length > 0)))
  const byId = new Map(uploads.map((upload) => [upload.id, upload]))
  for (const { id, kind, silent, poison } of wanted) {
    const upload = byId.get(id)
    if (upload === undefined) continue
    if (poison !== undefined) {
      if (upload.failure === undefined) lost.push(`${id} is ${poison}, and the catalogue does not say that it failed`)
      continue
    }
    if (upload.failure !== undefined)
      duplicated.push(`${id} has failed: ${upload.failure.code} in ${upload.failure.stage}`)
    const heard = silent ? [] : ['analyse-music', 'describe-music']
    const seen = kind === 'track' ? ['embed-music'] : ['analyse-video', 'embed-video']
    const missing = ['received', ...heard, ...seen, 'index-embeddings'].filter((stage) => !(stage in upload.stages))
    if (missing.length > 0) lost.push(`${id} has no ${missing.join(', ')} in the catalogue`)
  }
}

/** @returns how many came again. */
async function compareTriplets(
  standing: readonly LedgerEntry[],
  ledger: ReadonlyMap<string, LedgerEntry>,
  logs: Logs,
  codec: Codec,
  { lost, duplicated }: Findings,
): Promise<number> {
  const latest = new Map<string, Uint8Array | null>()
  let values = 0
  for (const { key, value } of logs.get(tripletsMaterialized.name)!) {
    latest.set(key!, value)
    if (value !== null) values++
  }
  for (const { id, kind, silent } of standing) {
    const there = (latest.get(id) ?? null) !== null
    if (kind === 'video' && !silent && !there) lost.push(`${id} has no triplet`)
    if ((kind === 'track' || silent) && there) duplicated.push(`${id} has a triplet, and should not`)
  }
  const distinct = new Set<string>()
  for (const { key, value } of logs.get(tripletsMaterialized.name)!) {
    if (value === null) continue
    const { video, music, text } = await codec.decode(tripletsMaterialized, value)
    const content = [text, ...[video, music].map(({ values: bytes }) => Buffer.from(bytes).toString('base64'))]
    distinct.add(JSON.stringify([key, content]))
  }
  const keys = new Set([...distinct].map((line) => (JSON.parse(line) as [string])[0]))
  if (distinct.size !== keys.size) duplicated.push(`${distinct.size - keys.size} triplets have a second content`)
  for (const [id, value] of latest) {
    if (value !== null && ledger.get(id)?.state === 'removed') duplicated.push(`${id} was taken down and has a triplet`)
  }
  return values - keys.size
}

/** How many values and tombstones each id has on a topic. */
function countById(records: readonly StoredRecord[], wanted: (record: StoredRecord) => boolean = () => true) {
  const counts = new Map<string, { values: number; tombstones: number }>()
  for (const record of records) {
    if (!wanted(record)) continue
    const [id] = splitEmbeddingKey(record.key!)
    const count = counts.get(id) ?? { values: 0, tombstones: 0 }
    counts.set(id, count)
    if (record.value === null) count.tombstones++
    else count.values++
  }
  return counts
}

async function compareHops(
  ledger: ReadonlyMap<string, LedgerEntry>,
  logs: Logs,
  codec: Codec,
  { duplicated, skipped }: Findings,
  joinsBeganAnew: boolean,
): Promise<void> {
  const none = { values: 0, tombstones: 0 }
  const soundtracks = new Set<StoredRecord>()
  for (const record of logs.get(musicFeatures.name)!) {
    if (record.value === null) continue
    if ((await codec.decode(musicFeatures, record.value)).source === 'soundtrack') soundtracks.add(record)
  }
  const on = (topic: Topic) => countById(logs.get(topic.name)!)
  const [received, removed] = [on(uploadsReceived as Topic), on(uploadsRemoved as Topic)]
  const [tagged, heard, described, seen] = [musicTagged, musicFeatures, musicDescribed, videoFeatures].map((topic) =>
    on(topic as Topic),
  ) as [Counts, Counts, Counts, Counts]
  const tracksHeard = countById(logs.get(musicFeatures.name)!, (record) => !soundtracks.has(record))
  const [embeddedMusic, embeddedVideo] = [on(musicEmbedded as Topic), on(videoEmbedded as Topic)]
  const triplets = on(tripletsMaterialized as Topic)

  const compare = (hop: string, id: string, outputs: number, least: number, most = least) => {
    if (outputs < least) skipped.push(`${hop}: ${id} has ${outputs} outputs of ${least} inputs`)
    if (outputs > most) duplicated.push(`${hop}: ${id} has ${outputs} outputs of ${most} inputs`)
  }
  for (const { id, kind, silent, poison } of ledger.values()) {
    const of = (counts: Counts) => counts.get(id) ?? none
    const { values: inputs, tombstones: takedowns } = of(received)
    compare('takedown', id, of(removed).values, takedowns)
    // What is taken down while it waits, or received again, need not be analysed.
    const least = takedowns > 0 ? 0 : Math.min(inputs, 1)
    const sounds = !silent && poison === undefined
    compare('analyse-music', id, of(tagged).values, sounds ? least : 0, sounds ? inputs : 0)
    compare('analyse-music', id, of(heard).values, of(tagged).values)
    const pictures = kind === 'video' && poison === undefined
    compare('analyse-video', id, of(seen).values, pictures ? least : 0, pictures ? inputs : 0)
    compare('analyse-music (takedown)', id, of(tagged).tombstones, takedowns)
    compare('analyse-music (takedown)', id, of(heard).tombstones, takedowns)
    compare('analyse-video (takedown)', id, of(seen).tombstones, kind === 'video' ? takedowns : 0)
    compare('describe-music', id, of(described).values, of(tagged).values)
    compare('describe-music (takedown)', id, of(described).tombstones, of(tagged).tombstones)
    compare('embed-music', id, of(embeddedMusic).values, of(tracksHeard).values)
    compare('embed-music (takedown)', id, of(embeddedMusic).tombstones, of(heard).tombstones)
    compare('embed-video', id, of(embeddedVideo).values, of(seen).values)
    compare('embed-video (takedown)', id, of(embeddedVideo).tombstones, of(seen).tombstones)
    const sides = [seen, heard, described].map((counts) => of(counts).tombstones)
    const ended = sides[0]! + sides[1]! + sides[2]!
    const again = joinsBeganAnew ? Number.POSITIVE_INFINITY : ended
    compare('materialize-triplets (takedown)', id, of(triplets).tombstones, ended, again)
  }
}

type Counts = ReturnType<typeof countById>

async function compareLetters(
  ledger: ReadonlyMap<string, LedgerEntry>,
  logs: Logs,
  { codec }: MembershipDeps,
  { duplicated, skipped }: Findings,
  wrongLetters: string[],
): Promise<void> {
  const found = new Map<string, number>()
  for (const topic of topics) {
    for (const { key, headers, value } of logs.get(deadLetterName(topic.name))!) {
      const cause = deadLetterCause(headers)
      const poison = ledger.get(key ?? '')?.poison
      const expected: Readonly<Record<string, string>> = poison === undefined ? {} : POISON[poison]
      if (cause === undefined || expected[cause.stage] !== cause.code) {
        const about = value === null ? 'a tombstone' : await codec.decode(topic, value).then(() => 'whole', String)
        wrongLetters.push(`${key} on ${topic.name} in ${cause?.stage}: ${cause?.code} (${cause?.message}); ${about}`)
        continue
      }
      const place = `${key} in ${cause.stage}`
      found.set(place, (found.get(place) ?? 0) + 1)
    }
  }
  const received = countById(logs.get(uploadsReceived.name)!)
  for (const { id, poison, state } of ledger.values()) {
    if (poison === undefined || state !== 'live') continue
    const inputs = received.get(id)?.values ?? 0
    for (const stage of Object.keys(POISON[poison])) {
      const letters = found.get(`${id} in ${stage}`) ?? 0
      const least = isWhole(poison) ? Math.min(inputs, 1) : inputs
      if (letters < least) skipped.push(`${id}: ${letters} dead letters of ${stage} for ${inputs} records`)
      // index-embeddings commits without a transaction: its letter may come again.
      if (letters > inputs && stage !== 'index-embeddings') {
        duplicated.push(`${id}: ${letters} dead letters of ${stage} for ${inputs} records`)
      }
    }
  }
}
