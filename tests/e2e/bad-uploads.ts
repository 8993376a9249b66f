/** Each kind of bad upload and request gets a clear error by its id, and everything beside it goes on. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pino } from 'pino'
import { type ApiClient, connectApi } from '../../cli/api-client.ts'
import { readManifest } from '../../cli/manifest.ts'
import { repositoryPaths } from '../../cli/paths.ts'
import { type Service, startService } from '../../cli/service.ts'
import { loadConfig } from '../../runtime/config.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'
import { aviWithInnerFile, claimPictureSize, hlsPlaylist } from '../unit/media/hostile-files.ts'
import { ffmpeg, picture, silence, tone } from '../unit/media/make-media.ts'

const MAX_MEGABYTES = 4

/** @param settings of the engines that it runs on, as environment. */
export function badUploads(engines: string, settings: () => Promise<Record<string, string>>): void {
  describe(`bad uploads and requests on ${engines}`, () => {
    const folder = temporaryFolder()
    const at = (name: string) => join(folder, name)
    let service: Service
    let api: ApiClient

    before(async () => {
      const flags = { dataFolder: at('data'), port: 0, maxUploadMegabytes: MAX_MEGABYTES, logLevel: 'silent' }
      service = await startService(loadConfig({ env: await settings(), flags }), {
        logger: pino({ level: 'silent' }),
        stages: 'all',
      })
      api = connectApi(service.url)
    })
    after(() => service?.close())

    async function settled(id: string) {
      return until(
        `${id} to settle`,
        async () => {
          const upload = await api.upload(id)
          return upload.state !== 'analysing' && upload
        },
        120_000,
      )
    }

    async function assertFails(kind: 'track' | 'video', id: string, path: string, code: string): Promise<void> {
      await api.submit({ kind, id, path })
      const { state, failure } = await settled(id)
      assert.equal(state, 'failed', id)
      assert.equal(failure?.code, code, `${id}: ${failure?.message}`)
      assert.ok((failure?.message.length ?? 0) > 20, 'a sentence for the user')
      assert.ok(!failure?.message.includes(folder), 'no path of the server')
      const letters = await api.deadLetters()
      assert.ok(
        letters.some((letter) => letter.key === id && letter.code === code),
        `${id} is in the dead letters`,
      )
    }

    const post = async (path: string, body: string, type = 'application/json') => {
      const response = await fetch(service.url + path, { method: 'POST', body, headers: { 'content-type': type } })
      return { status: response.status, problem: (await response.json()) as { code: string; detail: string } }
    }

    test('files that are not what they say go to the dead letters by their cause, and the good ones beside them become ready', async () => {
      const samples = await readManifest(repositoryPaths.samples)
      const good = samples.filter(({ kind }) => kind === 'track').slice(0, 2)
      const video = samples.find(({ kind }) => kind === 'video')!
      const goodOnes = [...good, video].map(({ path, kind, id }) => ({ path: path!, kind: kind!, id: id! }))
      const ready = Promise.all(goodOnes.map((upload) => api.submit(upload)))

      writeFileSync(at('words.mp3'), 'All work and no play.\n'.repeat(100))
      const whole = readFileSync(video.path!)
      writeFileSync(at('cut.mp4'), whole.subarray(0, Math.floor(whole.length / 2)))
      await ffmpeg(...silence(4), at('silence.wav'))
      await ffmpeg(...tone(2), at('blind.m4a'))
      await ffmpeg(...picture(1), '-t', '0', at('zero.mp4'))
      await ffmpeg(...picture(1), '-frames:v', '1', '-c:v', 'mjpeg', at('small.mov'))
      writeFileSync(at('huge.mov'), claimPictureSize(readFileSync(at('small.mov')), 'jpeg', 20_000))
      writeFileSync(at('secret.txt'), 'the secret of this machine')
      writeFileSync(at('list.m3u8'), hlsPlaylist(at('secret.txt')))
      writeFileSync(at('remote.mp4'), hlsPlaylist('http://127.0.0.1:9/x.ts'))

      await Promise.all([
        assertFails('track', 'text-as-mp3', at('words.mp3'), 'media-format'),
        assertFails('video', 'truncated', at('cut.mp4'), 'media-unreadable'),
        assertFails('track', 'silent', at('silence.wav'), 'media-silent'),
        assertFails('video', 'no-pictures', at('blind.m4a'), 'media-no-video'),
        assertFails('video', 'zero-duration', at('zero.mp4'), 'media-format'),
        assertFails('video', 'huge', at('huge.mov'), 'media-too-many-pixels'),
        assertFails('track', 'playlist', at('list.m3u8'), 'media-format'),
        assertFails('video', 'remote-playlist', at('remote.mp4'), 'media-format'),
      ])
      await ready
      for (const { id } of goodOnes) assert.equal((await settled(id)).state, 'ready', id)
    })

    test('a video without sound is ready: its words and pictures are enough', async () => {
      await ffmpeg(...picture(3), at('mute.mp4'))
      await api.submit({ kind: 'video', id: 'mute', path: at('mute.mp4') })
      assert.equal((await settled('mute')).state, 'ready')
      assert.equal((await settled('mute')).failure, null)
    })

    test('a track without sound is refused as such', async () => {
      await ffmpeg(...picture(2), at('mute-track.mp4'))
      await assertFails('track', 'mute-track', at('mute-track.mp4'), 'media-no-audio')
    })

    test('an AVI in disguise gives nothing of the file it points at', async () => {
      writeFileSync(at('disguise.avi'), aviWithInnerFile(Buffer.from(hlsPlaylist(at('secret.txt')))))
      await api.submit({ kind: 'video', id: 'disguise', path: at('disguise.avi') })
      await settled('disguise')
      const media = await fetch(`${service.url}/v1/videos/disguise/media`)
      assert.ok(!(await media.text()).includes('the secret of this machine'))
    })

    test('an empty file is refused at once', async () => {
      writeFileSync(at('empty.mp4'), '')
      await assert.rejects(api.submit({ kind: 'video', path: at('empty.mp4') }), { code: 'media-empty' })
    })

    test('three gigabytes are refused before they are sent', async () => {
      const bytes = 3 * 1024 ** 3
      const status = await new Promise<number>((resolve, reject) => {
        const headers = { 'content-type': 'multipart/form-data; boundary=x', 'content-length': bytes }
        const sending = request(`${service.url}/v1/uploads`, { method: 'POST', headers })
        sending.on('response', (response) => resolve(response.statusCode ?? 0))
        sending.on('error', reject)
        sending.flushHeaders()
      })
      assert.equal(status, 413)
    })

    test('a stream of unknown length is cut off at the limit, and nothing of it is kept', async () => {
      let sent = 0
      async function* endless() {
        yield Buffer.from('--x\r\ncontent-disposition: form-data; name="kind"\r\n\r\ntrack\r\n')
        yield Buffer.from('--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n')
        for (; sent < 64 * 1024 ** 2; sent += 65_536) yield Buffer.alloc(65_536)
      }
      const response = await fetch(`${service.url}/v1/uploads`, {
        method: 'POST',
        body: ReadableStream.from(endless()),
        headers: { 'content-type': 'multipart/form-data; boundary=x' },
        duplex: 'half',
      } as RequestInit)
      assert.equal(response.status, 413)
      assert.equal(((await response.json()) as { code: string }).code, 'media-too-large')
    })

    test('fifty uploads of one file are one upload', async () => {
      await ffmpeg(...tone(4), at('same.wav'))
      const uploads = await Promise.all(
        Array.from({ length: 50 }, () => api.submit({ kind: 'track', path: at('same.wav') })),
      )
      assert.equal(new Set(uploads.map(({ id }) => id)).size, 1)
      assert.equal(uploads.filter(({ duplicate }) => !duplicate).length, 1)
      assert.equal((await settled(uploads[0]!.id)).state, 'ready')
    })

    test('an id or a path with .. reaches no file', async () => {
      writeFileSync(at('tone.wav'), readFileSync(at('same.wav')))
      await assert.rejects(api.submit({ kind: 'track', id: '../secret', path: at('tone.wav') }), {
        code: 'invalid-request',
      })
      for (const path of [
        '/v1/tracks/..%2f..%2fsecret.txt/media',
        '/assets/..%2f..%2fpackage.json',
        '/assets/%2e%2e/package.json',
      ]) {
        const response = await fetch(service.url + path)
        assert.ok(response.status === 404 || response.status === 400, `${path}: ${response.status}`)
        assert.ok(!(await response.text()).includes('cuestream"'))
      }
      writeFileSync(at('manifest.jsonl'), '{"path":"../../etc/passwd"}\n')
      await assert.rejects(readManifest(at('manifest.jsonl')), /leaves the manifest's folder/)
    })

    test('requests that make no sense are 4xx with a code', async () => {
      const ask = (body: unknown) => post('/v1/recommendations', JSON.stringify(body))
      const cases: readonly [Awaited<ReturnType<typeof post>>, number, string][] = [
        [await post('/v1/recommendations', '{"text": '), 400, 'invalid-json'],
        [await ask({ text: 'jazz', filters: { colour: 'red' } }), 400, 'unknown-filter'],
        [await ask({ text: 'jazz', filters: { bpm: { min: 'fast' } } }), 400, 'invalid-filter'],
        [await ask({}), 400, 'nothing-asked'],
        [await ask({ video: 'no-such-video' }), 404, 'unknown-video'],
        [await ask({ text: 'jazz', likeTrack: 'no-such-track' }), 404, 'unknown-track'],
        [await ask({ text: 'jazz', limit: 0 }), 400, 'invalid-request'],
        [await ask({ text: 'jazz', cursor: 'abc' }), 400, 'bad-cursor'],
        [await ask({ text: 'x'.repeat(1_001) }), 400, 'invalid-request'],
        [await ask({ video: 'no-pictures' }), 422, 'video-failed'],
        [await post('/v1/uploads', 'kind=track', 'application/x-www-form-urlencoded'), 415, 'unsupported-media-type'],
        [
          await post('/v1/uploads', JSON.stringify({ kind: 'track', uri: 'https://example.com/a.mp3' })),
          422,
          'uri-not-allowed',
        ],
      ]
      for (const [{ status, problem }, wanted, code] of cases) {
        assert.deepEqual([status, problem.code], [wanted, code], problem.detail)
      }
    })

    test('a request past its deadline is a 504, and the service goes on', async () => {
      const late = await post('/v1/recommendations', JSON.stringify({ text: 'jazz', deadlineMs: 1 }))
      assert.deepEqual([late.status, late.problem.code], [504, 'deadline-exceeded'])
      assert.ok((await api.recommend({ text: 'jazz' })).results.length > 0)
    })

    test('a dead letter is shown whole, redriven to the stage that failed, and fails there again', async () => {
      const [letter] = (await api.deadLetters()).filter(({ key }) => key === 'silent')
      const shown = await api.deadLetter(letter!.position)
      assert.equal((shown.value as { uploadId: string }).uploadId, 'silent')
      const failedAt = async () =>
        ((await (await fetch(`${service.url}/v1/uploads/silent`)).json()) as { failure: { at: number } }).failure.at
      const before = await failedAt()
      assert.deepEqual(await api.redrive([letter!.position]), { redriven: 1, superseded: 0, incomplete: 0 })
      await until('the redriven upload to fail again', async () => (await failedAt()) > before)
      const open = (await api.deadLetters()).filter(({ key }) => key === 'silent')
      assert.equal(open.length, 1, 'only the newest letter of a failure is open, so redriving all does not double it')
      assert.notEqual(open[0]!.position, letter!.position)
    })
  })
}
