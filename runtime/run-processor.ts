/**
 * The only loop: runs one processor over a broker.
 *
 *   batch ─▶ handle (concurrency at a time) ─▶ commit outputs + offset ─▶ next batch
 *
 * Invariants
 *   [unit]       outputs and the offset that covers their inputs are committed together (Batch.commit)
 *   [task]       records of the same partition number, of any input topic, are handled one batch at a time: a key's
 *                records never meet each other in two handlers (co-partitioned joins)
 *   [prefix]     only the records before the first one that must wait are committed; it and those after come again
 *   [in parts]   a batch is committed in parts when its handlers take long or give much, and given back when it takes
 *                longer still: what is done shows soon, is not done again after a crash, and holds up no rebalance
 *   [neighbour]  a record that must wait pauses its partition alone; a poison record goes to the dead letters
 *   [outage]     while a service is away, records wait for it and count no tries
 *   [put off]    a record whose time has not come is looked at now and then; the look counts as progress
 *   [generation] a stage that fills a store reads its topics from the start for each generation of it, by a group of
 *                that generation's name. It asks for the generation every so often: a wipe is noticed without a write
 *   [crash]      an unknown error restarts the stage from the committed offset; after `maxCrashes` on the same record
 *                that record goes to the dead letters as 'crashed'. The count is this process's: a record restarts the
 *                stage here, whoever supervises it. A SetupError restarts it too, for as long as it takes
 */
import pLimit from 'p-limit'
import type { Logger } from 'pino'
import type { Batch, BatchOutcome, Broker, Consumer, OutputRecord, StoredRecord } from '../ports/broker.ts'
import { FencedError, InvalidRecordError, NotYetError, OutageError, SetupError } from '../ports/errors.ts'
import type { Codec } from './codec.ts'
import { deadLetterName, deadLetterRecord, reducedLetter } from './dead-letter.ts'
import type { Processor } from './define-processor.ts'
import { handleRecord, type Outcome } from './handle-record.ts'
import type { StageMetrics } from './metrics.ts'
import { defaultRetry, type RetryPolicy, retryDelayMs } from './retry.ts'

export interface StageOptions<Deps> {
  readonly processor: Processor<Deps>
  readonly deps: Deps
  readonly broker: Pick<Broker, 'consume'>
  readonly codec: Codec
  readonly metrics: StageMetrics
  readonly logger: Logger
  readonly now: () => number
  readonly random: () => number
  readonly retry?: RetryPolicy
  /** Crashes on one record before it goes to the dead letters. */
  readonly maxCrashes?: number
  /** Of a stage that runs once for each release in use: it tells its gauges apart. */
  readonly release?: string
  /** Generation of the store that this stage fills; the group follows it. */
  readonly generation?: () => Promise<string>
  /** How often it is asked for. */
  readonly generationEveryMs?: number
  /** Of an error that no record brought about: 'restart' here, or 'exit' rejects `ended`, for a supervisor outside. */
  readonly onCrash?: 'restart' | 'exit'
}

export type StageState = 'starting' | 'running' | 'restarting' | 'stopped' | 'crashed'

export interface Stage {
  readonly name: string
  readonly release: string | undefined
  /** The consumer group that it runs as now. */
  group(): string
  /** Resolves after stop(); rejects when the stage crashed for good. */
  readonly ended: Promise<void>
  state(): StageState
  /** Unix epoch ms of the last commit, or of the start. */
  lastProgressAt(): number
  inFlight(): number
  /** Leaves the group and joins it anew, from the committed offsets. */
  restart(): Promise<void>
  stop(graceMs?: number): Promise<void>
}

interface Handled {
  readonly record: StoredRecord
  readonly outcome: Outcome['kind']
  readonly outputs: readonly OutputRecord[]
}

/** Longest wait between two looks whether a service is back, ms. */
const OUTAGE_MAX_MS = 2_000
const MAX_RECORDS = 500
/** What was done is committed once handlers took so long, or gave so much. [in parts] */
const COMMIT_AFTER_MS = 200
const COMMIT_AFTER_BYTES = 8 * 1024 * 1024
/** A batch begins no other record after so long; the rest of it comes again. [in parts] */
const BATCH_MS = 1_000
/** So many records that expired one after the other are told of. */
const MANY_EXPIRED = 5
const GENERATION_EVERY_MS = 2_000

/** @param generation of the store that the stage fills; '' where there is but one. */
export function groupOf(name: string, generation: string): string {
  return generation === '' ? name : `${name}@${generation}`
}

export function groupTopics(processor: Processor): string[] {
  return [
    ...processor.from.map((topic) => topic.name),
    ...(processor.deadLettersOf ?? []).map((topic) => deadLetterName(topic.name)),
  ]
}

