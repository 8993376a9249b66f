/**
 * Releases that switch while requests are answered: rolled out, rolled back, tried on a share, refused, retired. Run on the
 * embedded engines and on the real ones.
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { type ApiClient, connectApi, type ReleasesView } from '../../cli/api-client.ts'
import type { Product } from '../../cli/open-product.ts'
import { dataPaths } from '../../cli/paths.ts'
import { assigned } from '../../cli/releases/plan.ts'
import { type Service, startService } from '../../cli/service.ts'
import { openRecommendationClient, type RecommendationClient } from '../../gateway/request-reply.ts'
import type { IndexKind } from '../../ports/vector-index.ts'
import { loadConfig } from '../../runtime/config.ts'
import type { RecommendationRequested } from '../../schemas/types.ts'
import { splitEmbeddingKey } from '../../topics/embedding-key.ts'
import { musicEmbedded } from '../../topics/topics.ts'
import { query } from '../support/query.ts'
import { publishRelease } from '../support/second-release.ts'
import { standInContent, standInDecoder } from '../support/stand-in-media.ts'
import { standInProfile } from '../support/stand-in-profile.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'
import { untilQuiet } from '../support/until-quiet.ts'

const TRACKS = 24
const VIDEOS = 6
const WITHIN_MS = 180_000
/** Between two requests of each of those that ask. */
const ASK_EVERY_MS = 10
const ASKING = 4

