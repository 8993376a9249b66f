/** What a release must have before it may serve, and what is left of it afterwards: on the embedded engines, no stage runs. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { openVectorIndex } from '../../../adapters/embedded/vector-index.ts'
import { leftBehind, retireRelease } from '../../../cli/releases/retire.ts'
import { embeddingProgress, untilWhole } from '../../../cli/releases/whole.ts'
import type { Catalogue } from '../../../ports/catalogue.ts'
import { InvalidRecordError, SetupError } from '../../../ports/errors.ts'
import type { VectorIndex } from '../../../ports/vector-index.ts'
import { deadLetterRecord } from '../../../runtime/dead-letter.ts'
import { groupOf } from '../../../runtime/run-processor.ts'
import { embeddingKey } from '../../../topics/embedding-key.ts'
import { deadLetterTopic, type Topic } from '../../../topics/topic.ts'
import { musicEmbedded, musicFeatures, topics, videoEmbedded, videoFeatures } from '../../../topics/topics.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const SINCE = 1_000
const IDS = Array.from({ length: 150 }, (_, i) => `track-${i}`)
const VECTOR = Float32Array.of(1, 0)

describe('a release that is being prepared', () => {
  const folder = temporaryFolder()
  let broker: EmbeddedBroker
  let catalogue: Catalogue
  let index: VectorIndex
  /** One a test, so that none sees what another left. */
  let release: string
  let tests = 0

  before(async () => {
    broker = await EmbeddedBroker.open({ dataFolder: folder, onError: (error) => assert.fail(String(error)) })
    catalogue = openCatalogue({ folder: join(folder, 'catalogue') })
    index = await openVectorIndex({ folder: join(folder, 'index') })
    await broker.ensureTopics([...topics, ...topics.map(deadLetterTopic)])
    for (const id of IDS) {
      await broker.produce([{ topic: musicFeatures.name, key: id, value: Buffer.from('features') }])
      await embedded(id, 'serving')
    }
  })
  after(async () => {
    await Promise.all([broker.close(), catalogue.close(), index.close()])
  })
  beforeEach(async () => {
    release = `prepared-${tests++}`
    for (const kind of ['music', 'video'] as const) await index.create({ release, kind }, 2)
  })

  async function embedded(id: string, by: string, value: Buffer | null = Buffer.from('vector')): Promise<void> {
    await broker.produce([{ topic: musicEmbedded.name, key: embeddingKey(id, by), partitionBy: id, value }])
  }
  async function indexed(id: string): Promise<void> {
    await index.upsert({ release, kind: 'music' }, [{ id, vector: VECTOR, attributes: {} }])
  }
  /** As far as a group that has read all there is. */
  async function read(group: string, topicsRead: readonly Topic[]): Promise<void> {
    const lags = await broker.lag(
      group,
      topicsRead.map(({ name }) => name),
    )
    for (const { topic, partition, endOffset } of lags) await broker.seek(group, topic, partition, endOffset)
  }
  async function allRead(): Promise<void> {
    await read(groupOf('embed-music', release), [musicFeatures])
    await read(groupOf('embed-video', release), [videoFeatures])
    await read('index-embeddings', [musicEmbedded, videoEmbedded])
  }
  const deps = () => ({ broker, catalogue, index })
  const whole = (goesOn = async () => true) => untilWhole(deps(), { release, serving: 'serving', since: SINCE }, goesOn)
  const isIncomplete = (names: RegExp) => (error: unknown) =>
    error instanceof SetupError && error.code === 'roll-out-incomplete' && names.test(error.message)

  test('is whole with an embedding and a row for all that the serving one has', async () => {
    for (const id of IDS) {
      await embedded(id, release)
      await indexed(id)
    }
    assert.deepEqual(await embeddingProgress(broker, release), { doneRecords: 0, totalRecords: IDS.length })
    await allRead()
    assert.deepEqual(await embeddingProgress(broker, release), { doneRecords: IDS.length, totalRecords: IDS.length })
    assert.equal(await whole(), true)
  })

  test('is refused for an id that only the serving one has, and for one without a row, by their names', async () => {
    for (const id of IDS) {
      if (id !== 'track-7') await embedded(id, release)
      if (id !== 'track-9') await indexed(id)
    }
    await allRead()
    await assert.rejects(whole(), isIncomplete(/lacks 2 of .*music\/track-(7|9), music\/track-(7|9)/))
  })

  test('needs nothing of what was taken down, and is excused for what went to the dead letters since it was asked for', async () => {
    for (const id of IDS.slice(2)) {
      await embedded(id, release)
      await indexed(id)
    }
    await catalogue.recordTakedown('track-0', 5)
    await letter('track-1', SINCE)
    await allRead()
    assert.equal(await whole(), true)
  })

  test('is refused when more than one in a hundred went to the dead letters', async () => {
    for (const id of IDS.slice(3)) {
      await embedded(id, release)
      await indexed(id)
    }
    for (const id of ['track-1', 'track-2']) await letter(id, SINCE)
    await catalogue.recordTakedown('track-0', 5)
    assert.equal(Math.ceil(IDS.length * 0.01), 2)
    await embedded('track-3', release, null)
    await letter('track-3', SINCE)
    await allRead()
    await assert.rejects(whole(), isIncomplete(/lacks 3 of/))
  })

  test('is waited for until its stages have read the features, for as long as somebody wants it', async () => {
    let looks = 0
    assert.equal(await whole(async () => ++looks < 3), false)
    assert.equal(looks, 3)
  })

  test('leaves neither embeddings nor an index when it is retired, and others stay as they are', async () => {
    for (const id of IDS.slice(0, 5)) {
      await embedded(id, release)
      await indexed(id)
    }
    await embedded('track-4', release, null)
    const before = await standing()
    assert.equal(before.filter((key) => key.endsWith(`/${release}`)).length, 4)
    assert.ok((await leftBehind(index, ['serving'])).includes(release))
    await retireRelease({ broker, index }, release, new AbortController().signal)
    const rest = before.filter((key) => !key.endsWith(`/${release}`))
    assert.deepEqual(await standing(), rest)
    assert.ok(!(await leftBehind(index, ['serving'])).includes(release))
    const ends = (await broker.lag('nobody', [musicEmbedded.name])).map(({ endOffset }) => endOffset)
    await retireRelease({ broker, index }, release, new AbortController().signal)
    const endsAgain = (await broker.lag('nobody', [musicEmbedded.name])).map(({ endOffset }) => endOffset)
    assert.deepEqual(endsAgain, ends, 'a second time wrote tombstones again')
  })

  async function letter(id: string, at: number): Promise<void> {
    const [found] = await broker.produce([{ topic: musicFeatures.name, key: id, value: Buffer.from('features') }])
    const value = Buffer.from('features')
    const record = { topic: musicFeatures.name, key: id, value, headers: {}, timestamp: at, ...found! }
    const error = new InvalidRecordError('bad-shape', 'The track has values that are not finite.')
    await broker.produce([deadLetterRecord(record, { stage: 'embed-music', error, attempts: 1, at })])
  }

  /** Keys of embeddings that stand. */
  async function standing(): Promise<string[]> {
    const keys = new Set<string>()
    for (let partition = 0; partition < musicEmbedded.partitions; partition++) {
      for (const { key, value } of await broker.read(musicEmbedded.name, partition, 0, 100_000)) {
        if (value === null) keys.delete(key!)
        else keys.add(key!)
      }
    }
    return [...keys].sort()
  }
})
