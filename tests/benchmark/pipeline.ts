/**
 * Events a second of one stage, with a model that costs nothing, against a kafkajs loop that only reads and writes.
 *
 *     npm run benchmark:pipeline -- [--rounds 5] [--records 60000] [--large 3000] [--only small|large]
 *
 * The product and the reference (raw-loop.ts) read the same topic, write as many bytes and take turns in one process.
 * Two kinds of records: tags in, a description out (about 1.5 kB); features in (115 kB, three minutes of music),
 * an embedding out. What the stage does besides: Avro both ways, its handler, metrics, dead-letter bookkeeping.
 */
import { randomBytes } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { openConfluentRegistry } from '../../adapters/confluent/schema-registry.ts'
import { openKafkaBroker } from '../../adapters/kafka/broker.ts'
import { prefixedBroker } from '../../adapters/prefixed-broker.ts'
import { describeMusic } from '../../processors/describe-music/describe-music.ts'
import { embedMusic } from '../../processors/embed-music/embed-music.ts'
import { createCodec } from '../../runtime/codec.ts'
import { type WiredProcessor, wire } from '../../runtime/define-processor.ts'
import { handleRecord } from '../../runtime/handle-record.ts'
import { createStageMetrics } from '../../runtime/metrics.ts'
import { runProcessor } from '../../runtime/run-processor.ts'
import { deadLetterTopic, type Topic } from '../../topics/topic.ts'
import { musicFeatures, musicTagged } from '../../topics/topics.ts'
import { testServices } from '../support/services.ts'
import { median, readOptions, report } from './measure.ts'
import { countProgress, observedBroker, type Pace } from './observed-broker.ts'
import { startRawLoop } from './raw-loop.ts'
import { featuresOfThreeMinutes, stubDescriber, stubTowers, tagsOfThreeMinutes, trackId } from './sample-records.ts'
import { dropTopics } from './service-product.ts'

const options = readOptions({ rounds: 5, records: 60_000, large: 3_000, only: '' })
const { kafkaBrokers: brokers, schemaRegistryUrl: url } = await testServices({ steady: true })
const prefix = `benchmark-${randomBytes(4).toString('hex')}.`
const logger = pino({ level: 'warn' }, pino.destination(2))
const kafka = new Kafka({ brokers, clientId: 'benchmark', logLevel: logLevel.NOTHING })
const broker = await openKafkaBroker({ brokers, clientId: 'benchmark', logger, onError: (err) => logger.warn({ err }) })
const registry = openConfluentRegistry({ url })
const codec = createCodec(registry)
const topics = prefixedBroker(broker, prefix)

interface Case {
  readonly name: string
  readonly records: number
  readonly input: Topic
  readonly value: unknown
  readonly stage: WiredProcessor
}
const cases: readonly Case[] = [
  {
    name: 'small',
    records: options.records,
    input: musicTagged as Topic,
    value: tagsOfThreeMinutes(),
    stage: wire(describeMusic, {
      describer: stubDescriber,
      takenDownAt: async () => undefined,
      taggedAt: async () => undefined,
      now: Date.now,
    }),
  },
  {
    name: 'large',
    records: options.large,
    input: musicFeatures as Topic,
    value: featuresOfThreeMinutes(),
    stage: wire(embedMusic, { towers: stubTowers, now: Date.now }),
  },
]
const loops = ['product', 'transactions', 'plain'] as const
type Loop = (typeof loops)[number]

try {
  const rows = [['records', 'bytes in', 'bytes out', 'loop', 'records/s', 'CPU µs a record', 'product is']]
  const figures: Record<string, number> = {}
  for (const one of cases.filter(({ name }) => options.only === '' || options.only === name)) {
    const { inputBytes, outputBytes, paces } = await measure(one)
    const speeds = loops.map((loop) => median(paces[loop].map(({ perSecond }) => perSecond)))
    for (const [i, loop] of loops.entries()) {
      const cpu = median(paces[loop].map(({ cpuMicroseconds }) => cpuMicroseconds))
      const ratio = speeds[0]! / speeds[i]!
      const head = i === 0 ? [one.name, String(inputBytes), String(outputBytes)] : ['', '', '']
      rows.push([...head, loop, speeds[i]!.toFixed(0), cpu.toFixed(0), i === 0 ? '' : `${ratio.toFixed(2)} of it`])
      figures[i === 0 ? `${one.name}_per_s` : `${one.name}_of_${loop}`] = i === 0 ? speeds[0]! : ratio
    }
  }
  report(`Medians of ${options.rounds} rounds that take turns; target: 0.5 of the raw loop`, rows, figures)
} finally {
  await broker.close()
  await registry.close()
  await dropTopics(brokers, prefix)
}

async function measure({ name, records, input, value, stage }: Case) {
  const { processor, deps } = stage
  const bytes = Buffer.from(await codec.encode(input, value))
  const outputs = processor.to
  await topics.ensureTopics([input, ...outputs, ...[input, ...outputs].map(deadLetterTopic)])
  const output = await outputOf(stage, input, bytes)
  await fill(prefix + input.name, bytes, records)

  const paces: Record<Loop, Pace[]> = { product: [], transactions: [], plain: [] }
  for (let round = 0; round <= options.rounds; round++) {
    for (const loop of loops) {
      const progress = countProgress(records)
      const group = `${name}-${loop}-${round}`
      const common = { brokers, input: prefix + input.name, output: prefix + outputs[0]!.name, progress }
      const loopOptions = { ...common, group: prefix + group, partitions: input.partitions, outputBytes: output.length }
      const running =
        loop === 'product'
          ? runProcessor({
              processor: { ...processor, name: group },
              deps: deps as never,
              broker: observedBroker(broker, prefix, progress),
              codec,
              metrics: createStageMetrics(new Registry()),
              logger,
              now: Date.now,
              random: Math.random,
              onCrash: 'exit',
            })
          : await startRawLoop({ ...loopOptions, guarantee: loop })
      const pace = await Promise.race([progress.done, running.ended.then(endedEarly)])
      await running.stop()
      if (round > 0) paces[loop].push(pace) // the first one warms up
      process.stderr.write(`${group}: ${pace.perSecond.toFixed(0)} records/s\n`)
    }
  }
  return { inputBytes: bytes.length, outputBytes: output.length, paces }
}

function endedEarly(): never {
  throw new Error('A loop ended before it had read everything')
}

async function outputOf({ processor, deps }: WiredProcessor, input: Topic, bytes: Buffer): Promise<Uint8Array> {
  const record = {
    topic: input.name,
    partition: 0,
    offset: 0,
    key: trackId(0),
    value: bytes,
    headers: {},
    timestamp: 0,
  }
  const context = { signal: new AbortController().signal, attempt: 1 }
  const outcome = await handleRecord(processor, record, deps as never, codec, context)
  if (outcome.kind !== 'done') throw new Error(`${processor.name} gave no output: ${outcome.kind}`)
  return outcome.outputs[0]!.value!
}

/** Spread evenly over the partitions, so that both sides read them all to the end. */
async function fill(topic: string, value: Buffer, records: number): Promise<void> {
  const producer = kafka.producer()
  await producer.connect()
  const partitions = musicTagged.partitions
  const perSend = Math.max(1, Math.floor(4e6 / value.length))
  for (let from = 0; from < records; from += perSend) {
    const messages = Array.from({ length: Math.min(perSend, records - from) }, (_, i) => ({
      key: trackId(from + i),
      value,
      partition: (from + i) % partitions,
    }))
    await producer.send({ topic, messages, acks: -1 })
  }
  await producer.disconnect()
}
