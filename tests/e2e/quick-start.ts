/** What the README promises: the samples through every stage, an answer, and a second start that repeats nothing. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connectApi } from '../../cli/api-client.ts'
import { type ProductProcess, runCommand, startProduct } from '../support/product-process.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

/** @param settings of the engines that it runs on, as environment. */
export function quickStart(engines: string, settings: () => Promise<Record<string, string>>): void {
  describe(`the quick start on ${engines}`, () => {
    const folder = temporaryFolder()
    let product: ProductProcess
    let env: Record<string, string>

    before(async () => {
      env = await settings()
      const first = await runCommand(folder, ['up', '--once'], env)
      assert.equal(first.code, 0, first.stderr)
      assert.match(first.stdout, /34 ready, 0 failed/)
      assert.match(first.stdout, /28 tracks match the filters; release zero-shot-1/)
      product = await startProduct(folder, { args: ['up'], env })
    })
    after(() => product?.kill())

    const records = async (topic: string) => {
      const text = await (await fetch(`${product.url}/metrics`)).text()
      const counts = [
        ...text.matchAll(new RegExp(`^cuestream_stage_records_total\\{.*topic="${topic}".*\\} (\\d+)`, 'gm')),
      ]
      return counts.reduce((sum, [, count]) => sum + Number(count), 0)
    }

    test('a second start has everything and processes nothing again', async () => {
      const api = connectApi(product.url)
      const { counts } = await api.pipeline()
      assert.deepEqual(counts, { tracks: 28, videos: 6, uploads: 34, failed: 0 })
      await until('every stage to run', async () => {
        const { stages } = await api.pipeline()
        return stages.length > 0 && stages.every(({ state, lagRecords }) => state === 'running' && lagRecords === 0)
      })
      for (const topic of ['uploads.received.v1', 'music.features.v1', 'video.features.v1', 'music.embedded.v1']) {
        assert.equal(await records(topic), 0, topic)
      }
    })

    test('other words change the ranking for the same video, and another video changes it for the same words', async () => {
      const api = connectApi(product.url)
      const rank = async (video: string, text?: string) =>
        (await api.recommend({ video, text, limit: 28 })).results.map(({ track }) => track.id)
      const videos = ['big-buck-bunny-030s', 'big-buck-bunny-165s', 'big-buck-bunny-330s']
      const texts = ['calm acoustic guitar music', 'energetic electronic music', 'sad slow piano']
      const byVideo = await Promise.all(videos.map((video) => rank(video, texts[0])))
      const byText = await Promise.all(texts.map((text) => rank(videos[0]!, text)))
      const moved = meanDistance(byVideo)
      assert.ok(moved > 0, 'the video makes no difference')
      assert.ok(meanDistance(byText) > moved, `words move ${meanDistance(byText)}, videos ${moved}`)
      assert.equal((await rank(videos[0]!)).length, 28)
    })

    test('filters leave out what does not match, and the count is of what does', async () => {
      const api = connectApi(product.url)
      const slow = await api.recommend({ text: 'calm', limit: 28, filters: { bpm: { max: 100 } } })
      assert.equal(slow.results.length, slow.total)
      assert.ok(slow.total > 0 && slow.total < 28)
      for (const { track } of slow.results) assert.ok(track.tempo!.bpm <= 100, `${track.id}: ${track.tempo!.bpm}`)
    })

    test('a takedown leaves the answers, the catalogue and the uploads', async () => {
      const id = 'calm_acoustic_1'
      assert.equal((await fetch(`${product.url}/v1/uploads/${id}`, { method: 'DELETE' })).status, 202)
      const api = connectApi(product.url)
      for (let tries = 0; ; tries++) {
        const { results } = await api.recommend({ text: 'calm acoustic guitar music', limit: 28 })
        if (!results.some(({ track }) => track.id === id)) break
        assert.ok(tries < 500, 'still recommended')
      }
      assert.equal((await fetch(`${product.url}/v1/tracks/${id}`)).status, 404)
    })

    test('the command line asks the running service, and says when a folder is in use', async () => {
      const status = await runCommand(folder, ['status'], env)
      assert.match(status.stdout, new RegExp(`Running: process ${product.process.pid}`))
      const second = await runCommand(folder, ['up', '--no-samples'], env)
      assert.equal(second.code, 2)
      assert.match(second.stderr, /data-folder-in-use/)
      const answer = await runCommand(
        folder,
        ['recommend', 'big-buck-bunny-110s', '--text', 'jazz', '--filter', 'bpm=60..200', '--limit', '2'],
        env,
      )
      assert.equal(answer.stdout.split('\n').filter((line) => /^\d\. /.test(line)).length, 2)
      const wrong = await runCommand(folder, ['recommend', '--text', 'jazz', '--filter', 'colour=red'], env)
      assert.equal(wrong.code, 2)
      assert.match(wrong.stderr, /unknown-filter/)
    })

    test('SIGTERM ends it cleanly, and the folder is free again', async () => {
      assert.equal(await product.stop(), 0)
      const status = await runCommand(folder, ['status'], env)
      assert.match(status.stdout, /Not running/)
      assert.match(status.stdout, /27 tracks, 6 videos/)
    })
  })
}

/** Mean over pairs of rankings of how many places an item moves. */
function meanDistance(rankings: readonly (readonly string[])[]): number {
  let [sum, pairs] = [0, 0]
  for (const [i, a] of rankings.entries()) {
    for (const b of rankings.slice(i + 1)) {
      pairs++
      for (const [place, id] of a.entries()) sum += Math.abs(place - b.indexOf(id)) / a.length
    }
  }
  return sum / pairs
}
