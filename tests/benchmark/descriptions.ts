/**
 * Descriptions a second: data2text on one core, and prompt2text against an endpoint that takes 200 ms.
 *
 *     npm run benchmark:descriptions -- [--tracks 10000] [--asked 2000] [--concurrency 32] [--latency 200]
 *
 * The reference of data2text is the method `tags`, which does no more than pick and join them. That of prompt2text is what
 * no client can pass: concurrency ÷ latency, the latency being the one that a single request shows in this very run. It is
 * measured twice: the describer alone, and the stage as it runs, with its broker, codec and commits.
 */
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { openGenerationStore } from '../../adapters/embedded/generation-store.ts'
import { EmbeddedSchemaRegistry } from '../../adapters/embedded/schema-registry.ts'
import { openBudget } from '../../adapters/llm/budget.ts'
import { cachedGenerator } from '../../adapters/llm/cached.ts'
import { openEndpoint } from '../../adapters/llm/endpoint.ts'
import { pick, seededRandom, shuffled } from '../../model/random.ts'
import type { TextGenerator } from '../../ports/text-generator.ts'
import { type DescribeMusicDeps, describeMusic } from '../../processors/describe-music/describe-music.ts'
import { createDescriber, type Describer, type Method } from '../../processors/describe-music/describer.ts'
import { defaultPool } from '../../processors/describe-music/few-shot.ts'
import { createCodec } from '../../runtime/codec.ts'
import type { Processor } from '../../runtime/define-processor.ts'
import { createStageMetrics } from '../../runtime/metrics.ts'
import { runProcessor } from '../../runtime/run-processor.ts'
import type { Tag } from '../../schemas/types.ts'
import { deadLetterTopic } from '../../topics/topic.ts'
import { descriptionsDeferred, musicDescribed, musicTagged } from '../../topics/topics.ts'
import { until } from '../support/until.ts'
import { readOptions, report } from './measure.ts'
import { tagsOfThreeMinutes, trackId } from './sample-records.ts'

const options = readOptions({ tracks: 10_000, asked: 2_000, concurrency: 32, latency: 200 })
const CATEGORIES = {
  genre: ['rock', 'jazz', 'electronic', 'folk', 'classical', 'pop', 'ambient'],
  mood: ['happy', 'sad', 'calm', 'dramatic', 'dreamy', 'dark', 'playful', 'epic'],
  instrument: ['piano', 'violin', 'acoustic guitar', 'drumset', 'flute', 'synth pad', 'cello', 'harp', 'strings'],
  vocals: ['female vocals', 'male vocals', 'choir', 'instrumental'],
} as const
const signal = new AbortController().signal

const folder = await mkdtemp(join(tmpdir(), 'cuestream-benchmark-'))
const llm = await startEndpoint()
const store = openGenerationStore(join(folder, 'generations'))
try {
  const rulesSeconds = await byRules('data2text')
  const tagsSeconds = await byRules('tags')
  const latencySeconds = await latency()
  const most = options.concurrency / latencySeconds
  const alone = await describerAlone()
  const staged = await stage()
  report(
    `${options.tracks} tracks by rules; ${options.asked} by a model, ${options.concurrency} requests at a time`,
    [
      ['what', 'tracks/s', 'is'],
      ['data2text', (options.tracks / rulesSeconds).toFixed(0), `${rulesSeconds.toFixed(2)} s for ${options.tracks}`],
      ['tags', (options.tracks / tagsSeconds).toFixed(0), `${(rulesSeconds / tagsSeconds).toFixed(1)} times as fast`],
      ['concurrency ÷ latency', most.toFixed(1), `latency ${(latencySeconds * 1_000).toFixed(1)} ms`],
      ['prompt2text, describer', alone.toFixed(1), `${((100 * alone) / most).toFixed(1)} % of it`],
      ['prompt2text, stage', staged.toFixed(1), `${((100 * staged) / most).toFixed(1)} % of it`],
    ],
    { data2text_s: rulesSeconds, describer_share: alone / most, stage_share: staged / most },
  )
} finally {
  await store.close()
  llm.kill()
  await rm(folder, { recursive: true, force: true })
}

/** In a process of its own, as an endpoint is. */
async function startEndpoint(): Promise<{ url: string; kill(): void }> {
  const child = fork(fileURLToPath(new URL('./llm-process.ts', import.meta.url)), [String(options.latency)], {
    execArgv: ['--import', import.meta.resolve('tsx')],
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('message', (message) => resolve(String(message)))
    child.once('exit', () => reject(new Error('The endpoint did not start')))
  })
  return { url, kill: () => child.kill() }
}