export function runProcessor<Deps>(options: StageOptions<Deps>): Stage {
  const { processor, deps, broker, codec, metrics, logger, now, random } = options
  const retry = options.retry ?? defaultRetry
  const maxCrashes = options.maxCrashes ?? 3
  const name = processor.name
  const labels = { processor: name }
  const gaugeLabels = { processor: name, release: options.release ?? '' }
  const tasks = new Map<number, ReturnType<typeof pLimit>>()
  /** Failed tries and crashes of the record that a partition waits on. */
  const failures = new Map<string, { offset: number; attempts: number; crashes: number }>()
  /** Errors that a record is counted for, and how often it was. [crash] */
  const blamed = new WeakMap<Error, number>()
  const stopping = new AbortController()
  let consumer: Consumer | undefined
  let group: string = name
  let outages = 0
  let expiredInARow = 0
  let state: StageState = 'starting'
  let progressAt = now()
  let handling = 0

  function failuresOf(record: StoredRecord) {
    const key = `${record.topic}/${record.partition}`
    let entry = failures.get(key)
    if (entry?.offset !== record.offset) {
      entry = { offset: record.offset, attempts: 0, crashes: 0 }
      failures.set(key, entry)
    }
    return entry
  }

  async function handle(record: StoredRecord, signal: AbortSignal): Promise<Outcome> {
    const known = failures.get(`${record.topic}/${record.partition}`)
    const attempt = known?.offset === record.offset ? known.attempts + 1 : 1
    const startedAt = performance.now()
    metrics.inFlight.set(gaugeLabels, ++handling)
    try {
      return await handleRecord(processor, record, deps, codec, { signal, attempt })
    } finally {
      handling--
      if (state !== 'stopped') metrics.inFlight.set(gaugeLabels, handling)
      const seconds = (performance.now() - startedAt) / 1_000
      metrics.handleSeconds.observe({ processor: name, topic: record.topic }, seconds)
    }
  }

  /** What an outcome means for the partition: outputs to commit with the record, or a reason to stop before it. */
  function decide(
    record: StoredRecord,
    outcome: Outcome,
  ): readonly OutputRecord[] | { pauseMs: number } | { crash: unknown } {
    const topic = record.topic
    if (outcome.kind === 'done') return outcome.outputs
    if (outcome.kind === 'skipped' || outcome.kind === 'expired') return []
    if (outcome.kind === 'invalid') return deadLetter(record, outcome.error, 1)
    if (outcome.kind === 'retry' && outcome.error instanceof OutageError) {
      metrics.retries.inc({ ...labels, topic, code: outcome.error.code })
      return { pauseMs: waitOut(outcome.error) }
    }
    if (outcome.kind === 'retry' && outcome.error instanceof NotYetError) {
      progressAt = now()
      return { pauseMs: outcome.error.retryAfterMs ?? retry.maxMs }
    }
    // An operator must act, or a store has begun anew: no fault of the record, however often it comes. [crash]
    if (outcome.kind === 'crash' && outcome.error instanceof SetupError) return { crash: outcome.error }
    const failure = failuresOf(record)
    if (outcome.kind === 'crash') {
      failure.crashes++
      metrics.crashes.inc(labels)
      if (outcome.error instanceof Error) blamed.set(outcome.error, failure.crashes)
      return failure.crashes > maxCrashes
        ? deadLetter(record, outcome.error, failure.crashes, 'crashed')
        : { crash: outcome.error }
    }
    failure.attempts++
    if (failure.attempts >= retry.maxAttempts) return deadLetter(record, outcome.error, failure.attempts)
    metrics.retries.inc({ ...labels, topic, code: outcome.error.code })
    const pauseMs = retryDelayMs(retry, failure.attempts, random, outcome.error.retryAfterMs)
    logger.warn(
      {
        processor: name,
        topic,
        partition: record.partition,
        offset: record.offset,
        key: record.key,
        pauseMs,
        err: outcome.error,
      },
      'A record will be tried again',
    )
    return { pauseMs }
  }

  function deadLetter(record: StoredRecord, error: unknown, attempts: number, code?: string): readonly OutputRecord[] {
    const isDeadLetter = processor.from.every((topic) => topic.name !== record.topic)
    const letter = deadLetterRecord(record, { stage: name, error, attempts, at: now(), ...(code ? { code } : {}) })
    metrics.records.inc({ ...labels, topic: record.topic, outcome: 'dead_letter' })
    metrics.deadLetters.inc({ ...labels, topic: record.topic, code: letter.headers?.['dlq-code'] ?? 'crashed' })
    const { topic, partition, offset, key } = record
    const where = { processor: name, topic, partition, offset, key }
    // A record that can never work is its sender's affair, and told there; anything else is ours.
    if (error instanceof InvalidRecordError) {
      logger.warn({ ...where, code: error.code, reason: error.message }, 'A record went to the dead letters')
    } else logger.error({ ...where, err: error }, 'A record went to the dead letters')
    return isDeadLetter ? [] : [letter]
  }

  /** @returns ms until the service is tried again. [outage] */
  function waitOut(error: OutageError): number {
    outages++
    const pauseMs = Math.min(OUTAGE_MAX_MS, retryDelayMs(retry, outages, random, error.retryAfterMs))
    if (outages === 1) logger.warn({ processor: name, err: error }, 'A service is away: the stage waits for it')
    return pauseMs
  }

  async function commit(batch: Batch, handled: readonly Handled[]): Promise<void> {
    const last = handled.at(-1)
    if (last === undefined) return
    try {
      const endTimer = metrics.commitSeconds.startTimer(labels)
      await batch.commit(
        last.record.offset + 1,
        handled.flatMap(({ outputs }) => outputs),
      )
      endTimer()
      countCommitted(handled)
    } catch (error) {
      if (!(error instanceof InvalidRecordError)) throw error
      // An output that its topic does not take: its input is found by halves. [neighbour]
      const half = handled.length >> 1
      if (half > 0) for (const part of [handled.slice(0, half), handled.slice(half)]) await commit(batch, part)
      else await commit(batch, [inPlaceOf(last, error)])
    }
    if (outages > 0) logger.info({ processor: name, tries: outages }, 'The service is back')
    outages = 0
    progressAt = now()
  }

  /** What is committed with a record when one of its outputs was refused: its dead letter, or less of that. */
  function inPlaceOf({ record, outputs }: Handled, error: InvalidRecordError): Handled {
    const letter = outputs.find(({ topic }) => topic === deadLetterName(record.topic))
    if (letter === undefined) return { record, outcome: 'invalid', outputs: deadLetter(record, error, 1) }
    const reduced = reducedLetter(letter, error)
    if (reduced === undefined) {
      const message = `${letter.topic} takes no dead letter: ${error.message}; give it the settings of \`topics plan\``
      throw new SetupError('dead-letter-refused', message, { cause: error })
    }
    const { topic, partition, offset, key } = record
    const where = { processor: name, topic, partition, offset, key }
    logger.warn({ ...where, code: error.code, reason: error.message }, 'A dead letter was refused and is reduced')
    return { record, outcome: 'invalid', outputs: [reduced] }
  }

  /** Once a batch: a count for each record would cost as much as many a handler. */
  function countCommitted(handled: readonly Handled[]): void {
    const { topic } = handled[0]!.record
    for (const outcome of ['done', 'skipped', 'expired'] as const) {
      const records = handled.filter((one) => one.outcome === outcome).length
      if (records > 0) metrics.records.inc({ processor: name, topic, outcome }, records)
    }
    for (const { outcome } of handled) watchExpiry(outcome === 'expired')
  }

  /** Two hosts' clocks are compared: one that is wrong makes every record expire, and nothing else shows it. */
  function watchExpiry(isExpired: boolean): void {
    expiredInARow = isExpired ? expiredInARow + 1 : 0
    if (expiredInARow !== MANY_EXPIRED) return
    const message = 'All records come after their deadline: compare the clocks of the hosts, and look at the lag'
    logger.warn({ processor: name, records: expiredInARow }, message)
  }

  /** The next records that may be handled at the same time: as many as follow each other and have keys of their own. */
  function chunkFrom(records: readonly StoredRecord[], start: number): StoredRecord[] {
    const { concurrency = 1, orderBy } = processor
    if (concurrency === 1) return records.slice(start, start + 1)
    const keys = new Set<string>()
    const chunk: StoredRecord[] = []
    for (const record of records.slice(start, start + concurrency)) {
      const key = orderBy?.(record.key ?? '') ?? record.key ?? ''
      if (keys.has(key)) break
      keys.add(key)
      chunk.push(record)
    }
    return chunk
  }

  async function runBatch(batch: Batch): Promise<BatchOutcome> {
    let handled: Handled[] = []
    let handledBytes = 0
    const startedAt = now()
    let handledSince = startedAt
    for (let start = 0, chunk: StoredRecord[]; start < batch.records.length; start += chunk.length) {
      if (batch.signal.aborted || stopping.signal.aborted) break
      chunk = chunkFrom(batch.records, start)
      const outcomes = await Promise.all(chunk.map((record) => handle(record, batch.signal)))
      if (batch.signal.aborted) break
      for (const [i, record] of chunk.entries()) {
        const decision = decide(record, outcomes[i]!)
        if (!Array.isArray(decision)) {
          const halt = decision as { pauseMs: number } | { crash: unknown }
          await commit(batch, handled)
          if ('crash' in halt) throw halt.crash
          return { next: 'pause', forMs: halt.pauseMs }
        }
        const outputs = decision as readonly OutputRecord[]
        handled.push({ record, outcome: outcomes[i]!.kind, outputs })
        for (const { value } of outputs) handledBytes += value?.length ?? 0
      }
      const at = now()
      if (handledBytes < COMMIT_AFTER_BYTES && at - handledSince < COMMIT_AFTER_MS) continue
      await commit(batch, handled)
      handled = []
      handledBytes = 0
      handledSince = at
      if (at - startedAt >= BATCH_MS) break
    }
    await commit(batch, handled)
    return { next: 'continue' }
  }

  async function onBatch(batch: Batch): Promise<BatchOutcome> {
    let task = tasks.get(batch.partition)
    if (task === undefined) {
      task = pLimit(1)
      tasks.set(batch.partition, task)
    }
    try {
      return await task(() => runBatch(batch))
    } catch (error) {
      // Another member owns the partition now and will do the work again.
      if (error instanceof FencedError || batch.signal.aborted) return { next: 'continue' }
      if (error instanceof OutageError) return { next: 'pause', forMs: waitOut(error) }
      throw error
    }
  }

  /** Stops the consumer once the store has another generation than its group. @returns how to end that. [generation] */
  function followGeneration(following: Consumer): () => void {
    const { generation } = options
    if (generation === undefined) return () => {}
    let asking = false
    const look = async () => {
      if (asking) return
      asking = true
      try {
        if (groupOf(name, await generation()) === group) return
        tellGenerationEnd()
        await following.stop(0)
      } catch (error) {
        if (!(error instanceof OutageError))
          logger.warn({ processor: name, err: error }, 'The store gave no generation')
      } finally {
        asking = false
      }
    }
    const timer = setInterval(() => void look(), options.generationEveryMs ?? GENERATION_EVERY_MS).unref()
    return () => clearInterval(timer)
  }

  function tellGenerationEnd(): void {
    logger.warn({ processor: name, group }, 'The store was wiped or rebuilt: the stage turns to its new generation')
  }

  async function run(): Promise<void> {
    for (let crashes = 0; !stopping.signal.aborted; crashes++) {
      try {
        group = groupOf(name, (await options.generation?.()) ?? '')
        consumer = await broker.consume({
          group,
          topics: groupTopics(processor as Processor),
          maxRecords: processor.maxRecords ?? MAX_RECORDS,
          from: processor.start ?? 'earliest',
          atomic: processor.delivery === 'exactly-once',
          outputs: [...processor.to.map((to) => to.name), ...processor.from.map((from) => deadLetterName(from.name))],
          onBatch,
        })
        if (stopping.signal.aborted) await consumer.stop(0)
        state = 'running'
        metrics.up.set(gaugeLabels, 1)
        const startedAt = now()
        const stopFollowing = followGeneration(consumer)
        await consumer.ended.finally(() => {
          stopFollowing()
          metrics.up.set(gaugeLabels, 0)
          if (now() - startedAt > retry.maxMs) crashes = 0
        })
      } catch (error) {
        if (stopping.signal.aborted) return
        if (isGenerationEnd(error)) {
          tellGenerationEnd()
          state = 'restarting'
          await pause(retryDelayMs(retry, 1, random), stopping.signal)
          continue
        }
        if (error instanceof OutageError) {
          state = 'restarting'
          await pause(waitOut(error), stopping.signal)
          continue
        }
        logger.error({ processor: name, err: error }, 'A stage crashed')
        const ofRecord = error instanceof Error ? blamed.get(error) : undefined
        if (options.onCrash === 'exit' && ofRecord === undefined) {
          state = 'crashed'
          throw error
        }
        state = 'restarting'
        // Another record's crashes say nothing of this one: its neighbours wait for its own alone.
        await pause(retryDelayMs(retry, Math.min(ofRecord ?? crashes + 1, crashes + 1), random), stopping.signal)
      }
    }
  }

  const ended = run().finally(() => {
    if (state !== 'crashed') state = 'stopped'
    // A release that is no longer in use has no series: there is no end of releases.
    if (options.release !== undefined) for (const gauge of [metrics.inFlight, metrics.up]) gauge.remove(gaugeLabels)
  })
  ended.catch(() => {})

  return {
    name,
    release: options.release,
    group: () => group,
    ended,
    state: () => state,
    lastProgressAt: () => progressAt,
    inFlight: () => handling,
    async restart() {
      progressAt = now()
      await consumer?.stop(0)
    },
    async stop(graceMs = 5_000) {
      stopping.abort()
      await consumer?.stop(graceMs)
      await ended.catch(() => {})
    },
  }
}

function isGenerationEnd(error: unknown): boolean {
  return error instanceof SetupError && error.code === 'generation-ended'
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
  })
}
