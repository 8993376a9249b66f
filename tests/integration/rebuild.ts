/**
 * Rebuilding the index of a running product: under a load of uploads, takedowns, second uploads and poison, with rows
 * lost and rows too many beforehand. Run on the embedded engines and on the real ones.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { pino } from 'pino'
import { connectApi } from '../../cli/api-client.ts'
import type { Product } from '../../cli/open-product.ts'
import { projectedTopics, projectionGeneration } from '../../cli/projection.ts'
import { type Service, startService } from '../../cli/service.ts'
import { unpackFloats } from '../../model/features.ts'
import type { IndexKind } from '../../ports/vector-index.ts'
import { indexEmbeddings } from '../../processors/index-embeddings/index-embeddings.ts'
import { loadConfig } from '../../runtime/config.ts'
import { deadLetterCause, deadLetterName } from '../../runtime/dead-letter.ts'
import { groupOf } from '../../runtime/run-processor.ts'
import { splitEmbeddingKey } from '../../topics/embedding-key.ts'
import { musicEmbedded, topics, videoEmbedded } from '../../topics/topics.ts'
import { standInDecoder } from '../support/stand-in-media.ts'
import { standInProfile } from '../support/stand-in-profile.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'
import { untilQuiet } from '../support/until-quiet.ts'
import { type Load, startLoad } from '../support/upload-load.ts'

const UPLOADS_FIRST = 40
const UPLOADS_MEANWHILE = 15
const WITHIN_MS = 180_000

/** @param settings of the engines, as environment. @param rate of the load, requests a second. */
export function rebuildTests(engines: string, settings: () => Promise<Record<string, string>>, rate: number): void {
  describe(`a rebuild of the index on ${engines}`, () => {
    const dataFolder = temporaryFolder()
    let service: Service
    let product: Product
    let load: Load
    let env: Record<string, string>
    const open = async (stages: 'all' | []) => {
      const config = loadConfig({ env, flags: { dataFolder, port: '0', logLevel: 'silent' } })
      const logger = pino({ level: process.env.TEST_LOG ?? 'silent' })
      return startService(config, { logger, stages, profile: standInProfile, decoder: standInDecoder })
    }
    const start = async () => {
      service = await open('all')
      product = service.product
    }
    before(async () => {
      env = await settings()
      await start()
      load = startLoad({ ...product, seed: `rebuild on ${engines}`, rate, poisonEvery: 12 })
      await until('the first uploads', async () => load.acknowledged() >= UPLOADS_FIRST)
    })
    after(async () => {
      await load.abandon()
      await service.close()
    })

    const nameOf = async (kind: IndexKind) => ({ kind, release: (await product.releases.current()).release })
    const quiet = () => untilQuiet(product, WITHIN_MS)
    const ended = () =>
      until(
        'the rebuild ends',
        async () => {
          const view = product.rebuilds.view()
          return view?.state !== 'running' && view
        },
        WITHIN_MS,
      )
    const standing = (kind: 'track' | 'video') =>
      [...load.ledger.values()].filter((one) => one.kind === kind && one.state === 'live' && !one.poison)

    /** Rows are exactly the uploads that stand, each with the vector of its last embedding; so are the documents. */
    async function compare(from: Product = product): Promise<void> {
      for (const [kind, source, topic] of [
        ['music', 'track', musicEmbedded],
        ['video', 'video', videoEmbedded],
      ] as const) {
        const name = await nameOf(kind)
        const ids = standing(source).map(({ id }) => id)
        assert.ok(ids.length > 0)
        // What was refused in a way that may have happened all the same is compared with nothing.
        const open = [...load.ledger.values()].filter(({ state }) => state === 'undecided').map(({ id }) => id)
        const rows = await from.index.vectors(name, [...load.ledger.keys(), 'stray'])
        const expected = [...ids, ...open.filter((id) => rows.has(id))]
        assert.deepEqual([...rows.keys()].sort(), expected.sort(), `rows of ${kind}`)
        assert.equal(await from.index.count(name), expected.length, `${kind}: none is double, and none unknown`)
        const last = new Map<string, Float32Array>()
        for (const { key, value } of await read(from, topic.name)) {
          const [id] = splitEmbeddingKey(key!)
          if (value === null) last.delete(id)
          else last.set(id, unpackFloats((await from.codec.decode(topic as typeof musicEmbedded, value)).vector))
        }
        for (const [id, vector] of rows) {
          const score = vector.reduce((sum, x, i) => sum + x * last.get(id)![i]!, 0)
          assert.ok(score > 0.999, `${id} has another vector: ${score}`)
        }
        for (const id of ids) {
          const document = source === 'track' ? await from.catalogue.track(id) : await from.catalogue.video(id)
          assert.equal(document?.upload?.title, `Title of ${id}`)
        }
      }
    }

    async function read({ broker }: Product, topic: string) {
      const { partitions } = (await broker.topics()).find(({ name }) => name === topic)!
      const logs = await Promise.all(
        Array.from({ length: partitions }, (_, partition) => broker.read(topic, partition, 0, 10_000)),
      )
      return logs.flat()
    }

    async function lettersOfProjection(): Promise<string[]> {
      const names = topics.map(({ name }) => deadLetterName(name))
      const letters = (await Promise.all(names.map((name) => read(product, name)))).flat()
      return letters.flatMap(({ key, headers, topic }) =>
        deadLetterCause(headers)?.stage === indexEmbeddings.name ? [`${topic} ${key}`] : [],
      )
    }

    test('under load brings back what was lost, drops what is unknown, and misses and doubles nothing', async () => {
      const name = await nameOf('music')
      const before = await product.index.generation()
      const lost = await until('rows to lose', async () => {
        const rows = await product.index.vectors(
          name,
          standing('track').map(({ id }) => id),
        )
        return rows.size >= 5 && [...rows.keys()].slice(0, 5)
      })
      await product.index.remove(name, lost)
      const stray = new Float32Array((await product.index.indexes())[0]!.dims)
      stray[0] = 1
      await product.index.upsert(name, [{ id: 'stray', vector: stray, attributes: {} }])

      const lettersBefore = await lettersOfProjection()
      assert.ok(lettersBefore.length > 0)
      await product.rebuilds.start([])
      const acknowledged = load.acknowledged()
      let searching = true
      const searches = (async () => {
        for (; searching; await new Promise((resolve) => setTimeout(resolve, 20))) {
          assert.ok((await product.index.search(name, stray, 5)).length > 0, 'a search finds nothing')
        }
      })()
      // On a slow machine the load would outrun the stages for ever.
      await until('uploads meanwhile', async () => load.acknowledged() >= acknowledged + UPLOADS_MEANWHILE)
      await load.finish()
      const { state, report, failure } = await ended()
      searching = false
      await searches
      assert.equal(state, 'done', failure?.message)
      assert.notEqual(report!.generation, before)
      await quiet()
      assert.equal(await product.index.generation(), report!.generation)
      await compare()
      const letters = await lettersOfProjection()
      const again = lettersBefore.filter((letter) => letters.filter((one) => one === letter).length > 1)
      assert.deepEqual(again, [], 'the replay gave a poison record a second dead letter')
    })

    test('is gone on with by the stage itself: where it stopped, and no other group reads any more', async () => {
      const group = groupOf(indexEmbeddings.name, await projectionGeneration(product))
      const lags = await product.broker.lag(group, projectedTopics)
      assert.ok(lags.every(({ lagRecords }) => lagRecords === 0))
      assert.ok(lags.some(({ committedOffset }) => committedOffset > 0))
    })

    test('that is stopped leaves what serves, and another may begin', async () => {
      const api = connectApi(service.url)
      const before = await product.index.generation()
      assert.equal((await api.startRebuild([])).state, 'running')
      await assert.rejects(api.startRebuild([]), { code: 'rebuild-running' })
      assert.equal((await api.stopRebuild()).state, 'stopped')
      assert.equal(await product.index.generation(), before)
      await compare()
      await api.startRebuild(['earliest'])
      assert.equal((await ended()).state, 'done')
      const { state, doneRecords, totalRecords, report } = await api.rebuild()
      assert.equal(state, 'done')
      assert.ok(doneRecords > 0 && doneRecords === totalRecords)
      assert.equal(await product.index.generation(), report!.generation)
      assert.notEqual(report!.generation, before)
      await compare()
    })

    test('that began too late to find every embedding is refused with numbers and names, and what serves stays', async () => {
      const api = connectApi(service.url)
      const before = await product.index.generation()
      await api.startRebuild([new Date(Date.now() + 60_000).toISOString()])
      await ended()
      const { state, failure } = await api.rebuild()
      assert.deepEqual([state, failure?.code], ['failed', 'rebuild-incomplete'])
      assert.match(failure!.message, /music\/\S+ 0 of \d+, video\/\S+ 0 of \d+/)
      assert.equal(await product.index.generation(), before)
      await compare()
      await assert.rejects(api.startRebuild(['no.such.topic/0/5']), { code: 'bad-position' })
      await assert.rejects(api.startRebuild(['yesterday']), { code: 'bad-position' })
      assert.equal((await api.stopRebuild()).state, 'failed', 'nothing runs')
    })

    test('is there after a restart, and nothing is replayed again', async () => {
      const generation = await product.index.generation()
      await service.close()
      await start()
      await assert.rejects(connectApi(service.url).rebuild(), { code: 'no-rebuild' })
      assert.equal(await product.index.generation(), generation)
      await quiet()
      await compare()
    })

    if (engines === 'the real engines') {
      test('by a process that runs no stage is followed by the stages of another', async () => {
        const other = await open([])
        await other.product.rebuilds.start([])
        const { state, report } = await until(
          'the rebuild',
          async () => {
            const view = other.product.rebuilds.view()
            return view?.state !== 'running' && view
          },
          WITHIN_MS,
        )
        assert.equal(state, 'done')
        await other.close()
        load = startLoad({ ...product, seed: `after a rebuild on ${engines}`, rate, poisonEvery: 1_000 })
        await until('uploads after the switch', async () => load.acknowledged() >= UPLOADS_MEANWHILE)
        await load.finish()
        await quiet()
        const name = await nameOf('music')
        const ids = standing('track').map(({ id }) => id)
        assert.equal((await product.index.vectors(name, ids)).size, ids.length)
        assert.equal(await product.index.generation(), report!.generation)
      })
    }
  })
}
