/** The comparison that ends every run of the chaos suite finds what it is there to find. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { openProduct, type Product } from '../../cli/open-product.ts'
import { loadConfig } from '../../runtime/config.ts'
import { deadLetterRecord } from '../../runtime/dead-letter.ts'
import { createLogger } from '../../runtime/logger.ts'
import { musicEmbedded, musicTagged, tripletsMaterialized, uploadsReceived } from '../../topics/topics.ts'
import { compareMembership, isClean, type Verdict } from '../support/membership.ts'
import { testServices } from '../support/services.ts'
import { standInDecoder } from '../support/stand-in-media.ts'
import { standInProfile } from '../support/stand-in-profile.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'
import { type Load, startLoad } from '../support/upload-load.ts'

const SEED = process.env.CHAOS_SEED ?? 'comparison'

describe('the comparison by sets', () => {
  const folder = temporaryFolder()
  let product: Product
  let load: Load
  const compare = (ledger = load.ledger) => compareMembership(ledger, product)

  before(async () => {
    const { kafkaBrokers, schemaRegistryUrl, redisUrl } = await testServices()
    const prefix = `comparison-${randomBytes(4).toString('hex')}`
    const env = {
      KAFKA_BROKERS: kafkaBrokers.join(','),
      SCHEMA_REGISTRY_URL: schemaRegistryUrl,
      REDIS_URL: redisUrl,
      CUESTREAM_DATA_FOLDER: folder,
      CUESTREAM_KAFKA_PREFIX: `${prefix}.`,
      CUESTREAM_REDIS_KEY_PREFIX: `${prefix}:`,
      CUESTREAM_LOG_LEVEL: 'silent',
    }
    const config = loadConfig({ env })
    const logger = createLogger(config)
    product = await openProduct(config, { logger, stages: 'all', profile: standInProfile, decoder: standInDecoder })
    load = startLoad({ ...product, seed: SEED, rate: 60, poisonEvery: 9 })
    await until('all kinds of poison', async () => load.ledger.size > 110)
    await load.finish()
    await until('quiet', async () => (await product.health.stages()).every(({ lagRecords }) => lagRecords === 0))
  })
  after(() => product.close())

  const standing = (kind: 'track' | 'video') =>
    [...load.ledger.values()].find(({ state, poison, ...entry }) => state === 'live' && !poison && entry.kind === kind)!

  test('a run without faults is clean, and held uploads, takedowns and every kind of poison', async () => {
    const verdict = await compare()
    assert.ok(isClean(verdict), JSON.stringify(verdict, null, 2))
    assert.ok(verdict.tracks > 20 && verdict.videos > 5 && verdict.triplets > 3 && verdict.poison >= 6)
    assert.ok([...load.ledger.values()].some(({ takedowns }) => takedowns > 0))
  })

  test('a row that is missing in the index is lost', async () => {
    const { id } = standing('track')
    const name = (await product.index.indexes()).find(({ kind }) => kind === 'music')!
    const vector = (await product.index.vectors(name, [id])).get(id)!
    await product.index.remove(name, [id])
    found((await compare()).lost, id)
    await product.index.upsert(name, [{ id, vector, attributes: {} }])
  })

  test('a row that nobody uploaded is one too many', async () => {
    const { id } = standing('track')
    const name = (await product.index.indexes()).find(({ kind }) => kind === 'music')!
    const vector = (await product.index.vectors(name, [id])).get(id)!
    await product.index.upsert(name, [{ id: 'nobody', vector, attributes: {} }])
    found((await compare()).duplicated, 'the index of music has')
    await product.index.remove(name, ['nobody'])
  })

  test('an upload that the catalogue does not know is lost', async () => {
    const { id } = standing('video')
    const ledger = new Map(load.ledger).set('forgotten', { ...load.ledger.get(id)!, id: 'forgotten' })
    const { lost } = await compare(ledger)
    found(lost, 'forgotten is not among the videos')
    found(lost, 'forgotten has no triplet')
  })

  test('a takedown that was not carried out leaves something too many', async () => {
    const { id } = standing('video')
    const ledger = new Map(load.ledger).set(id, { ...load.ledger.get(id)!, state: 'removed' as const })
    const { duplicated } = await compare(ledger)
    found(duplicated, `${id} is among the videos`)
    found(duplicated, 'the index of video has')
  })

  test('an output without an input is a duplicate, and an input without an output is skipped', async () => {
    const { id } = standing('track')
    const [record] = await recordsOf(musicEmbedded.name, id)
    const { key, value } = record!
    await product.broker.produce([{ topic: musicEmbedded.name, key, value, partitionBy: id }])
    found((await compare()).duplicated, `embed-music: ${id} has 2 outputs of 1 inputs`)
    const [tagged] = await recordsOf(musicTagged.name, id)
    await product.broker.produce([{ topic: musicTagged.name, key: id, value: tagged!.value }])
    found((await compare()).duplicated, `analyse-music: ${id} has 2 outputs of 1 inputs`)
    // Addressed to a stage that there is not: all pass it by.
    const headers = { 'redrive-for': 'nobody' }
    await product.broker.produce([
      { topic: musicTagged.name, key: id, value: tagged!.value, headers },
      { topic: musicTagged.name, key: id, value: tagged!.value, headers },
    ])
    found((await compare()).skipped, `describe-music: ${id} has `)
  })

  test('a triplet that comes again is counted, and one of other content is a finding', async () => {
    const { tripletsAgain } = await compare()
    const id = [...load.ledger.values()].find(
      ({ state, kind, silent, poison }) => state === 'live' && kind === 'video' && !silent && !poison,
    )!.id
    const [record] = await recordsOf(tripletsMaterialized.name, id)
    await product.broker.produce([{ topic: tripletsMaterialized.name, key: id, value: record!.value }])
    assert.equal((await compare()).tripletsAgain, tripletsAgain + 1)
    const triplet = await product.codec.decode(tripletsMaterialized, record!.value!)
    const value = await product.codec.encode(tripletsMaterialized, { ...triplet, text: 'Something else.' })
    await product.broker.produce([{ topic: tripletsMaterialized.name, key: id, value }])
    found((await compare()).duplicated, '1 triplets have a second content')
  })

  test('a dead letter of a good record is wrong, and a poison record without one was skipped', async () => {
    const { id } = standing('video')
    const [record] = await recordsOf(uploadsReceived.name, id)
    const error = new Error('It broke')
    await product.broker.produce([deadLetterRecord(record!, { stage: 'analyse-video', error, attempts: 1, at: 1 })])
    const bytes = [...load.ledger.values()].find(({ poison }) => poison === 'undecodable')!
    const [poison] = await recordsOf(uploadsReceived.name, bytes.id)
    await product.broker.produce([
      { topic: uploadsReceived.name, key: bytes.id, value: poison!.value, headers: { 'redrive-for': 'nobody' } },
    ])
    const { wrongLetters, skipped } = await compare()
    found(wrongLetters, `${id} on uploads.received.v1 in analyse-video: crashed (It broke)`)
    found(skipped, `${bytes.id}: 1 dead letters of analyse-music for 2 records`)
  })

  async function recordsOf(topic: string, id: string) {
    const found = []
    for (const { partition } of Array.from({ length: 6 }, (_, partition) => ({ partition }))) {
      found.push(
        ...(await product.broker.read(topic, partition, 0, 10_000)).filter(({ key }) => key?.split('/')[0] === id),
      )
    }
    return found
  }
})

function found(findings: Verdict['lost'], begin: string): void {
  assert.ok(
    findings.some((finding) => finding.startsWith(begin)),
    `"${begin}" is not among: ${findings.join('; ') || 'no findings'}`,
  )
}
