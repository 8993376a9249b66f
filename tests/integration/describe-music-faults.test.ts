/**
 * Tracks through describe-music on the embedded broker, against an endpoint that fails in every way: each track ends
 * with one description, none is lost or described twice, fallbacks are marked and redone, and spend stays below the cap.
 */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { EmbeddedBroker } from '../../adapters/embedded/broker.ts'
import { openGenerationStore } from '../../adapters/embedded/generation-store.ts'
import { EmbeddedSchemaRegistry } from '../../adapters/embedded/schema-registry.ts'
import { openBudget } from '../../adapters/llm/budget.ts'
import { cachedGenerator } from '../../adapters/llm/cached.ts'
import { openEndpoint } from '../../adapters/llm/endpoint.ts'
import { pick, seededRandom, shuffled } from '../../model/random.ts'
import type { OutputRecord } from '../../ports/broker.ts'
import type { GenerationStore, TextGenerator } from '../../ports/text-generator.ts'
import { checkText } from '../../processors/describe-music/check-text.ts'
import { type DescribeMusicDeps, describeMusic } from '../../processors/describe-music/describe-music.ts'
import { createDescriber } from '../../processors/describe-music/describer.ts'
import { defaultPool } from '../../processors/describe-music/few-shot.ts'
import { type Codec, createCodec } from '../../runtime/codec.ts'
import type { Processor } from '../../runtime/define-processor.ts'
import { createStageMetrics } from '../../runtime/metrics.ts'
import { readPartition } from '../../runtime/read-partition.ts'
import { runProcessor, type Stage } from '../../runtime/run-processor.ts'
import type { MusicDescribed, Tag } from '../../schemas/types.ts'
import { deadLetterTopic } from '../../topics/topic.ts'
import { descriptionsDeferred, musicDescribed, musicTagged } from '../../topics/topics.ts'
import { type Behaviour, faithful, type LlmEndpoint, startLlmEndpoint } from '../support/llm-endpoint.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

const MOST_TRACKS = 1_000
const WAIT_MS = 300_000
const GENRES = ['rock', 'jazz', 'electronic', 'folk', 'classical']
const MOODS = ['happy', 'sad', 'calm', 'dramatic', 'dreamy']
const INSTRUMENTS = ['piano', 'violin', 'acoustic guitar', 'drumset', 'flute', 'synth pad']
const VOCALS = ['female vocals', 'male vocals', 'choir', 'instrumental']

const random = seededRandom('tracks')
const allTracks = Array.from({ length: MOST_TRACKS }, (_, i) => ({
  id: `track-${i}`,
  tags: [
    ...shuffled(GENRES, random).slice(0, 1).map(tag('genre')),
    ...shuffled(MOODS, random).slice(0, 2).map(tag('mood')),
    ...shuffled(INSTRUMENTS, random).slice(0, 3).map(tag('instrument')),
    ...[pick(VOCALS, random)].map(tag('vocals')),
  ],
}))

function tag(category: string): (name: string) => Tag {
  return (name) => ({ category, tag: name, confidence: 0.5 + Math.floor(random() * 32) / 64 })
}

