/** A gateway with a responder that answers as the caller says; on the embedded engines in a temporary folder by default. */
import { after } from 'node:test'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { EmbeddedSchemaRegistry } from '../../../adapters/embedded/schema-registry.ts'
import { openFileMediaStore } from '../../../adapters/media/file-media-store.ts'
import { openBackends } from '../../../cli/backends.ts'
import type { GatewayConfig, GatewayDeps } from '../../../gateway/deps.ts'
import { buildGateway } from '../../../gateway/gateway.ts'
import { createUploads } from '../../../gateway/uploads.ts'
import type { Broker, Headers } from '../../../ports/broker.ts'
import { type Codec, createCodec } from '../../../runtime/codec.ts'
import { loadConfig } from '../../../runtime/config.ts'
import type {
  MusicTagged,
  RecommendationAnswered,
  RecommendationRequested,
  UploadReceived,
} from '../../../schemas/types.ts'
import { deadLetterTopic, type Topic } from '../../../topics/topic.ts'
import { recommendationsAnswered, recommendationsRequested, topics } from '../../../topics/topics.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

export const NOW = 1_700_000_000_000
export const MAX_UPLOAD_BYTES = 64 * 1024

/**
 * Broker, codec, catalogue and media store; what is opened closes in reverse when the test ends, the folder last.
 * @param settings of other engines, as environment.
 */
export async function openPorts(maxBytes = MAX_UPLOAD_BYTES, settings?: Record<string, string>) {
  const closers: (() => Promise<unknown>)[] = []
  const onClose = (close: () => Promise<unknown>) => closers.unshift(close)
  after(async () => {
    for (const close of closers) await close()
  })
  const dataFolder = temporaryFolder()
  const engines = settings === undefined ? embedded(dataFolder) : onEngines(dataFolder, settings)
  const { broker, schemaRegistry, catalogue, close } = await engines
  onClose(close)
  await broker.ensureTopics([...topics, ...topics.map(deadLetterTopic)])
  const codec = createCodec(schemaRegistry)
  const mediaStore = await openFileMediaStore({ folder: `${dataFolder}/media`, maxBytes })
  const ports = { broker, codec, catalogue, mediaStore }
  return { ...ports, onClose, written: <T>(topic: Topic<string, T>) => written(ports, topic) }
}

async function embedded(dataFolder: string) {
  const broker: Broker = await EmbeddedBroker.open({ dataFolder, fsync: false, retentionIntervalMs: 0 })
  const schemaRegistry = new EmbeddedSchemaRegistry({ dataFolder })
  const catalogue = openCatalogue({ folder: `${dataFolder}/catalogue` })
  const close = async () => {
    for (const engine of [broker, schemaRegistry, catalogue]) await engine.close()
  }
  return { broker, schemaRegistry, catalogue, close }
}

async function onEngines(dataFolder: string, settings: Record<string, string>) {
  const closers: (() => Promise<unknown>)[] = []
  const config = loadConfig({ env: settings, flags: { dataFolder } })
  const engines = await openBackends(config, pino({ level: 'silent' }), (_, engine, close) => {
    closers.unshift(() => close(engine))
    return engine
  })
  const close = async () => {
    for (const closeOne of closers) await closeOne()
  }
  return { ...engines, close }
}

export type Ports = Awaited<ReturnType<typeof openPorts>>

/** Everything on a topic, decoded into plain objects. */
async function written<T>({ broker, codec }: { broker: Broker; codec: Codec }, topic: Topic<string, T>) {
  const partitions = Array.from({ length: topic.partitions }, (_, partition) => partition)
  const records = (await Promise.all(partitions.map((partition) => broker.read(topic.name, partition, 0, 1000)))).flat()
  return Promise.all(
    records.map(async ({ key, value }) => ({ key, value: structuredClone(await codec.decode(topic, value!)) })),
  )
}

