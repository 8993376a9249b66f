/**
 * From uploads to pairs, through a running product: videos with sound make triplets, triplets come to the trainer's
 * folder, and users' choices with them. Run on the embedded engines, where the owner of the data folder brings them, and
 * on the real ones, where the trainer's process reads the topics itself.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pino } from 'pino'
import { dataPaths } from '../../cli/paths.ts'
import { type Service, startService } from '../../cli/service.ts'
import { syncTraining, tripletSource, tripletsSince } from '../../cli/train-data.ts'
import { holdingTrainingFolder } from '../../cli/training-folder.ts'
import { SetupError } from '../../ports/errors.ts'
import { type Config, loadConfig } from '../../runtime/config.ts'
import { pairsFromTriplets } from '../../trainer/data/triplet-pairs.ts'
import { standInContent, standInDecoder } from '../support/stand-in-media.ts'
import { standInProfile } from '../support/stand-in-profile.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { untilQuiet } from '../support/until-quiet.ts'

const VIDEOS = 120
const logger = pino({ level: process.env.TEST_LOG ?? 'silent' })

/** @param settings of the engines, as environment. */
export function trainingDataTests(engines: string, settings: () => Promise<Record<string, string>>): void {
  describe(`training data on ${engines}`, () => {
    const dataFolder = temporaryFolder()
    const folder = dataPaths(dataFolder).training
    let config: Config
    let service: Service
    const videos = Array.from({ length: VIDEOS }, (_, i) => `v${i}`)

    before(async () => {
      config = loadConfig({ env: await settings(), flags: { dataFolder, port: '0', logLevel: 'silent' } })
      service = await startService(config, { logger, stages: 'all', profile: standInProfile, decoder: standInDecoder })
      for (const id of videos) await submit(id, 'video')
      await submit('silent', 'video')
      for (const id of ['t0', 't1']) await submit(id, 'track')
      await quiet()
      for (const [video, track, action] of [
        ['v0', 't0', 'chosen'],
        ['v1', 't0', 'chosen'],
        ['v1', 't1', 'previewed'],
      ] as const) {
        const body = { requestId: `of ${video}`, video, track, action, release: 'r', rank: 1 }
        const headers = { 'content-type': 'application/json' }
        const url = new URL('/v1/feedback', service.url)
        assert.equal((await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).status, 202)
      }
    })
    after(() => service.close())

    const submit = (id: string, kind: 'track' | 'video') =>
      service.product.uploads.submit({
        id,
        kind,
        source: {
          content: standInContent({ kind, seconds: 1.5, silent: id === 'silent', seed: id }),
        },
      })
    const quiet = () => untilQuiet(service.product, 240_000)

    test('are each video that has sound with its soundtrack and text, and each choice', async () => {
      const told: number[] = []
      const report = await syncTraining(config, logger, { onRecords: (done) => told.push(done) })
      assert.deepEqual(
        { ...report, added: 0 },
        { triplets: VIDEOS, chosenPairs: 2, added: 0, removed: 0, unreadable: 0 },
      )
      assert.ok(told.at(-1)! >= VIDEOS, 'progress is told')
      const { pairs, soundtracks, encoders, leftOut } = await pairsFromTriplets(folder)
      assert.deepEqual(pairs.videoIds.slice(0, soundtracks), videos.toSorted())
      assert.deepEqual(pairs.videoIds.slice(soundtracks), ['v0', 'v1'])
      assert.equal(pairs.trackIds.at(-1), pairs.trackIds.at(-2), 'one track was chosen for both')
      assert.ok(
        [...pairs.texts!.rows].every((row) => row > 0),
        'each has a text',
      )
      assert.equal(encoders.video, standInProfile.imageEncoder.id)
      assert.deepEqual(leftOut, { otherEncoders: 0, sameMedia: 0, unusable: 0 })
      assert.equal(await tripletsSince(config, 0), VIDEOS)
      assert.equal(await tripletsSince(config, Date.now()), 0)
    })

    test('are split into three parts that share nothing, with the widths of their encoders', async () => {
      const source = tripletSource(config, logger)
      const data = await source({ textEncoder: standInProfile.textEncoder, cacheFolder: temporaryFolder() })
      const { train, validation, evaluation, encoders, description } = data
      assert.equal(train.count + validation.count + evaluation.count, VIDEOS + 2)
      assert.equal(new Set([train, validation, evaluation].flatMap((part) => [...new Set(part.videoIds)])).size, VIDEOS)
      assert.deepEqual(encoders.video, { id: standInProfile.imageEncoder.id, dims: train.video.dims })
      assert.equal(encoders.text.dims, train.texts?.dims)
      assert.match(description, new RegExp(`of ${VIDEOS} videos with their soundtrack`))
    })

    test('hold nothing more of a video that was taken down', async () => {
      await service.product.uploads.remove('v0')
      await quiet()
      const { triplets, chosenPairs } = await syncTraining(config, logger)
      assert.deepEqual({ triplets, chosenPairs }, { triplets: VIDEOS - 1, chosenPairs: 1 })
      assert.ok(!(await pairsFromTriplets(folder)).pairs.videoIds.includes('v0'), 'it is not trained on')
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (/\.(rows|json)$/.test(name)) assert.ok(!readFileSync(join(folder, name)).includes('"v0"'), name)
      }
    })

    test('are not synced while they are read', async () => {
      const refused = holdingTrainingFolder(folder, () => syncTraining(config, logger))
      await assert.rejects(refused, (error) => error instanceof SetupError && error.code === 'training-folder-in-use')
      assert.equal((await syncTraining(config, logger)).triplets, VIDEOS - 1, 'they are afterwards')
    })

    test('are left as they are by a sync that is aborted', async () => {
      const aborted = syncTraining(config, logger, { signal: AbortSignal.abort(new Error('enough')) })
      await assert.rejects(aborted, /enough/)
      assert.equal((await syncTraining(config, logger)).triplets, VIDEOS - 1)
    })
  })
}
