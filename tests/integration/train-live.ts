/**
 * The whole circle under steady requests: uploads become triplets, triplets a release, and the release takes over from the
 * one that serves; one that learned nothing does not. Run on the embedded engines and on the real ones.
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { connectApi } from '../../cli/api-client.ts'
import { type Service, startService } from '../../cli/service.ts'
import { productTarget } from '../../cli/train/release-target.ts'
import { trainRelease } from '../../cli/train/train-release.ts'
import { tripletSource } from '../../cli/train-data.ts'
import { openRecommendationClient, type RecommendationClient } from '../../gateway/request-reply.ts'
import { type Config, loadConfig } from '../../runtime/config.ts'
import { chooseBackend } from '../../trainer/backends.ts'
import { createTrainerMetrics } from '../../trainer/metrics.ts'
import { parseTrainConfig } from '../../trainer/train-config.ts'
import { kindredDecoder, kindredProfile } from '../support/kindred-media.ts'
import { query } from '../support/query.ts'
import { standInContent } from '../support/stand-in-media.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { untilQuiet } from '../support/until-quiet.ts'

const VIDEOS = 400
const TRACKS = 20
const WITHIN_MS = 300_000
/** Between two requests of each of those that ask. */
const ASK_EVERY_MS = 10
const ASKING = 2
const RECIPE = {
  dims: 16,
  encoder: { kind: 'residual-mlp', layers: 1, hidden: 32 },
  fusion: 'mlp',
  textDropout: 0.5,
  dropout: 0,
  temperature: 0.1,
  batch: 64,
  epochs: 40,
  learningRate: 0.01,
  emaDecay: 0.5,
  weightDecay: 0,
}

/** @param settings of the engines, as environment. */
export function trainLiveTests(engines: string, settings: () => Promise<Record<string, string>>): void {
  describe(`a release trained on what was uploaded, on ${engines}`, () => {
    const dataFolder = temporaryFolder()
    const logger = pino({ level: process.env.TEST_LOG ?? 'silent' })
    let config: Config
    let service: Service
    let client: RecommendationClient

    before(async () => {
      config = loadConfig({ env: await settings(), flags: { dataFolder, port: '0', logLevel: 'silent' } })
      service = await startService(config, {
        logger,
        stages: 'all',
        profile: kindredProfile,
        decoder: kindredDecoder,
      })
      const { product } = service
      client = await openRecommendationClient({
        ...product,
        registry: new Registry(),
        newId: randomUUID,
        replyPartition: 1,
        maxInFlight: 1_000,
      })
      for (let i = 0; i < VIDEOS; i++) await submit('video', `video-${i}`)
      for (let i = 0; i < TRACKS; i++) await submit('track', `track-${i}`)
      await untilQuiet(product, WITHIN_MS)
    })
    after(async () => {
      await client.close()
      await service.close()
    })

    const submit = (kind: 'track' | 'video', id: string) =>
      service.product.uploads.submit({
        id,
        kind,
        source: {
          content: standInContent({ kind, seconds: 1.5, silent: false, seed: id }),
        },
      })

    async function ask(i: number) {
      const { release, error, results } = await client.request(
        query({
          videoId: i % 2 === 0 ? `video-${i % VIDEOS}` : null,
          text: i % 3 === 0 || i % 2 === 1 ? `words ${i % 7}` : null,
          limit: 5,
        }),
        20_000,
      )
      assert.equal(error, null, `request ${i}: ${error?.code} ${error?.message}`)
      assert.equal(results.length, 5, `request ${i}`)
      return release
    }

    /** @returns by which releases the requests were answered that went on while `work` did. */
    async function whileAsked<T>(work: () => Promise<T>): Promise<{ result: T; releases: Set<string | null> }> {
      const releases = new Set<string | null>()
      let goesOn = true
      const loops = Array.from({ length: ASKING }, async () => {
        for (let i = 0; goesOn; i++, await sleep(ASK_EVERY_MS)) releases.add(await ask(i))
      })
      try {
        const all = Promise.all(loops)
        const result = await Promise.race([work(), all.then(() => new Promise<never>(() => {}))])
        goesOn = false
        await all
        return { result, releases }
      } finally {
        goesOn = false
      }
    }

    const serving = async () => (await connectApi(service.url).releases()).serving
    const train = async (given: object = {}) => {
      const { imageEncoder, textEncoder } = kindredProfile
      return trainRelease({
        config: parseTrainConfig({ ...RECIPE, ...given }),
        source: tripletSource(config, logger, {
          encoders: {
            video: imageEncoder.id,
            music: (await service.product.releases.current()).encoders.music,
          },
        }),
        textEncoder,
        backend: await chooseBackend({ wanted: 'graph', threads: 1 }),
        threads: 1,
        out: temporaryFolder(),
        everySteps: { checkpoint: 1_000, log: 100 },
        target: await productTarget(config, logger, kindredProfile),
        margin: 0.02,
        metrics: createTrainerMetrics(new Registry()),
        signal: new AbortController().signal,
        now: Date.now,
      })
    }

    test('takes over from the one that served: no request fails, and each has the answer of one of the two', async () => {
      const before = await serving()
      const { result, releases } = await whileAsked(() => train())
      assert.equal(result.state, 'released', JSON.stringify(result))
      assert.equal(await serving(), result.release)
      releases.add(await ask(0))
      assert.deepEqual(releases, new Set([before, result.release]))
    })

    test('that learned nothing is refused, and the one that serves goes on', async () => {
      const before = await serving()
      const { result, releases } = await whileAsked(() => train({ learningRate: 1e-9, epochs: 1 }))
      assert.equal(result.state, 'refused', JSON.stringify(result))
      assert.ok(
        result.reasons.some(({ code }) => code === 'worse-than-serving'),
        JSON.stringify(result.reasons),
      )
      assert.equal(await serving(), before)
      assert.deepEqual(releases, new Set([before]))
    })
  })
}