/** @param further what only some gateways have, given the ports. */
export async function openGateway(
  config: Partial<GatewayConfig> = {},
  settings?: Record<string, string>,
  further: (ports: Ports) => Partial<GatewayDeps> = () => ({}),
) {
  const ports = await openPorts(config.maxUploadBytes, settings)
  const registry = new Registry()
  let ids = 0
  const app = await buildGateway({
    ...ports,
    uploads: createUploads({ ...ports, now: () => NOW }),
    config: {
      bindHost: '127.0.0.1',
      allowedHosts: [],
      deadlineMs: 5_000,
      maxInFlight: 100,
      maxUploadBytes: MAX_UPLOAD_BYTES,
      taxonomy: 'test-1',
      lingerMs: 20,
      drainMs: 20,
      ...config,
    },
    now: () => NOW,
    newId: () => `id-${++ids}`,
    logger: pino({ level: 'silent' }),
    registry,
    readiness: async () => ({ ready: true, checks: { broker: 'ok' } }),
    ...further(ports),
  })
  ports.onClose(() => app.close())
  return { ...ports, app, registry }
}

export type Respond = (
  query: RecommendationRequested,
  headers: Headers,
) => Partial<RecommendationAnswered> | undefined | Promise<Partial<RecommendationAnswered> | undefined>

/** Answers queries as the pipeline's last stage does; `undefined` leaves one without an answer. */
export async function answerWith(
  { broker, codec, onClose }: Pick<Ports, 'broker' | 'codec' | 'onClose'>,
  respond: Respond,
): Promise<void> {
  const consumer = await broker.consume({
    group: 'responder',
    topics: [recommendationsRequested.name],
    maxRecords: 100,
    from: 'earliest',
    async onBatch(batch) {
      for (const { value, headers, offset } of batch.records) {
        const query = await codec.decode(recommendationsRequested, value!)
        const answer = await respond(query, headers)
        const outputs = answer === undefined ? [] : [await reply(codec, query.requestId, headers, answer)]
        await batch.commit(offset + 1, outputs)
      }
      return { next: 'continue' }
    },
  })
  onClose(() => consumer.stop())
}

export async function reply(
  codec: Codec,
  requestId: string,
  headers: Headers,
  answer: Partial<RecommendationAnswered>,
) {
  const value = await codec.encode(recommendationsAnswered, {
    requestId,
    release: 'release-1',
    error: null,
    total: 0,
    results: [],
    nextCursor: null,
    answeredAt: NOW,
    ...answer,
  })
  const partition = Number(headers['reply-partition'])
  const correlation = { 'correlation-id': headers['correlation-id']! }
  return { topic: recommendationsAnswered.name, key: requestId, value, partition, headers: correlation }
}

export function uploadReceived(
  id: string,
  kind: 'track' | 'video',
  about: Partial<UploadReceived> = {},
): UploadReceived {
  return {
    uploadId: id,
    kind,
    media: { uri: `media:${'a'.repeat(64)}`, sha256: 'a'.repeat(64), bytes: 1 },
    title: null,
    artist: null,
    owner: null,
    rights: { licence: null, territories: [], explicit: false },
    receivedAt: NOW,
    ...about,
  }
}

export function tagged(trackId: string): MusicTagged {
  return {
    trackId,
    source: 'track',
    tags: [{ category: 'genre', tag: 'folk', confidence: 0.9 }],
    segments: [],
    tempo: { bpm: 92.5, confidence: 0.8 },
    key: { tonic: 'G', mode: 'major', confidence: 0.7 },
    loudnessLufs: -14,
    durationSeconds: 32,
    tagger: { id: 'tagger', sha256: 'b'.repeat(64) },
    taggedAt: NOW,
    thresholds: null,
  }
}

/** A form with these fields and then the file, as a browser sends it. */
export function form(fields: Record<string, string>, file?: { name: string; content: Uint8Array }) {
  const boundary = 'cuestream-test-boundary'
  const parts = Object.entries(fields).map(([name, value]) =>
    Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`),
  )
  if (file) {
    parts.push(
      Buffer.from(
        `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${file.name}"\r\ncontent-type: application/octet-stream\r\n\r\n`,
      ),
      Buffer.from(file.content),
      Buffer.from('\r\n'),
    )
  }
  return {
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}`, host: 'localhost' },
    payload: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]),
  }
}
