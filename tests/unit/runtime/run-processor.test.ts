/** The loop over the embedded broker: what is committed, what waits, what is given up. */
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { type Logger, pino } from 'pino'
import { Registry } from 'prom-client'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { EmbeddedSchemaRegistry } from '../../../adapters/embedded/schema-registry.ts'
import type { Headers, OutputRecord } from '../../../ports/broker.ts'
import { InvalidRecordError, NotYetError, OutageError, RetryableError, SetupError } from '../../../ports/errors.ts'
import { type Codec, createCodec } from '../../../runtime/codec.ts'
import { deadLetterName } from '../../../runtime/dead-letter.ts'
import { defineProcessor, type Processor } from '../../../runtime/define-processor.ts'
import { createHealth, startWatchdog } from '../../../runtime/health.ts'
import { createStageMetrics } from '../../../runtime/metrics.ts'
import type { RetryPolicy } from '../../../runtime/retry.ts'
import { runProcessor, type Stage } from '../../../runtime/run-processor.ts'
import { deadLetterTopic } from '../../../topics/topic.ts'
import { uploadsReceived, uploadsRemoved } from '../../../topics/topics.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { until } from '../../support/until.ts'

type Handle = (key: string, attempt: number, signal: AbortSignal) => Promise<void> | void
interface StartOptions {
  concurrency?: number
  orderBy?: (key: string) => string
  maxRecords?: number
  onCrash?: 'exit'
  retry?: RetryPolicy
  maxCrashes?: number
  now?: () => number
  generation?: () => Promise<string>
  generationEveryMs?: number
  from?: 'earliest'
  isExpired?: (headers: Headers) => boolean
  logger?: Logger
  /** Written with each takedown. */
  reasonOf?: (key: string) => string
}