describe('describe-music with an endpoint that fails', () => {
  let broker: EmbeddedBroker
  let registry: EmbeddedSchemaRegistry
  let store: GenerationStore
  let codec: Codec
  let llm: LlmEndpoint
  let runs = 0
  let stage: Stage | undefined
  let generator: TextGenerator | undefined
  let tracks = allTracks
  const open = async (count: number) => {
    tracks = allTracks.slice(0, count)
    const folder = temporaryFolder()
    broker = await EmbeddedBroker.open({ dataFolder: folder })
    registry = new EmbeddedSchemaRegistry({ dataFolder: folder })
    store = openGenerationStore(`${folder}/generations`)
    codec = createCodec(registry)
    await broker.ensureTopics(
      [musicTagged, musicDescribed, descriptionsDeferred].flatMap((topic) => [topic, deadLetterTopic(topic)]),
    )
    const records = tracks.map(async ({ id, tags }, i): Promise<OutputRecord> => {
      const value = await codec.encode(musicTagged, {
        trackId: id,
        source: 'track',
        tags,
        segments: [],
        tempo: { bpm: 100, confidence: 1 },
        key: { tonic: 'C', mode: 'major', confidence: 1 },
        loudnessLufs: -14,
        durationSeconds: 30,
        tagger: { id: 't', sha256: 't' },
        taggedAt: 1,
        thresholds: null,
      })
      return { topic: musicTagged.name, key: id, value, partition: i % musicTagged.partitions }
    })
    await broker.produce(await Promise.all(records))
  }
  const close = async () => {
    await stop()
    await broker.close()
    await registry.close()
    await store.close()
  }
  before(async () => {
    llm = await startLlmEndpoint()
  })
  after(() => llm.kill())
  afterEach(close)

  function start(options: { capUsd?: number; timeoutMs?: number; deps?: Partial<DescribeMusicDeps> } = {}): void {
    const { capUsd, timeoutMs = 30_000, deps } = options
    const budget = openBudget({
      store,
      capUsd,
      period: 'ever',
      usdPerMillionInput: 1,
      usdPerMillionOutput: 4,
      lookAgainMs: 50,
      now: Date.now,
    })
    const endpoint = openEndpoint({
      url: llm.url,
      model: 'test-model',
      kind: 'instruct',
      temperature: 0.7,
      maxTokens: 60,
      concurrency: 32,
      timeoutMs,
      retries: 1,
      retryDelayMs: 1,
      lookAgainMs: 20,
      promptsPerRequest: 1,
      budget,
    })
    generator = cachedGenerator({ generator: endpoint, store, maxTokens: 60, now: Date.now })
    const describer = createDescriber({ method: 'prompt2text', seed: 1, generator, pool: defaultPool(), pairs: 3 })
    stage = runProcessor({
      processor: describeMusic as unknown as Processor<DescribeMusicDeps>,
      deps: {
        describer,
        takenDownAt: async () => undefined,
        taggedAt: async () => 1,
        now: () => ++runs,
        lookAgainMs: 50,
        ...deps,
      },
      broker,
      codec,
      metrics: createStageMetrics(new Registry()),
      logger: pino({ level: 'silent' }),
      now: Date.now,
      random: () => 0.5,
      retry: { maxAttempts: 3, baseMs: 5, maxMs: 50 },
    })
  }

  async function stop(): Promise<void> {
    await stage?.stop(0)
    await generator?.close()
    stage = undefined
  }

  async function all<T>(
    topic: typeof musicDescribed | typeof descriptionsDeferred,
  ): Promise<Map<string, (T | null)[]>> {
    const found = new Map<string, (T | null)[]>()
    for (let partition = 0; partition < topic.partitions; partition++) {
      for await (const { key, value } of readPartition(broker, topic.name, partition, 500)) {
        const values = found.get(key!) ?? []
        found.set(key!, values)
        values.push(value === null ? null : ((await codec.decode(topic as typeof musicDescribed, value)) as T))
      }
    }
    return found
  }
  const descriptions = () => all<MusicDescribed>(musicDescribed)
  const lag = async () => {
    const lags = await broker.lag(describeMusic.name, [musicTagged.name, descriptionsDeferred.name])
    return lags.reduce((sum, { lagRecords }) => sum + lagRecords, 0)
  }
  const tagsLeft = async () => {
    const lags = await broker.lag(describeMusic.name, [musicTagged.name])
    return lags.reduce((sum, { lagRecords }) => sum + lagRecords, 0)
  }
  const allDescribed = () => until('every track to be described', async () => (await tagsLeft()) === 0, WAIT_MS)
  const allRedone = () => until('what was put off to be redone', async () => (await lag()) === 0, WAIT_MS)

  /** Records that were ever written, whether or not compaction has left them. */
  async function written(topic: typeof musicDescribed | typeof descriptionsDeferred): Promise<number> {
    let count = 0
    for (let partition = 0; partition < topic.partitions; partition++) {
      let last: number | undefined
      for await (const { offset } of readPartition(broker, topic.name, partition, 500)) last = offset
      count += (last ?? -1) + 1
    }
    return count
  }

  /** Each track has one description, and had one more for each time that it was put off. @returns how many were. */
  async function assertWhole(): Promise<number> {
    const found = await descriptions()
    assert.equal(found.size, tracks.length)
    for (const { id, tags } of tracks) {
      const last = found.get(id)!.at(-1)!
      assert.equal(last.fallback?.deferred ?? false, false, `${id} is still marked as put off`)
      const isByModel = last.method === 'prompt2text'
      assert.ok(isByModel || last.fallback?.code === 'checks-failed', `${id} ended as ${JSON.stringify(last)}`)
      assert.deepEqual(checkText(last.text, tags, {}).faults, [], `${id}: ${last.text}`)
    }
    for (const [id, records] of await all(descriptionsDeferred)) {
      assert.equal(records.at(-1), null, `${id} is still put off`)
    }
    const putOff = (await written(descriptionsDeferred)) / 2
    assert.equal(await written(musicDescribed), tracks.length + putOff)
    return putOff
  }

  /** Of all that are described now: those that are put off are by data2text and say why. */
  async function assertMarked(): Promise<number> {
    let putOff = 0
    for (const [id, records] of await descriptions()) {
      const { fallback, method, promptVersion } = records.at(-1)!
      if (fallback === null || !fallback.deferred) continue
      putOff++
      assert.deepEqual([method, promptVersion, fallback.from], ['data2text', null, 'prompt2text'], id)
      assert.match(fallback.code, /^llm-/)
    }
    return putOff
  }

  const failing: Record<string, Behaviour> = {
    'answers slowly': { afterMs: 60 },
    'does not answer in time': 'silent',
    'says 429': { status: 429, headers: { 'retry-after': '0.02' } },
    'says 429 for an hour': { status: 429, headers: { 'retry-after': '3600' } },
    'says 500': { status: 500 },
    'answers with garbage': { raw: '\u0000\u0001 oops', type: 'text/html' },
    'answers with half its JSON': { raw: '{"choices":[{"message":{"content":"A ca' },
    'answers with nothing': { raw: '' },
    'hangs up': 'cut',
  }
  for (const [what, behaviour] of Object.entries(failing)) {
    test(`it ${what} for a third of the requests, then recovers`, async () => {
      await open(300)
      llm.asked.length = 0
      llm.write = faithful
      llm.behave = (number) => (number % 3 === 0 ? behaviour : 'right')
      start({ timeoutMs: behaviour === 'silent' ? 400 : 30_000 })
      await allDescribed()
      assert.equal((await descriptions()).size, tracks.length)
      await assertMarked()
      llm.behave = () => 'right'
      // An endpoint that asked for an hour is left alone for an hour: a new process looks at once.
      if (what.endsWith('hour')) {
        await stop()
        start()
      }
      await allRedone()
      await assertWhole()
    })
  }

  test('it writes in another language, or what is not in the tags: data2text stands in, and nothing is put off', async () => {
    await open(300)
    llm.behave = () => 'right'
    const wrong = [
      'Das ist ein ruhiges Stück mit Klavier und einer sanften Stimme im Hintergrund.',
      'A song with bagpipes and a male singer growling over death metal riffs.',
      'Sure! Here is the description you asked for.',
      '[Input]: Genre: Rock (50.0%)',
      'la la la la la la la la la la la la la la la la',
    ]
    llm.write = (tags, prompt) => (prompt.length % 2 === 0 ? wrong[prompt.length % wrong.length]! : faithful(tags))
    start()
    await allDescribed()
    assert.equal(await assertWhole(), 0)
    const last = [...(await descriptions()).values()].map((records) => records.at(-1)!)
    const fallbacks = last.filter(({ fallback }) => fallback !== null)
    assert.ok(fallbacks.length > 50 && fallbacks.length < tracks.length, `${fallbacks.length} fallbacks`)
    for (const { fallback, method } of fallbacks) {
      assert.equal(method, 'data2text')
      assert.equal(fallback!.code, 'checks-failed')
      assert.ok(fallback!.faults.length > 0)
    }
  })

  test('it dies in the middle of 1,000 tracks, and the stage with it: all are described, those after it are redone', async () => {
    await open(MOST_TRACKS)
    llm.write = faithful
    llm.asked.length = 0
    llm.behave = () => ({ afterMs: 2 })
    start()
    await until('300 to be asked for', async () => llm.asked.length >= 300)
    await llm.kill()
    await stop()
    start()
    await allDescribed()
    const putOff = await assertMarked()
    assert.ok(putOff > 100 && putOff < 900, `${putOff} were put off`)
    await llm.open()
    await allRedone()
    assert.equal(await assertWhole(), putOff)
    const charged = new Set(llm.asked.map(({ body }) => JSON.stringify(body)))
    assert.ok(llm.asked.length - charged.size < 100, 'texts that were kept are asked for again')
  })

  test('the budget ends on the way: spend stays below the cap, the rest is put off until there is more', async () => {
    await open(MOST_TRACKS)
    llm.write = faithful
    llm.behave = () => 'right'
    const before = { ...llm.charged }
    const charged = () => (llm.charged.input - before.input + 4 * (llm.charged.output - before.output)) / 1e6
    start({ capUsd: 0.1 })
    await allDescribed()
    // What requests under way set aside and did not need is there for those that were put off.
    await until('the budget to be used', async () => charged() > 0.08, WAIT_MS)
    assert.ok(charged() <= 0.1, `${charged()} US dollars`)
    assert.ok(charged() > 0.08, `${charged()} US dollars`)
    const putOff = await assertMarked()
    assert.ok(putOff > 500, `${putOff} were put off`)
    await stop()
    start({ capUsd: 100 })
    await allRedone()
    // Some had their turn already, when requests under way turned out cheaper than what was set aside.
    assert.ok((await assertWhole()) >= putOff)
  })

  test('what was put off is void once its music was tagged again', async () => {
    await open(50)
    llm.write = faithful
    llm.behave = () => ({ status: 500 })
    start({ deps: { taggedAt: async () => 1 } })
    await allDescribed()
    await stop()
    llm.behave = () => 'right'
    llm.asked.length = 0
    start({ deps: { taggedAt: async () => 2 } })
    await allRedone()
    assert.equal(llm.asked.length, 0)
    for (const records of (await descriptions()).values()) assert.equal(records.length, 1)
  })
})