function tagsOf(i: number): Tag[] {
  const random = seededRandom(`track ${i}`)
  return Object.entries(CATEGORIES).flatMap(([category, names]) => {
    const chosen = category === 'vocals' ? [pick(names, random)] : shuffled<string>(names, random).slice(0, 3)
    return chosen.map((tag) => ({ category, tag, confidence: 0.4 + random() * 0.6 }))
  })
}

async function byRules(method: Method): Promise<number> {
  const describer = createDescriber({ method, seed: 1 })
  const tracks = Array.from({ length: options.tracks }, (_, i) => tagsOf(i))
  const startedAt = performance.now()
  for (const [i, tags] of tracks.entries()) await describer.describe(trackId(i), tags, signal)
  return (performance.now() - startedAt) / 1_000
}

/** A generator that has kept nothing yet. */
function generator(): TextGenerator {
  const budget = openBudget({
    store,
    capUsd: 1_000,
    period: 'ever',
    usdPerMillionInput: 1,
    usdPerMillionOutput: 4,
    now: Date.now,
  })
  const endpoint = openEndpoint({
    url: llm.url,
    model: `benchmark-${randomBytes(4).toString('hex')}`,
    kind: 'instruct',
    temperature: 0.7,
    maxTokens: 60,
    concurrency: options.concurrency,
    timeoutMs: 30_000,
    retries: 0,
    promptsPerRequest: 1,
    budget,
  })
  return cachedGenerator({ generator: endpoint, store, maxTokens: 60, now: Date.now })
}

function modelDescriber(): Describer {
  return createDescriber({ method: 'prompt2text', seed: 1, generator: generator(), pool: defaultPool() })
}

/** Seconds of one request, alone. */
async function latency(): Promise<number> {
  const describer = modelDescriber()
  const seconds: number[] = []
  for (let i = 0; i < 6; i++) {
    const startedAt = performance.now()
    await describer.describe(`alone-${i}`, tagsOf(i), signal)
    seconds.push((performance.now() - startedAt) / 1_000)
  }
  return Math.min(...seconds.slice(1)) // the first opens the connection
}

/** @returns tracks a second. */
async function describerAlone(): Promise<number> {
  const describer = modelDescriber()
  const startedAt = performance.now()
  let next = 0
  const worker = async () => {
    for (let i = next++; i < options.asked; i = next++) await describer.describe(trackId(i), tagsOf(i), signal)
  }
  await Promise.all(Array.from({ length: 2 * options.concurrency }, worker))
  return (options.asked / (performance.now() - startedAt)) * 1_000
}

/** @returns tracks a second, from the first record to the last commit. */
async function stage(): Promise<number> {
  const broker = await EmbeddedBroker.open({ dataFolder: folder })
  const registry = new EmbeddedSchemaRegistry({ dataFolder: folder })
  const codec = createCodec(registry)
  const inAndOut = [musicTagged, musicDescribed, descriptionsDeferred]
  await broker.ensureTopics(inAndOut.flatMap((topic) => [topic, deadLetterTopic(topic)]))
  const records = Array.from({ length: options.asked }, async (_, i) => ({
    topic: musicTagged.name,
    key: trackId(i),
    partition: i % musicTagged.partitions,
    value: await codec.encode(musicTagged, { ...tagsOfThreeMinutes(), trackId: trackId(i), tags: tagsOf(i) }),
  }))
  await broker.produce(await Promise.all(records))
  const startedAt = performance.now()
  const running = runProcessor({
    processor: describeMusic as unknown as Processor<DescribeMusicDeps>,
    deps: {
      describer: modelDescriber(),
      takenDownAt: async () => undefined,
      taggedAt: async () => undefined,
      now: Date.now,
    },
    broker,
    codec,
    metrics: createStageMetrics(new Registry()),
    logger: pino({ level: 'warn' }, pino.destination(2)),
    now: Date.now,
    random: Math.random,
  })
  await until(
    'every track to be described',
    async () => (await broker.lag(running.group(), [musicTagged.name])).every(({ lagRecords }) => lagRecords === 0),
    600_000,
  )
  const perSecond = (options.asked / (performance.now() - startedAt)) * 1_000
  await running.stop()
  await broker.close()
  await registry.close()
  return perSecond
}