describe('the loop of a stage', () => {
  const folder = temporaryFolder()
  let broker: EmbeddedBroker
  let registry: EmbeddedSchemaRegistry
  let codec: Codec
  let metricsRegistry = new Registry()
  let stages: Stage[] = []
  let groups = 0

  before(async () => {
    broker = await EmbeddedBroker.open({ dataFolder: folder })
    registry = new EmbeddedSchemaRegistry({ dataFolder: folder })
    codec = createCodec(registry)
    await broker.ensureTopics([uploadsReceived, uploadsRemoved].flatMap((topic) => [topic, deadLetterTopic(topic)]))
  })
  after(async () => {
    await broker.close()
    await registry.close()
  })
  afterEach(async () => {
    await Promise.all(stages.map((stage) => stage.stop(0)))
    stages = []
  })

  /** A stage of a group of its own, reading what is produced from now on, that writes a takedown for each upload. */
  async function start(handle: Handle, options: StartOptions = {}) {
    const processor = defineProcessor({
      name: `take-down-${++groups}`,
      from: [uploadsReceived],
      to: [uploadsRemoved],
      delivery: 'exactly-once',
      start: options.from ?? 'latest',
      concurrency: options.concurrency ?? 1,
      ...(options.orderBy === undefined ? {} : { orderBy: options.orderBy }),
      maxRecords: options.maxRecords ?? 16,
      ...(options.isExpired === undefined ? {} : { isExpired: options.isExpired }),
      async handle({ key }, _deps: object, { attempt, signal }) {
        await handle(key, attempt, signal)
        const reason = options.reasonOf?.(key) ?? `by ${groups}`
        return [uploadsRemoved.record(key, { uploadId: key, kind: 'track', reason, removedAt: 1 })]
      },
    }) as unknown as Processor<object>
    metricsRegistry = new Registry()
    const metrics = createStageMetrics(metricsRegistry)
    const stage = runProcessor({
      processor,
      deps: {},
      broker,
      codec,
      metrics,
      logger: options.logger ?? pino({ level: 'silent' }),
      now: options.now ?? Date.now,
      random: () => 0,
      retry: options.retry ?? { maxAttempts: 3, baseMs: 1, maxMs: 2 },
      maxCrashes: options.maxCrashes ?? 2,
      onCrash: options.onCrash ?? 'restart',
      ...(options.generation === undefined ? {} : { generation: options.generation }),
      ...(options.generationEveryMs === undefined ? {} : { generationEveryMs: options.generationEveryMs }),
    })
    stages.push(stage)
    await until('the stage to run', async () => stage.state() === 'running')
    return { stage, processor, metrics }
  }

  const bytes = (id: string) =>
    codec.encode(uploadsReceived, {
      uploadId: id,
      kind: 'track',
      media: { uri: 'media:x', sha256: 'x', bytes: 1 },
      title: null,
      artist: null,
      owner: null,
      rights: { licence: null, territories: [], explicit: false },
      receivedAt: 1,
    })

  async function produce(...records: [id: string, partition: number][]): Promise<void> {
    const encoded = records.map(async ([key, partition]): Promise<OutputRecord> => {
      return { topic: uploadsReceived.name, key, value: await bytes(key), partition }
    })
    await broker.produce(await Promise.all(encoded))
  }

  async function keysOn(topic: string): Promise<string[]> {
    const keys: string[] = []
    for (let partition = 0; partition < uploadsRemoved.partitions; partition++) {
      for (const { key } of await broker.read(topic, partition, 0, 1_000)) keys.push(key!)
    }
    return keys
  }
  const written = (...ids: string[]) =>
    until(`${ids} to be written`, async () => {
      const keys = await keysOn(uploadsRemoved.name)
      return ids.every((id) => keys.includes(id))
    })
  const lag = async (name: string) =>
    (await broker.lag(name, [uploadsReceived.name])).reduce((sum, { lagRecords }) => sum + lagRecords, 0)

  test('each record is handled once, in order, and its offset is committed with its output', async () => {
    const seen: string[] = []
    const { stage } = await start((key) => void seen.push(key))
    const ids = Array.from({ length: 40 }, (_, i) => `ordered-${i}`)
    await produce(...ids.map((id): [string, number] => [id, 0]))
    await written(...ids)
    assert.deepEqual(seen, ids)
    assert.equal(await lag(stage.name), 0)
  })

  test('what a slow handler has done is visible before the rest of its batch is done', async () => {
    const ids = Array.from({ length: 20 }, (_, i) => `slow-${i}`)
    const visible: number[] = []
    let clock = 0
    await start(
      async () => {
        visible.push((await keysOn(uploadsRemoved.name)).filter((key) => ids.includes(key)).length)
        clock += 100
      },
      { now: () => clock, maxRecords: 100 },
    )
    await produce(...ids.map((id): [string, number] => [id, 0]))
    await written(...ids)
    assert.equal(visible.length, ids.length, 'each is handled once')
    for (const [i, before] of visible.entries()) assert.ok(i - before <= 2, `${before} of ${i} are visible`)
  })

  test('outputs that are large together are committed in parts', async () => {
    const ids = Array.from({ length: 16 }, (_, i) => `wide-${i}`)
    const visible: number[] = []
    await start(
      async () => {
        visible.push((await keysOn(uploadsRemoved.name)).filter((key) => ids.includes(key)).length)
      },
      { now: () => 0, maxRecords: 100, reasonOf: () => 'x'.repeat(900_000) },
    )
    await produce(...ids.map((id): [string, number] => [id, 0]))
    await written(...ids)
    assert.ok(visible.at(-1)! > 0, 'nothing is visible before all is done')
    assert.equal(visible.at(5)!, 0, 'what is small is not taken apart')
  })

  test('a poison record goes to the dead letters and its neighbours on the same partition go through', async () => {
    await start((key) => {
      if (key === 'poison') throw new InvalidRecordError('poison', 'Upload poison is poison')
    })
    await produce(['before-poison', 1], ['poison', 1], ['after-poison', 1])
    await written('before-poison', 'after-poison')
    assert.ok((await keysOn(deadLetterName(uploadsReceived.name))).includes('poison'))
    assert.ok(!(await keysOn(uploadsRemoved.name)).includes('poison'))
    const text = await metricsRegistry.metrics()
    assert.match(text, /cuestream_stage_dead_letters_total\{.*code="poison".*\} 1/)
  })

  test('a record that waits holds up its own partition only', async () => {
    let release = () => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const seen: string[] = []
    await start(async (key, attempt) => {
      seen.push(key)
      if (key === 'waits' && attempt === 1) throw new RetryableError('busy', 'later', { retryAfterMs: 30 })
      if (key === 'waits') await released
    })
    await produce(['waits', 2], ['behind', 2], ['elsewhere-1', 3], ['elsewhere-2', 3])
    await written('elsewhere-1', 'elsewhere-2')
    assert.ok(!seen.includes('behind'), 'order within the partition is kept')
    release()
    await written('waits', 'behind')
    assert.deepEqual(
      seen.filter((key) => key === 'waits' || key === 'behind'),
      ['waits', 'waits', 'behind'],
    )
  })

  test('what comes before a record that must wait is committed, and is not handled again', async () => {
    const seen: string[] = []
    await start((key, attempt) => {
      seen.push(key)
      if (key === 'third' && attempt < 3) throw new RetryableError('busy', 'later')
    })
    await produce(['first', 4], ['second', 4], ['third', 4])
    await written('third')
    assert.deepEqual(seen, ['first', 'second', 'third', 'third', 'third'])
  })

  test('a record that never works goes to the dead letters after the last try', async () => {
    await start((key) => {
      if (key === 'never') throw new RetryableError('busy', 'The other side is busy')
    })
    await produce(['never', 5], ['after-never', 5])
    await written('after-never')
    assert.ok((await keysOn(deadLetterName(uploadsReceived.name))).includes('never'))
  })

  test('while a service is away, a record waits for it however often it fails, and never goes to the dead letters', async () => {
    let tries = 0
    await start(() => {
      if (++tries <= 10) throw new OutageError('store-away', 'The store does not answer')
    })
    await produce(['through-an-outage', 0])
    await written('through-an-outage')
    assert.equal(tries, 11)
    assert.ok(!(await keysOn(deadLetterName(uploadsReceived.name))).includes('through-an-outage'))
  })

  test('a record that is put off waits for its time however often it is looked at, and its neighbours go on', async () => {
    let looks = 0
    const warned: unknown[] = []
    const logger = pino({ level: 'warn' }, { write: (line: string) => void warned.push(line) })
    const { stage, processor, metrics } = await start(
      (key) => {
        if (key === 'put-off' && ++looks <= 10) {
          throw new NotYetError('not-yet', 'Its time has not come', { retryAfterMs: 1 })
        }
      },
      { logger, now: () => looks },
    )
    const startedAt = stage.lastProgressAt()
    await produce(['put-off', 3], ['beside', 4], ['behind', 3])
    await written('put-off', 'beside', 'behind')
    assert.equal(looks, 11)
    assert.ok(stage.lastProgressAt() > startedAt)
    assert.deepEqual(warned, [])
    assert.equal((await metrics.deadLetters.get()).values.length, 0)
    assert.equal((await metrics.retries.get()).values.length, 0)
    assert.equal(await lag(processor.name), 0)
  })

  test('what an operator must set right restarts the stage for as long as it takes, and costs no record', async () => {
    let tries = 0
    await start(() => {
      if (++tries <= 5) throw new SetupError('store-denied', 'The password is wrong')
    })
    await produce(['until-set-right', 1])
    await written('until-set-right')
    assert.equal(tries, 6)
    assert.ok(!(await keysOn(deadLetterName(uploadsReceived.name))).includes('until-set-right'))
  })

  test('a stage that fills a store reads its topic from the start for each generation of the store', async () => {
    await produce(['of-all-generations', 0])
    const generations = ['', 'second']
    const seen: string[] = []
    const { stage } = await start(
      (key) => {
        if (key !== 'of-all-generations') return
        seen.push(generations[0]!)
        if (generations.length === 1) return
        generations.shift()
        throw new SetupError('generation-ended', 'The store was wiped')
      },
      { from: 'earliest', generation: async () => generations[0]!, onCrash: 'exit' },
    )
    await until('the second generation', async () => seen.length === 2)
    assert.deepEqual(seen, ['', 'second'])
    assert.equal(stage.group(), `${stage.name}@second`)
    await until('its offset', async () => (await lag(stage.group())) === 0)
    assert.ok((await lag(stage.name)) > 0, 'the first group has committed nothing')
  })

  test('a store that is wiped while no record comes is filled again', async () => {
    await produce(['before-the-wipe', 0])
    let generation = 'first'
    const seen: string[] = []
    const { stage } = await start(
      (key) => {
        if (key === 'before-the-wipe') seen.push(generation)
      },
      { from: 'earliest', generation: async () => generation, generationEveryMs: 1 },
    )
    await until('the first generation to be filled', async () => (await lag(stage.group())) === 0)
    generation = 'second'
    await until('the second generation to be filled', async () => seen.length === 2)
    assert.deepEqual(seen, ['first', 'second'])
    assert.equal(stage.group(), `${stage.name}@second`)
  })

  test('a bug restarts the stage, the record comes again, and a record that crashes it each time is given up', async () => {
    const seen: string[] = []
    const { stage } = await start((key) => {
      seen.push(key)
      if (key === 'crashes' || (key === 'once' && seen.filter((k) => k === 'once').length === 1))
        throw new TypeError('bug')
    })
    await produce(['once', 0], ['crashes', 0], ['after-crash', 0])
    await written('once', 'after-crash')
    assert.equal(seen.filter((key) => key === 'crashes').length, 3)
    assert.ok((await keysOn(deadLetterName(uploadsReceived.name))).includes('crashes'))
    assert.equal(stage.state(), 'running')
    assert.match(await metricsRegistry.metrics(), /cuestream_stage_crashes_total\{.*\} 4/)
  })

  test('an output that its topic does not take sends its input to the dead letters, and the neighbours go through', async () => {
    const { stage } = await start(() => {}, {
      reasonOf: (key) => (key === 'large' ? 'x'.repeat(uploadsRemoved.maxRecordBytes) : 'small'),
    })
    await produce(['before-large', 2], ['large', 2], ['after-large', 2])
    await written('before-large', 'after-large')
    assert.ok(!(await keysOn(uploadsRemoved.name)).includes('large'))
    assert.ok((await keysOn(deadLetterName(uploadsReceived.name))).includes('large'))
    assert.equal(await lag(stage.name), 0)
    assert.match(await metricsRegistry.metrics(), /cuestream_stage_dead_letters_total\{.*code="record-too-large".*\} 1/)
  })

  test('a stage that ran long before it crashed starts again as soon as after its first crash', async () => {
    let [clock, crashes] = [0, 0]
    const policy = { maxAttempts: 3, baseMs: 1, maxMs: 1_000_000_000 }
    await start(
      () => {
        if (crashes++ < 20) throw new TypeError('bug')
      },
      { retry: policy, maxCrashes: 100, now: () => (clock += 2 * policy.maxMs) },
    )
    await produce(['crashes-rarely', 3])
    await written('crashes-rarely')
    assert.equal(crashes, 21)
  })

  test('records that crash the stage one after the other do not add up: each is waited for as if it were the first', async () => {
    const crashes = new Map<string, number>()
    // Were they to add up, the last would be waited for for days.
    const policy = { maxAttempts: 3, baseMs: 0.001, maxMs: 1_000_000_000 }
    const keys = Array.from({ length: 40 }, (_, i) => `crashes-${i}`)
    await start(
      (key) => {
        crashes.set(key, (crashes.get(key) ?? 0) + 1)
        if (crashes.get(key) === 1) throw new TypeError('bug')
      },
      { retry: policy, now: () => 0 },
    )
    await produce(...keys.map((key) => [key, 0] as [string, number]))
    await written(...keys)
    assert.deepEqual(new Set(crashes.values()), new Set([2]))
  })

  test('with a supervisor outside, a record that crashes the stage each time is given up all the same', async () => {
    const { stage } = await start(
      (key) => {
        if (key === 'fatal') throw new TypeError('bug')
      },
      { onCrash: 'exit' },
    )
    await produce(['fatal', 1], ['after-fatal', 1])
    await written('after-fatal')
    assert.ok((await keysOn(deadLetterName(uploadsReceived.name))).includes('fatal'))
    assert.equal(stage.state(), 'running')
  })

  test('with a supervisor outside, an error that no record brought about ends the stage and commits nothing', async () => {
    const { stage } = await start(
      () => {
        throw new SetupError('no-index', 'An operator must act')
      },
      { onCrash: 'exit' },
    )
    await produce(['fatal', 1])
    await assert.rejects(stage.ended, SetupError)
    assert.equal(stage.state(), 'crashed')
    assert.equal(await lag(stage.name), 1)
  })

  test('stopping lets the running record finish and commits it, and starts no other', async () => {
    let begun = () => {}
    const beganHandling = new Promise<void>((resolve) => {
      begun = resolve
    })
    let release = () => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const { stage } = await start(
      async (key) => {
        if (key !== 'running') return
        begun()
        await released
      },
      { maxRecords: 100 },
    )
    await produce(['running', 2], ['not-begun', 2])
    await beganHandling
    const stopped = stage.stop(10_000)
    release()
    await stopped
    assert.ok((await keysOn(uploadsRemoved.name)).includes('running'))
    assert.ok(!(await keysOn(uploadsRemoved.name)).includes('not-begun'))
    assert.equal(await lag(stage.name), 1)
    assert.equal(stage.state(), 'stopped')
  })

  test('records that nobody waits for are passed by and counted, and many in a row are warned of once', async () => {
    const seen: string[] = []
    const warnings: string[] = []
    const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push(JSON.parse(line).msg) })
    const isExpired = ({ late }: Headers) => late === 'yes'
    const { stage } = await start((key) => void seen.push(key), { isExpired, logger })
    const late = { headers: { late: 'yes' }, partition: 0 }
    const expiring = (n: number) => Array.from({ length: n }, (_, i) => ({ key: `late-${i}-of-${n}`, ...late }))
    const inTime = (key: string) => ({ key, partition: 0 })
    const all = [...expiring(4), inTime('in-time'), ...expiring(7), inTime('at-last')]
    const value = await bytes('any')
    await broker.produce(all.map((record) => ({ topic: uploadsReceived.name, value, ...record })))
    const counts = async () => {
      const counted = await metricsRegistry.getSingleMetric('cuestream_stage_records_total')!.get()
      return Object.fromEntries(counted.values.map(({ labels, value }) => [labels.outcome, value]))
    }
    await until('the last record to be counted', async () => (await counts()).done === 2)
    assert.deepEqual(await counts(), { done: 2, expired: 11 })
    assert.deepEqual(seen, ['in-time', 'at-last'])
    assert.equal(warnings.length, 1)
    assert.match(warnings[0]!, /clocks/)
    assert.equal(await lag(stage.name), 0)
  })

  test('concurrent handlers overlap, and outputs keep the order of their inputs', async () => {
    let together = 0
    let most = 0
    await start(
      async () => {
        most = Math.max(most, ++together)
        await new Promise((resolve) => setImmediate(resolve))
        together--
      },
      { concurrency: 4 },
    )
    const ids = ['c-0', 'c-1', 'c-2', 'c-3']
    await produce(...ids.map((id): [string, number] => [id, 3]))
    await written(...ids)
    assert.ok(most > 1, `${most} at a time`)
    assert.deepEqual((await keysOn(uploadsRemoved.name)).filter((key) => key.startsWith('c-')).sort(), ids)
  })

  test('records of one key are handled one after the other, in order, however many are handled at a time', async () => {
    const running = new Set<string>()
    const seen: string[] = []
    let most = 0
    await start(
      async (key) => {
        assert.ok(!running.has(key.slice(0, 3)), `${key} meets another of its key`)
        running.add(key.slice(0, 3))
        most = Math.max(most, running.size)
        await new Promise((resolve) => setImmediate(resolve))
        running.delete(key.slice(0, 3))
        seen.push(key)
      },
      { concurrency: 4, maxRecords: 100, orderBy: (key) => key.slice(0, 3) },
    )
    const ids = ['k-1-a', 'k-2-a', 'k-1-b', 'k-1-c', 'k-3-a', 'k-2-b', 'k-4-a', 'k-1-d']
    await produce(...ids.map((id): [string, number] => [id, 3]))
    await written(...ids)
    assert.ok(most > 1, `${most} at a time`)
    for (const key of ['k-1', 'k-2', 'k-3', 'k-4']) {
      const of = (all: readonly string[]) => all.filter((id) => id.startsWith(key))
      assert.deepEqual(of(seen), of(ids))
    }
  })

  test('health shows lag, and the watchdog raises a stage that has lag and does nothing', async () => {
    let clock = 0
    const { stage, processor, metrics } = await start(() => {
      throw new RetryableError('busy', 'later', { retryAfterMs: 600_000 })
    })
    const health = createHealth({
      stages: [{ stage, processor: processor as Processor }],
      broker,
      metrics,
      now: () => Date.now() + clock,
      stallMs: 60_000,
    })
    assert.deepEqual(await health.ready(), { ready: true, checks: { [stage.name]: 'ok' } })
    clock = 61_000
    await produce(['stuck', 4])
    await until(
      'the record to wait',
      async () => (await health.stages())[0]!.lagRecords === 1 && stage.inFlight() === 0,
    )
    assert.equal((await health.stages())[0]!.stalled, false, 'its last commit is long ago, but the lag is new')
    clock += 61_000
    assert.equal((await health.stages())[0]!.stalled, true)
    assert.match(await metricsRegistry.metrics(), /cuestream_consumer_lag_records\{.*partition="4"\} 1/)
    await stage.stop(0)
    assert.equal((await health.ready()).ready, false)
  })

  test('the watchdog restarts a stage that has lag and makes no progress, and it goes on', async () => {
    let tries = 0
    const { stage, processor, metrics } = await start(() => {
      if (++tries === 1) throw new RetryableError('busy', 'later', { retryAfterMs: 600_000 })
    })
    const stages = [{ stage, processor: processor as Processor }]
    const health = createHealth({ stages, broker, metrics, now: Date.now, stallMs: 200 })
    const stopWatching = startWatchdog({ health, stages, stallMs: 200, logger: pino({ level: 'silent' }) })
    await produce(['watched', 5])
    await written('watched')
    stopWatching()
    assert.equal(tries, 2)
  })
})
