/**
 * The projection of an id that was received, taken down and received again, read from its topics in many orders: each
 * topic keeps its own order, as a partition does, and nothing is known of the order between topics.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { openVectorIndex } from '../../../adapters/embedded/vector-index.ts'
import { packFloats } from '../../../model/features.ts'
import { seededRandom } from '../../../model/random.ts'
import { unit } from '../../../model/vector.ts'
import type { OutputRecord } from '../../../ports/broker.ts'
import type { Catalogue } from '../../../ports/catalogue.ts'
import type { ReleaseTowers } from '../../../ports/encoder.ts'
import { InvalidRecordError } from '../../../ports/errors.ts'
import type { VectorIndex } from '../../../ports/vector-index.ts'
import { describeMusic } from '../../../processors/describe-music/describe-music.ts'
import { createDescriber } from '../../../processors/describe-music/describer.ts'
import { embedMusic } from '../../../processors/embed-music/embed-music.ts'
import { embedVideo } from '../../../processors/embed-video/embed-video.ts'
import { indexEmbeddings } from '../../../processors/index-embeddings/index-embeddings.ts'
import { deadLetterRecord } from '../../../runtime/dead-letter.ts'
import { defineProcessor, wire } from '../../../runtime/define-processor.ts'
import { createTestDriver, type TestDriver } from '../../../runtime/test-driver.ts'
import type { Topic, TypedOutput } from '../../../topics/topic.ts'
import {
  musicDescribed,
  musicEmbedded,
  musicFeatures,
  musicTagged,
  uploadsReceived,
  uploadsRemoved,
  videoEmbedded,
  videoFeatures,
} from '../../../topics/topics.ts'
import { receiptStamp, takedownStamp } from '../../../topics/upload-stamp.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const START = 1_700_000_000_000
const RANDOM_ORDERS = 80
const encoder = { id: 'test-encoder@1', sha256: 'ab' }
const names = { music: { release: 'r1', kind: 'music' }, video: { release: 'r1', kind: 'video' } } as const

type Kind = 'track' | 'video'
/** One life of an id: when it was received, and when it was taken down, if it was. */
interface Life {
  readonly kind: Kind
  readonly receivedAt: number
  readonly removedAt?: number
}

const lives = {
  'a track that came again as a track': [
    { kind: 'track', receivedAt: START, removedAt: START + 100 },
    { kind: 'track', receivedAt: START + 102 },
  ],
  'a track that came again as a video': [
    { kind: 'track', receivedAt: START, removedAt: START + 100 },
    { kind: 'video', receivedAt: START + 102 },
  ],
  'a track that was taken down for good': [{ kind: 'track', receivedAt: START, removedAt: START + 100 }],
  'a video that came and went twice and came again': [
    { kind: 'video', receivedAt: START, removedAt: START + 100 },
    { kind: 'video', receivedAt: START + 102, removedAt: START + 200 },
    { kind: 'video', receivedAt: START + 202 },
  ],
} as const satisfies Record<string, readonly Life[]>

const towers: ReleaseTowers = {
  release: 'r1',
  dims: 2,
  encoders: { video: encoder.id, music: encoder.id, text: 'test-text@1' },
  query: async ({ video }) => unit(video!.values.slice(0, 2)),
  music: async ({ values, segments }) => ({
    whole: unit(values.slice(0, 2)),
    segments: new Float32Array(segments * 2),
  }),
}
type Logs = { readonly topics: TypedOutput[][]; readonly letters: OutputRecord[] }
const read = [
  uploadsReceived,
  uploadsRemoved,
  musicTagged,
  musicDescribed,
  videoFeatures,
  musicEmbedded,
  videoEmbedded,
] as readonly Topic[]

/** So that the driver knows what nobody else reads or writes. */
const sink = defineProcessor({
  name: 'sink',
  from: [uploadsReceived, uploadsRemoved, videoFeatures],
  to: [],
  delivery: 'at-least-once',
  handle: async () => [],
})

