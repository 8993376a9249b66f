/** The page in a real browser, with media of the samples. Skipped where there is no Chromium. */
import assert from 'node:assert/strict'
import { createReadStream, existsSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { chromium, type Page } from 'playwright-core'
import type { RankedTrack } from '../../schemas/types.ts'
import { feedbackRecorded, recommendationsRequested } from '../../topics/topics.ts'
import { answerWith, NOW, openGateway, type Respond, tagged, uploadReceived } from '../unit/gateway/harness.ts'

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
const sample = (path: string) => fileURLToPath(new URL(`../../samples/${path}`, import.meta.url))
const SCENE = sample('video/big-buck-bunny-030s.mp4')
const SONG = sample('music/calm_acoustic_1.opus')
const HOSTILE_TITLE = '<img src=x onerror="document.title=\'owned\'">'

const missing = [executablePath, SCENE, SONG].find((path) => !existsSync(path))

/** @param settings of the engines behind its gateway, as environment; embedded ones if absent. */
export function page(engines: string, settings?: () => Promise<Record<string, string>>): void {
  test(`the page on ${engines}`, { skip: missing ? `${missing} is not there` : false }, async (t) => {
    let respond: Respond = () => ({ total: 0 })
    const gateway = await openGateway({ maxUploadBytes: 20 * 1024 * 1024 }, await settings?.())
    const { catalogue, mediaStore } = gateway
    const song = await mediaStore.put(createReadStream(SONG))
    const scene = await mediaStore.put(createReadStream(SCENE))
    for (const [id, title] of [
      ['t1', 'Morning walk'],
      ['t2', HOSTILE_TITLE],
    ] as const) {
      await catalogue.putTrack(id, { upload: uploadReceived(id, 'track', { title, media: song }), tagged: tagged(id) })
    }
    await catalogue.putVideo('v1', { upload: uploadReceived('v1', 'video', { title: 'A meadow', media: scene }) })
    await analysed('v1')
    await answerWith(gateway, (query, headers) => respond(query, headers))
    await gateway.app.listen({ host: '127.0.0.1', port: 0 })
    const base = `http://127.0.0.1:${(gateway.app.server.address() as AddressInfo).port}`
    const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--mute-audio']
    const browser = await chromium.launch({ executablePath, args })
    gateway.onClose(() => browser.close())

    /** What the analysis of a video leaves in the catalogue. */
    async function analysed(id: string): Promise<void> {
      const values = new Float32Array(4)
      const features = { encoderId: 'e', values, segments: 2, dims: 2, segmentSeconds: 10, durationSeconds: 20 }
      await gateway.catalogue.putVideo(id, { features })
      await gateway.catalogue.recordStage({ id, kind: 'video' }, 'analyse-video', NOW)
    }

    const ranked = (trackId: string, score: number, startSeconds = 0): RankedTrack => ({
      trackId,
      score,
      parts: { video: score },
      highlight: startSeconds > 0 ? { startSeconds, seconds: 10 } : null,
      why: ['Both are calm'],
    })

    /** Opens the page; anything that the browser complains of fails the test. */
    async function open(path = '/'): Promise<{ page: Page; complaints: string[] }> {
      const page = await browser.newPage()
      page.setDefaultTimeout(20_000)
      const complaints: string[] = []
      page.on('pageerror', (error) => complaints.push(error.message))
      page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
      await page.goto(base + path)
      return { page, complaints }
    }

    await t.test('a video is chosen at once, words change the list, and titles are never markup', async () => {
      respond = ({ text }) => {
        const results = [ranked('t1', 0.5), ranked('t2', 0.25)]
        return { total: 2, results: text === null ? results : results.reverse() }
      }
      const { page, complaints } = await open()
      await page.getByRole('radio', { name: 'A meadow', checked: true }).waitFor({ state: 'attached' })
      await page.getByText('Best 2 of 2 tracks, for A meadow').waitFor()
      await page.getByLabel('What should it sound like?').fill('calm')
      await page.keyboard.press('Enter')
      await page.getByText('Best 2 of 2 tracks, for A meadow and “calm”').waitFor()
      assert.deepEqual(await page.locator('.track h3').allTextContents(), [HOSTILE_TITLE, 'Morning walk'])
      assert.notEqual(await page.title(), 'owned')
      assert.equal(await page.locator('.track img').count(), 0)
      assert.match((await page.locator('.track .facts').last().textContent()) ?? '', /93 bpm\s· G major\s· 0:32/)
      assert.equal(new URL(page.url()).search, '?video=v1&text=calm')
      assert.deepEqual(complaints, [])
      await page.close()
    })

    await t.test('a track plays under the muted video, in step with it, from its highlight on', async () => {
      respond = () => ({ total: 1, results: [ranked('t1', 0.5, 8)] })
      const { page, complaints } = await open()
      await page.getByRole('button', { name: 'Play Morning walk' }).click()
      await page.waitForFunction(hasPlayed, 1.5)
      const { video, audio, muted } = await page.evaluate(mediaState)
      assert.ok(Math.abs(audio - (video + 8)) < 0.4, `music at ${audio} s, picture at ${video} s`)
      assert.equal(muted, true)
      await page.getByRole('button', { name: 'Pause Morning walk' }).click()
      await page.waitForFunction(isSilent)
      const [feedback] = await gateway.written(feedbackRecorded)
      assert.deepEqual(
        [feedback?.value.action, feedback?.value.trackId, feedback?.value.videoId],
        ['previewed', 't1', 'v1'],
      )
      assert.deepEqual(complaints, [])
      await page.close()
    })

    await t.test('an added video is shown through its stages and asked with as soon as it is ready', async () => {
      respond = ({ videoId }) => ({ total: 1, results: videoId === 'v1' ? [] : [ranked('t1', 0.5)] })
      const { page, complaints } = await open()
      const answered = page.waitForResponse((response) => response.url().endsWith('/v1/uploads'))
      await page.locator('#file').setInputFiles(SCENE)
      const { id } = await (await answered).json()
      await page.locator('.steps .done', { hasText: 'Received' }).waitFor()
      await analysed(id)
      await page.getByRole('radio', { name: 'big-buck-bunny-030s', checked: true }).waitFor({ state: 'attached' })
      await page.getByText('Best 1 of 1 track, for big-buck-bunny-030s').waitFor()
      assert.deepEqual(complaints, [])
      await page.close()
    })

    await t.test('an upload that fails is told in words beside its name', async () => {
      respond = () => ({ total: 0 })
      const { page } = await open()
      const answered = page.waitForResponse((response) => response.url().endsWith('/v1/uploads'))
      await page
        .locator('#file')
        .setInputFiles({ name: 'notes.mp4', mimeType: 'video/mp4', buffer: Buffer.from('hello') })
      const { id } = await (await answered).json()
      const failure = { stage: 'analyse-video', code: 'media-format', message: 'not a container', at: NOW }
      await gateway.catalogue.recordFailure({ id, kind: 'video' }, failure)
      await page.getByText('was not added. This file is not a video that can be read here.').waitFor()
      await page.close()
    })

    await t.test('filters and weights are sent, and an answer that does not come is told in words', async () => {
      respond = () => ({ total: 0 })
      const { page } = await open('/?text=slow')
      await page.getByText('No track passes these filters').waitFor()
      await page.getByText('Refine').click()
      await page.getByLabel('Tempo from').fill('80')
      await page.getByLabel('Mode').selectOption('minor')
      await page.getByLabel('Leave out explicit tracks').check()
      respond = () => ({ release: null, error: { code: 'no-release', message: 'none yet' } })
      await page.getByLabel('What counts more').fill('1')
      await page.getByRole('alert').filter({ hasText: 'The model is still starting' }).waitFor()
      const queries = await gateway.written(recommendationsRequested)
      const last = queries.map(({ value }) => value).find(({ weights }) => weights.video === 0)
      assert.deepEqual(last?.weights, { text: 2, video: 0 })
      assert.deepEqual(
        last?.filters.map(({ field, anyOf, min }) => [field, anyOf, min]),
        [
          ['bpm', [], 80],
          ['mode', ['minor'], null],
          ['explicit', ['no'], null],
        ],
      )
      respond = () => ({ total: 1, results: [ranked('t1', 0.5)] })
      await page.getByRole('button', { name: 'Try again' }).click()
      await page.getByRole('heading', { name: 'Morning walk' }).waitFor()
      await page.close()
    })

    await t.test('the keyboard alone finds and plays a track', async () => {
      respond = () => ({ total: 1, results: [ranked('t1', 0.5)] })
      const { page } = await open('/?text=slow')
      await page.getByRole('heading', { name: 'Morning walk' }).waitFor()
      await page.keyboard.press('Tab')
      await page.keyboard.press('Enter') // skip to the tracks
      await page.keyboard.press('Tab')
      await page.keyboard.press('Enter')
      await page.getByRole('button', { name: 'Pause Morning walk' }).waitFor()
      await page.close()
    })
  })
}

// These run in the browser, so they stand alone.
interface Media {
  readonly currentTime: number
  readonly paused: boolean
  readonly muted: boolean
}
type InBrowser = { readonly document: { querySelector(selector: '#video' | 'audio'): Media } }

function hasPlayed(seconds: number): boolean {
  return (globalThis as unknown as InBrowser).document.querySelector('#video').currentTime > seconds
}

function mediaState() {
  const { document } = globalThis as unknown as InBrowser
  const { currentTime: video, muted } = document.querySelector('#video')
  return { video, audio: document.querySelector('audio').currentTime, muted }
}

function isSilent(): boolean {
  const { document } = globalThis as unknown as InBrowser
  return document.querySelector('#video').paused && document.querySelector('audio').paused
}