/** @param settings of the engines, as environment. */
export function releaseTests(engines: string, settings: () => Promise<Record<string, string>>): void {
  describe(`releases on ${engines}`, () => {
    const dataFolder = temporaryFolder()
    let service: Service
    let product: Product
    let api: ApiClient
    let client: RecommendationClient
    const ids: string[] = []
    let first: string

    before(async () => {
      const config = loadConfig({ env: await settings(), flags: { dataFolder, port: '0', logLevel: 'silent' } })
      const logger = pino({ level: process.env.TEST_LOG ?? 'silent' })
      service = await startService(config, {
        logger,
        stages: 'all',
        profile: standInProfile,
        decoder: standInDecoder,
        unusedReleaseMs: 500,
      })
      product = service.product
      api = connectApi(service.url)
      client = await openRecommendationClient({
        ...product,
        registry: new Registry(),
        newId: randomUUID,
        replyPartition: 1,
        maxInFlight: 1_000,
      })
      for (let i = 0; i < TRACKS; i++) ids.push(await submit('track', `track-${i}`))
      for (let i = 0; i < VIDEOS; i++) await submit('video', `video-${i}`)
      await quiet()
      first = (await api.releases()).serving
      await publishRelease(dataFolder, 'second', 0.3)
      await publishRelease(dataFolder, 'third', 1.2)
    })
    after(async () => {
      await client.close()
      await service.close()
    })

    async function submit(kind: 'track' | 'video', id: string): Promise<string> {
      const content = standInContent({ kind, seconds: 1.5, silent: false, seed: id })
      await product.uploads.submit({ id, kind, title: `Title of ${id}`, source: { content } })
      return id
    }
    const quiet = () => untilQuiet(product, WITHIN_MS)
    const ask = (over: Partial<RecommendationRequested> = {}) =>
      client.request(query({ text: 'calm guitar', limit: 5, ...over }), 20_000)
    const answeredBy = async (requestId: string) => (await ask({ requestId })).release

    /** Asks steadily while `work` goes on. @returns what was answered, in the order in which it was asked. */
    async function whileAsked(work: () => Promise<void>) {
      const answers: { askedAt: number; release: string | null; error: string | undefined; total: number }[] = []
      let goesOn = true
      const loops = Array.from({ length: ASKING }, async () => {
        for (let i = 0; goesOn; i++, await sleep(ASK_EVERY_MS)) {
          const askedAt = performance.now()
          const asked = i % 3 === 0 ? { videoId: 'video-1' } : { text: `words ${i % 7}` }
          const { release, error, total } = await ask(asked).catch((cause: Error) => ({
            release: null,
            error: { code: cause.message, message: '' },
            total: 0,
          }))
          answers.push({ askedAt, release, error: error?.code, total })
        }
      })
      try {
        await work()
      } finally {
        goesOn = false
        await Promise.all(loops)
      }
      return answers.sort((a, b) => a.askedAt - b.askedAt)
    }
    const ended = async (): Promise<ReleasesView> =>
      until(
        'the roll-out ends',
        async () => {
          const view = await api.releases()
          return view.rollOut?.state !== 'running' && view
        },
        WITHIN_MS,
      )
    const adopted = (release: string) => until('the plan', async () => product.releases.plan().serving === release)
    const rows = async (release: string, kind: IndexKind = 'music') =>
      [...(await product.index.vectors({ release, kind }, [...ids, 'video-0', 'video-1', 'later'])).keys()].sort()

    test('under steady requests a release is rolled out: each is answered by one release, none fails, and then by the new one', async () => {
      let switchedAt = 0
      const answers = await whileAsked(async () => {
        const begun = await api.rollOut('second')
        assert.equal(begun.rollOut?.state, 'running')
        assert.equal(begun.serving, first)
        await assert.rejects(api.rollOut('third'), { code: 'roll-out-running' })
        ids.push(await submit('track', 'meanwhile'))
        const view = await ended()
        assert.equal(view.rollOut?.state, 'done', view.rollOut?.failure?.message)
        await adopted('second')
        switchedAt = performance.now()
        await sleep(10 * ASK_EVERY_MS) // some more are asked
      })
      assert.deepEqual(
        answers.filter(({ error }) => error !== undefined),
        [],
      )
      const by = (release: string) => answers.filter((one) => one.release === release)
      assert.equal(by(first).length + by('second').length, answers.length)
      assert.ok(by(first).length > 0 && by('second').length > 0, `${by(first).length}, ${by('second').length}`)
      const after = answers.filter(({ askedAt }) => askedAt > switchedAt)
      assert.ok(after.length > 0, 'none was asked after the switch')
      assert.ok(
        after.every(({ release }) => release === 'second'),
        'the old release answered after the switch',
      )
      assert.ok(
        answers.every(({ total }) => total >= TRACKS),
        'an answer came from a part of the catalogue',
      )
    })

    test('both releases hold every upload, in vectors of their own, and what comes later too', async () => {
      await submit('track', 'later')
      await quiet()
      const expected = [...ids, 'later'].sort()
      assert.deepEqual(await rows(first), expected)
      assert.deepEqual(await rows('second'), expected)
      const [one, other] = await Promise.all(
        [first, 'second'].map(async (release) =>
          (await product.index.vectors({ release, kind: 'music' }, ['track-3'])).get('track-3'),
        ),
      )
      assert.notDeepEqual(one, other)
    })

    test('a roll-back lets the release before serve at once, and a page goes on with the release that began it', async () => {
      const page = await ask()
      assert.equal(page.release, 'second')
      const answers = await whileAsked(async () => {
        const view = await api.rollBack()
        assert.deepEqual([view.serving, view.previous], [first, 'second'])
        assert.equal(product.releases.plan().serving, first, 'the process that was asked has not turned yet')
        assert.equal((await ask()).release, first)
      })
      assert.deepEqual(
        answers.filter(({ error }) => error !== undefined),
        [],
      )
      const next = await ask({ cursor: page.nextCursor })
      assert.deepEqual([next.error, next.release], [null, 'second'])
      const seen = new Set(page.results.map(({ trackId }) => trackId))
      assert.ok(
        next.results.every(({ trackId }) => !seen.has(trackId)),
        'a track came twice',
      )
    })

    test('a trial answers its share of the requests, the same ones each time, and ends', async () => {
      await api.rollOut('third', 0.4)
      const view = await ended()
      assert.equal(view.rollOut?.state, 'done', view.rollOut?.failure?.message)
      assert.deepEqual([view.serving, view.trial], [first, { release: 'third', share: 0.4 }])
      await until('the trial', async () => product.releases.plan().trial !== null)
      const names = Array.from({ length: 60 }, (_, i) => `request-${i}`)
      const releases = await Promise.all(names.map(answeredBy))
      assert.deepEqual(await Promise.all(names.map(answeredBy)), releases)
      assert.deepEqual(
        releases,
        names.map((name) => assigned(product.releases.plan(), name)),
      )
      assert.deepEqual(new Set(releases), new Set([first, 'third']))
      const over = await api.endTrial()
      assert.equal(over.trial, null)
      assert.deepEqual(new Set(await Promise.all(names.map(answeredBy))), new Set([first]))
      await assert.rejects(api.endTrial(), { code: 'no-trial' })
    })

    test('a release that is no longer in use is retired: stages, process, rows and embeddings go, its bundle stays', async () => {
      const standing = async () => {
        const keys = new Map<string, boolean>()
        for (let partition = 0; partition < musicEmbedded.partitions; partition++) {
          for (const { key, value } of await product.broker.read(musicEmbedded.name, partition, 0, 10_000)) {
            if (splitEmbeddingKey(key!)[1] === 'third') keys.set(key!, value !== null)
          }
        }
        return [...keys].filter(([, stands]) => stands).map(([key]) => key)
      }
      await until('its index is gone', async () =>
        (await product.index.indexes()).every(({ release }) => release !== 'third'),
      )
      await until('its process is gone', async () => !('third' in product.releases.pids()))
      assert.deepEqual(await standing(), [])
      assert.deepEqual(
        (await product.health.stages()).filter(({ release }) => release === 'third'),
        [],
      )
      const { releases } = await api.releases()
      assert.deepEqual(releases.find(({ release }) => release === 'third')?.roles, [])
      const metrics = await product.registry.metrics()
      assert.doesNotMatch(metrics, /release="third"/)
      assert.match(metrics, /cuestream_stage_up\{processor="embed-music",release="second"\} 1/)
    })

    test('a release that was retired is rolled out anew, whole', async () => {
      await api.rollOut('third')
      const view = await ended()
      assert.equal(view.rollOut?.state, 'done', view.rollOut?.failure?.message)
      assert.deepEqual([view.serving, view.previous], ['third', first])
      await quiet()
      assert.deepEqual(await rows('third'), [...ids, 'later'].sort())
      assert.deepEqual(await rows('third', 'video'), ['video-0', 'video-1'])
      await adopted('third')
      assert.equal((await ask()).release, 'third')
    })

    test('a bundle with one changed byte is refused, and what serves goes on', async () => {
      const { files } = await publishRelease(dataFolder, 'changed', 0.5)
      const file = join(dataPaths(dataFolder).releases, 'changed', files[0]!.name)
      const bytes = await readFile(file)
      bytes[bytes.length >> 1]! ^= 1
      await writeFile(file, bytes)
      await assert.rejects(api.rollOut('changed'), { code: 'tampered-release' })
      const view = await api.releases()
      assert.deepEqual(
        view.unreadable.map(({ release, code }) => [release, code]),
        [['changed', 'tampered-release']],
      )
      assert.equal((await ask()).release, 'third')
    })

    test('a release that gives no numbers is refused before anything is embedded by it, and says why', async () => {
      await publishRelease(dataFolder, 'nan', Number.NaN)
      await api.rollOut('nan')
      const { rollOut, serving } = await ended()
      assert.deepEqual([rollOut?.state, rollOut?.failure?.code], ['failed', 'unusable-release'])
      assert.match(rollOut!.failure!.message, /Release nan .*not 1/)
      assert.equal(serving, 'third')
      assert.ok((await product.index.indexes()).every(({ release }) => release !== 'nan'))
      assert.equal((await ask()).release, 'third')
    })

    test('a roll-out that is cancelled leaves what serves, and another may begin', async () => {
      await publishRelease(dataFolder, 'fourth', 0.9)
      await api.rollOut('fourth')
      const cancelled = await api.cancelRollOut()
      assert.deepEqual([cancelled.rollOut?.state, cancelled.serving], ['cancelled', 'third'])
      await assert.rejects(api.cancelRollOut(), { code: 'no-roll-out' })
      await api.rollOut('fourth')
      assert.equal((await ended()).serving, 'fourth')
    })

    test('what cannot be asked for is refused by its code', async () => {
      await assert.rejects(api.rollOut('nobody'), { code: 'unknown-release' })
      const withoutBody = await fetch(new URL('/v1/releases/nobody/roll-out', service.url), { method: 'POST' })
      assert.equal(((await withoutBody.json()) as { code: string }).code, 'unknown-release')
      await assert.rejects(api.rollOut('fourth'), { code: 'already-serving' })
      await assert.rejects(api.rollOut('second', 1.5), { code: 'invalid-request' })
      await assert.rejects(api.removeRelease('third'), { code: 'release-in-use' })
      await assert.rejects(api.removeRelease('nobody'), { code: 'unknown-release' })
      await api.removeRelease('nan')
      assert.ok((await api.releases()).releases.every(({ release }) => release !== 'nan'))
      const { error } = await ask({ cursor: Buffer.from('second\n5').toString('base64url') })
      assert.equal(error?.code, 'bad-cursor')
    })
  })
}