/** What each topic holds of an id after these lives, in its order; the latest failure of each life is in the letters. */
async function logsOf(id: string, all: readonly Life[], driver: TestDriver): Promise<Logs> {
  const letters: OutputRecord[] = []
  for (const [n, { kind, receivedAt, removedAt }] of all.entries()) {
    const headers = receiptStamp(receivedAt)
    const rights = { licence: `licence ${id} ${n}`, territories: [], explicit: false }
    const media = { uri: `media:${id}`, sha256: id, bytes: 1 }
    const upload = { uploadId: id, kind, media, title: `Life ${n}`, artist: null, owner: null, rights, receivedAt }
    await driver.pipe(uploadsReceived.record(id, upload))
    const values = Buffer.from(packFloats(Float32Array.of(1, n)))
    const at = receivedAt + 50 + (removedAt === undefined ? 0 : 100) // late: after the takedown
    const features = { values, segments: 1, dims: 2, segmentSeconds: 10, durationSeconds: 10, encoder, computedAt: at }
    const source = kind === 'track' ? 'track' : 'soundtrack'
    const heard = { tempo: { bpm: 100 + n, confidence: 1 }, key: { tonic: 'C', mode: 'major', confidence: 1 } } as const
    const tags = [{ category: 'genre', tag: `genre ${n}`, confidence: 0.9 }] as const
    const more = {
      segments: [],
      loudnessLufs: -14,
      durationSeconds: 30,
      tagger: encoder,
      taggedAt: at,
      thresholds: null,
    }
    await driver.pipe(musicTagged.record(id, { trackId: id, source, tags: [...tags], ...heard, ...more }, { headers }))
    await driver.pipe(musicFeatures.record(id, { trackId: id, source, ...features }, { headers }))
    if (kind === 'video') await driver.pipe(videoFeatures.record(id, { videoId: id, ...features }, { headers }))
    const original = { topic: musicTagged.name, key: id, value: null, partition: 0, offset: n, headers, timestamp: at }
    const error = new InvalidRecordError('broken', `Life ${n}`)
    letters.push(deadLetterRecord(original, { stage: 'materialize-triplets', error, attempts: 1, at }))
    if (removedAt === undefined) continue
    await driver.pipe(uploadsRemoved.record(id, { uploadId: id, kind, reason: null, removedAt }))
    const stamp = { headers: takedownStamp({ kind, receivedAt, removedAt }) }
    await driver.pipe(uploadsReceived.record(id, null, stamp))
    for (const topic of [musicTagged, musicFeatures, ...(kind === 'video' ? [videoFeatures] : [])] as Topic[]) {
      await driver.pipe(topic.record(id, null, stamp)) // as the analysing stages do behind the upload
    }
  }
  const topics = await Promise.all(
    read.map(async (topic) =>
      (await driver.records(topic)).map(({ key, value, headers }) => topic.record(key!, value, { headers })),
    ),
  )
  return { topics: topics.filter((log) => log.length > 0), letters }
}

/** Keeps the latest record of each key, as compaction does in its time. */
function compacted(log: readonly TypedOutput[]): TypedOutput[] {
  return log.filter(({ key }, at) => !log.slice(at + 1).some((later) => later.key === key))
}

function inRandomOrder<T>(logs: readonly T[][], random: () => number): T[] {
  const rest = logs.map((log) => [...log])
  const order: T[] = []
  for (;;) {
    const open = rest.filter((log) => log.length > 0)
    if (open.length === 0) return order
    // Long runs of one topic are as likely as a record of each in turn.
    const log = open[Math.floor(random() * open.length)]!
    order.push(...log.splice(0, random() < 0.5 ? 1 : log.length))
  }
}

type Projection = Awaited<ReturnType<typeof project>>

