/** Letters for a topic that was given less than its source: one partition, and small records. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { EmbeddedSchemaRegistry } from '../../../adapters/embedded/schema-registry.ts'
import type { OutputRecord, StoredRecord } from '../../../ports/broker.ts'
import { createCodec } from '../../../runtime/codec.ts'
import { deadLetterCause, deadLetterName } from '../../../runtime/dead-letter.ts'
import { redrive } from '../../../runtime/dead-letter-desk.ts'
import { defineProcessor, type Processor } from '../../../runtime/define-processor.ts'
import { createStageMetrics } from '../../../runtime/metrics.ts'
import { runProcessor, type Stage } from '../../../runtime/run-processor.ts'
import { deadLetterTopic } from '../../../topics/topic.ts'
import { uploadsReceived } from '../../../topics/topics.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { until } from '../../support/until.ts'

const LETTER_BYTES = 20_000
const folder = temporaryFolder()
const letters = deadLetterName(uploadsReceived.name)
const metricsRegistry = new Registry()
let broker: EmbeddedBroker
let registry: EmbeddedSchemaRegistry
let stage: Stage

before(async () => {
  broker = await EmbeddedBroker.open({ dataFolder: folder })
  registry = new EmbeddedSchemaRegistry({ dataFolder: folder })
  const less = { ...deadLetterTopic(uploadsReceived), partitions: 1, maxRecordBytes: LETTER_BYTES }
  await broker.ensureTopics([uploadsReceived, less])
  const processor = defineProcessor({
    name: 'read-uploads',
    from: [uploadsReceived],
    to: [],
    delivery: 'exactly-once',
    handle: async () => [],
  }) as unknown as Processor<object>
  stage = runProcessor({
    processor,
    deps: {},
    broker,
    codec: createCodec(registry),
    metrics: createStageMetrics(metricsRegistry),
    logger: pino({ level: 'silent' }),
    now: () => 1,
    random: () => 0,
  })
})
after(async () => {
  await stage.stop(0)
  await broker.close()
  await registry.close()
})

/** Of a record that no stage can read. */
async function letterOf(record: Omit<OutputRecord, 'topic'> & { key: string }): Promise<StoredRecord> {
  await broker.produce([{ topic: uploadsReceived.name, ...record }])
  let letter: StoredRecord | undefined
  await until(`a letter of ${record.key.slice(0, 20)}`, async () => {
    letter = (await broker.read(letters, 0, 0, 100)).find(({ key }) => key?.startsWith(record.key.slice(0, 100)))
    return letter !== undefined
  })
  return letter!
}

test('a letter whose topic lacks the partition of its record is written whole, by its key', async () => {
  const letter = await letterOf({ key: 'far', value: Buffer.from('not Avro'), partition: 5 })
  assert.equal(String(letter.value), 'not Avro')
  assert.equal(deadLetterCause(letter.headers)?.partition, 5)
})

test('a letter that is too large is written without its value and says so, and nothing is redriven from it', async () => {
  const headers = { 'upload-received-at': '1', long: 'x'.repeat(LETTER_BYTES) }
  const letter = await letterOf({ key: 'large', value: Buffer.alloc(LETTER_BYTES, 'x'), partition: 5, headers })
  assert.equal(letter.value, null)
  const cause = deadLetterCause(letter.headers)!
  assert.equal(cause.code, 'undecodable')
  assert.match(cause.message, /without its value: .*20000/)
  assert.deepEqual([letter.headers['upload-received-at'], letter.headers.long], ['1', undefined])
  const filed = { position: `${uploadsReceived.name}/0/${letter.offset}`, cause, record: letter }
  assert.deepEqual(await redrive(broker, [uploadsReceived], [filed]), { redriven: 0, superseded: 0, incomplete: 1 })
})

test('a letter with a key that is too large is written with the beginning of the key', async () => {
  const letter = await letterOf({ key: 'k'.repeat(LETTER_BYTES), value: Buffer.from('x'), partition: 0 })
  assert.equal(letter.key?.length, 1_000)
})

test('each record is one dead letter, and the stage neither crashed nor stands still', async () => {
  const counts = await metricsRegistry.getSingleMetric('cuestream_stage_dead_letters_total')!.get()
  assert.deepEqual(
    counts.values.map(({ value }) => value),
    [3],
  )
  assert.deepEqual((await metricsRegistry.getSingleMetric('cuestream_stage_crashes_total')!.get()).values, [])
  assert.equal(stage.state(), 'running')
})