async function project(id: string, all: readonly Life[], index: VectorIndex, catalogue: Catalogue) {
  const row = async (name: (typeof names)[keyof typeof names]) => [...((await index.vectors(name, [id])).get(id) ?? [])]
  const withLicence = (n: number) => index.count(names.music, [{ field: 'licence', anyOf: [`licence ${id} ${n}`] }])
  const projection = {
    track: await catalogue.track(id),
    video: await catalogue.video(id),
    upload: await catalogue.upload(id),
    rows: { music: await row(names.music), video: await row(names.video) },
    licences: await Promise.all(all.map((_, n) => withLicence(n))),
  }
  const text = JSON.stringify(projection, (_, value) =>
    ArrayBuffer.isView(value) ? [...(value as Uint8Array)] : value,
  )
  return JSON.parse(text.replaceAll(id, 'ID')) as typeof projection
}

describe('the projection of uploads comes to the same in whatever order its topics are read:', () => {
  const folder = temporaryFolder()
  let [index, catalogue] = [] as unknown as [VectorIndex, Catalogue]
  before(async () => {
    index = await openVectorIndex({ folder: join(folder, 'index') })
    catalogue = openCatalogue({ folder: join(folder, 'catalogue') })
    for (const name of [names.music, names.video]) await index.create(name, 2)
  })
  after(() => Promise.all([index.close(), catalogue.close()]))

  const projectionOf = (id: string, all: readonly Life[]) => project(id, all, index, catalogue)

  for (const [what, all] of Object.entries(lives) as [string, readonly Life[]][]) {
    test(what, async () => {
      let orders = 0
      let expected: unknown
      const check = async (said: string, arrange: (logs: Logs) => (TypedOutput | OutputRecord)[]) => {
        const id = `id-${what.replaceAll(' ', '-')}-${orders++}`
        const stages = createTestDriver([
          wire(describeMusic, {
            describer: createDescriber({ method: 'tags', seed: 1 }),
            takenDownAt: (key) => catalogue.takenDownAt(key),
            taggedAt: async () => undefined,
            now: () => START + 500,
          }),
          wire(embedMusic, { towers, now: () => START + 600 }),
          wire(embedVideo, { towers, now: () => START + 600 }),
          wire(sink, {}),
        ])
        const logs = await logsOf(id, all, stages)
        const projecting = createTestDriver([wire(indexEmbeddings, { index, catalogue, now: () => START + 700 })])
        for (const record of arrange(logs)) {
          if (record.topic.endsWith('.dlq')) await projecting.pipeRaw(record as OutputRecord)
          else await projecting.pipe(record as TypedOutput)
        }
        const projection = await projectionOf(id, all)
        expected ??= projection
        assert.deepEqual(projection, expected, said)
        return projection
      }
      checkLast(await check('topic by topic', ({ topics, letters }) => [...topics.flat(), ...letters]), all)
      await Promise.all(
        Array.from({ length: RANDOM_ORDERS }, (_, i) => {
          const isCompacted = i % 2 === 1
          return check(`random order ${i}${isCompacted ? ', compacted' : ''}`, ({ topics, letters }) =>
            inRandomOrder<TypedOutput | OutputRecord>(
              [...(isCompacted ? topics.map(compacted) : topics), letters],
              seededRandom(`${what} ${i}`),
            ),
          )
        }),
      )
    })
  }
})

/** What is kept stems from the last life alone; of one that ended nothing is. */
function checkLast({ track, video, upload, rows, licences }: Projection, all: readonly Life[]): void {
  const n = all.length - 1
  const last = all[n]!
  const stands = (kind: Kind) => last.removedAt === undefined && last.kind === kind
  assert.equal(track?.upload?.title, stands('track') ? `Life ${n}` : undefined)
  assert.equal(video?.upload?.title, stands('video') ? `Life ${n}` : undefined)
  assert.equal(track?.tagged?.tags[0]?.tag, stands('track') ? `genre ${n}` : undefined)
  assert.equal(video?.features?.segments, stands('video') ? 1 : undefined)
  assert.deepEqual(
    upload?.failures.map(({ message }) => message) ?? [],
    last.removedAt === undefined ? [`Life ${n}`] : [],
  )
  const row = [...unit(Float32Array.of(1, n))]
  assert.deepEqual(rows, { music: stands('track') ? row : [], video: stands('video') ? row : [] })
  assert.deepEqual(
    licences,
    all.map((_, life) => (life === n && stands('track') ? 1 : 0)),
  )
}
