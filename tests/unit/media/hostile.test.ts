import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ffmpegDecoder } from '../../../adapters/media/ffmpeg-decoder.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { aviWithInnerFile, claimDuration, claimPictureSize, hlsPlaylist, movWithExternalData } from './hostile-files.ts'
import {
  binaries,
  ffmpeg,
  frameCount,
  picture,
  readFrames,
  readSamples,
  sampleCount,
  silence,
  tone,
} from './make-media.ts'

const folder = temporaryFolder()
const at = (name: string) => join(folder, name)
const decoder = ffmpegDecoder(binaries)

/** Tries all three ways in; each must fail with the code, in words for a user: no path, nothing of the decoder's. */
async function assertRefused(path: string, code: string, message: RegExp): Promise<void> {
  for (const attempt of [
    () => decoder.probe(path),
    () => readFrames(decoder, path),
    () => readSamples(decoder, path),
  ]) {
    await assert.rejects(attempt, (error: Error & { code: string }) => {
      assert.equal(error.code, code, error.message)
      assert.match(error.message, message)
      assert.ok(!error.message.includes(folder), error.message)
      return true
    })
  }
}

const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(at(name), content)
  return at(name)
}

const isSilent = (chunks: readonly Float32Array[]) => chunks.every((chunk) => chunk.every((value) => value === 0))

// --- Broken and odd files ---------------------------------------------------------------------------------------

test('an empty file is called empty', () => assertRefused(write('empty.mp4', ''), 'media-empty', /empty/))

test('a text file named .mp3 is called a text file', () =>
  assertRefused(write('words.mp3', 'All work and no play.\n'.repeat(1000)), 'media-format', /text file/))

test('random bytes are not media', () =>
  assertRefused(
    write('noise.mp4', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 251))),
    'media-format',
    /unknown/,
  ))

test('pictures, documents and archives are named', async () => {
  await assertRefused(write('b.png', Buffer.from('89504e470d0a1a0a', 'hex')), 'media-format', /picture/)
  await assertRefused(write('a.pdf', '%PDF-1.7 …'), 'media-format', /PDF/)
  await assertRefused(write('a.zip', Buffer.from('504b0304', 'hex')), 'media-format', /ZIP/)
})

test('a cut mp4 is called cut off, with its index in front or behind', async () => {
  await ffmpeg(...picture(3), at('back.mp4'))
  await ffmpeg(...picture(3), '-movflags', '+faststart', at('front.mp4'))
  for (const name of ['back.mp4', 'front.mp4']) {
    const whole = readFileSync(at(name))
    for (const part of [0.5, 0.9, 0.999]) {
      await assertRefused(
        write('cut.mp4', whole.subarray(0, Math.floor(whole.length * part))),
        'media-unreadable',
        /cut off/,
      )
    }
  }
})

test('a cut file of another kind either gives what is there or a clear error', async () => {
  for (const name of ['cut.mkv', 'cut.avi', 'cut.flv', 'cut.ts']) {
    await ffmpeg(...picture(3), at(name))
    const whole = readFileSync(at(name))
    for (const part of [0.01, 0.1, 0.7]) {
      write(name, whole.subarray(0, Math.floor(whole.length * part)))
      const frames = await readFrames(decoder, at(name)).then(frameCount, (error: { code: string }) => {
        assert.match(error.code, /^media-(unreadable|no-video|format)$/)
        return 0
      })
      assert.ok(frames <= 18)
    }
  }
})

test('silence is decoded as it is', async () => {
  await ffmpeg(...silence(2), at('silence.wav'))
  const chunks = await readSamples(decoder, at('silence.wav'))
  assert.equal(sampleCount(chunks), 32_000)
  assert.ok(isSilent(chunks))
})

test('a video without sound has pictures and says that it has no sound', async () => {
  await ffmpeg(...picture(1), at('mute.mp4'))
  assert.equal(frameCount(await readFrames(decoder, at('mute.mp4'))), 6)
  await assert.rejects(readSamples(decoder, at('mute.mp4')), { code: 'media-no-audio', message: /no sound/ })
})

test('sound without pictures says that it has no pictures', async () => {
  await ffmpeg(...tone(1), at('blind.m4a'))
  await assert.rejects(readFrames(decoder, at('blind.m4a')), { code: 'media-no-video', message: /no pictures/ })
})

test('a file of zero duration says that nothing is in it', async () => {
  await ffmpeg(...picture(1), '-t', '0', at('zero.mp4'))
  await assertRefused(at('zero.mp4'), 'media-format', /neither sound nor pictures/)
  await ffmpeg(...tone(1), '-t', '0', at('zero.wav'))
  await assert.rejects(readSamples(decoder, at('zero.wav')), { code: 'media-no-audio', message: /no sound/ })
})

// --- Bombs and lies ---------------------------------------------------------------------------------------------

test('a picture of 20,000 × 20,000 pixels is refused by its size', async () => {
  await ffmpeg(...picture(1), '-frames:v', '1', '-c:v', 'mjpeg', at('small.mov'))
  await assertRefused(
    write('huge.mov', claimPictureSize(readFileSync(at('small.mov')), 'jpeg', 20_000)),
    'media-too-many-pixels',
    /20000 × 20000/,
  )
})

test('a header that claims 20,000 × 20,000 pixels is refused or decoded as the small picture that it is', async () => {
  await ffmpeg(...picture(1), '-c:v', 'libx264', at('small.mp4'))
  const path = write('claims.mp4', claimPictureSize(readFileSync(at('small.mp4')), 'avc1', 20_000))
  const outcome = await readFrames(decoder, path).then(frameCount, (error: { code: string }) => error.code)
  assert.ok(outcome === 6 || outcome === 'media-too-many-pixels', `${outcome}`)
})

test('a small file of pictures over the pixel limit is refused before it is decoded', async () => {
  await ffmpeg(...['-f', 'lavfi', '-i', 'color=black:size=8000x7000:rate=1:duration=1', '-c:v', 'png', at('bomb.mov')])
  assert.ok(readFileSync(at('bomb.mov')).length < 200_000)
  await assertRefused(at('bomb.mov'), 'media-too-many-pixels', /8000 × 7000/)
})

test('a side over its limit is refused even where the pixels are few', async () => {
  await ffmpeg(...['-f', 'lavfi', '-i', 'color=black:size=17000x16:rate=1:duration=1', '-c:v', 'png', at('strip.mov')])
  await assertRefused(at('strip.mov'), 'media-too-many-pixels', /17000 × 16/)
})

test('pictures that need a larger allocation than allowed end in an error', async () => {
  await ffmpeg(...['-f', 'lavfi', '-i', 'color=black:size=4000x4000:rate=1:duration=1', '-c:v', 'png', at('large.mov')])
  assert.equal(frameCount(await readFrames(decoder, at('large.mov'))), 6)
  const small = ffmpegDecoder(binaries, { maxAllocationBytes: 20 * 2 ** 20 })
  await assert.rejects(readFrames(small, at('large.mov')), { code: /^media-(unreadable|no-video)$/ })
})

test('a video longer than the limit is stopped there, whatever its header says', async () => {
  await ffmpeg(...picture(10), ...tone(10), at('ten.mp4'))
  const path = write('says-less.mp4', claimDuration(readFileSync(at('ten.mp4')), 1000))
  const strict = ffmpegDecoder(binaries, { maxDurationSeconds: 5 })
  for (const file of [at('ten.mp4'), path]) {
    await assert.rejects(readFrames(strict, file), { code: 'media-too-long', message: /5 seconds/ })
    await assert.rejects(readSamples(strict, file), { code: 'media-too-long' })
  }
})

test('a header that claims a hundred hours changes nothing', async () => {
  await ffmpeg(...picture(2), at('two.mp4'))
  const path = write('says-more.mp4', claimDuration(readFileSync(at('two.mp4')), 360_000_000))
  assert.equal(frameCount(await readFrames(decoder, path)), 12)
})

test('a jump in time of weeks does not fill memory or disk with repeated pictures', async () => {
  await ffmpeg(...picture(2), '-vf', 'setpts=PTS+gte(N\\,12)*2000000/TB', '-vsync', 'passthrough', at('jump.mkv'))
  const strict = ffmpegDecoder(binaries, { maxDurationSeconds: 30 })
  const outcome = await readFrames(strict, at('jump.mkv')).then(frameCount, (error: { code: string }) => error.code)
  assert.ok(outcome === 'media-too-long' || Number(outcome) <= 180, `${outcome}`)
})

test('a few bytes at one sample a second are no hour of sound', async () => {
  await ffmpeg(...tone(1), '-ac', '1', '-c:a', 'pcm_u8', '-bitexact', at('slow.wav'))
  const wav = readFileSync(at('slow.wav'))
  wav.writeUInt32LE(1, 24) // samples a second
  wav.writeUInt32LE(1, 28) // bytes a second
  await assert.rejects(readSamples(decoder, write('slow.wav', wav)), {
    code: 'media-no-audio',
    message: '1 samples a second are no sound',
  })
})

test('sound of floats that are no numbers, or beyond all measure, is refused; over full scale it is not', async () => {
  await ffmpeg(...tone(1), '-ac', '1', '-ar', '16000', '-c:a', 'pcm_f32le', '-bitexact', at('floats.wav'))
  const whole = readFileSync(at('floats.wav'))
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -3e38, 32_768]) {
    const wav = Buffer.from(whole)
    for (let sample = 4000; sample < 8000; sample++) wav.writeFloatLE(value, wav.length - 4 * sample)
    const reading = readSamples(decoder, write('odd-floats.wav', wav))
    if (value === 32_768) assert.ok((await reading).length > 0)
    else await assert.rejects(reading, { code: 'media-unreadable', message: /no sound/ }, `${value}`)
  }
})

test('a file over the size limit is not opened', async () => {
  await ffmpeg(...tone(2), at('fat.wav'))
  const strict = ffmpegDecoder(binaries, { maxFileBytes: 1000 })
  await assert.rejects(strict.probe(at('fat.wav')), { code: 'media-too-large' })
})

// --- Files that point elsewhere ---------------------------------------------------------------------------------

let requests = 0
const server = createServer((_request, response) => {
  requests += 1
  response.end(readFileSync(at('canary.ts')))
})
let url = ''

/** The canary is loud and bright, so that one sample or pixel of it would show. */
before(async () => {
  await ffmpeg(...picture(2), ...tone(2), '-c:v', 'mpeg2video', '-c:a', 'mp2', at('canary.ts'))
  await ffmpeg(...tone(2), '-c:a', 'pcm_s16le', at('canary.mov'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/canary.ts`
})
after(() => server.close())

test('control: an ffmpeg without the locks does follow a playlist to a file and to a URL', async () => {
  const raw = (...argv: string[]) => ffmpeg(...argv, '-f', 'f32le', '-ac', '1', 'pipe:1')
  const open = ['-protocol_whitelist', 'file,http,tcp,crypto', '-allowed_extensions', 'ALL']
  assert.ok((await raw(...open, '-i', write('local.m3u8', hlsPlaylist(at('canary.ts'))))).length > 0)
  assert.ok((await raw(...open, '-i', write('remote.m3u8', hlsPlaylist(url)))).length > 0)
  assert.ok(requests > 0)
  requests = 0
})

test('a playlist is refused, whatever it is called, and nothing is fetched', async () => {
  for (const target of [at('canary.ts'), `file://${at('canary.ts')}`, url]) {
    for (const name of ['list.m3u8', 'list.mp4', 'list.mp3', 'list.avi']) {
      await assertRefused(write(name, hlsPlaylist(target)), 'media-format', /playlist/)
    }
  }
  assert.equal(requests, 0)
})

test('scripts, session descriptions, drawings and subtitles that point elsewhere are refused', async () => {
  const concat = `ffconcat version 1.0\nfile '${at('canary.ts')}'\n`
  const sdp = `v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n`
  const svg = `<svg xmlns="http://www.w3.org/2000/svg"><image href="${url}"/><image href="file://${at('canary.ts')}"/></svg>`
  const dash = `<?xml version="1.0"?><MPD><Period><BaseURL>${url}</BaseURL></Period></MPD>`
  const srt = `1\n00:00:00,000 --> 00:00:01,000\n<img src="${url}">\n`
  for (const [name, content] of Object.entries({
    'a.ffconcat': concat,
    'a.sdp': sdp,
    'a.svg': svg,
    'a.mpd': dash,
    'a.srt': srt,
  })) {
    await assertRefused(write(name, content), 'media-format', /list of other files|text file|XML/)
    await assertRefused(write(`${name}.mp4`, content), 'media-format', /list of other files|text file|XML/)
  }
  assert.equal(requests, 0)
})

test('an AVI that carries a playlist as its subtitles gives its own black picture and nothing else', async () => {
  for (const target of [at('canary.ts'), `file://${at('canary.ts')}`, `concat:${at('canary.ts')}|x`, url]) {
    for (const inner of [hlsPlaylist(target), `ffconcat version 1.0\nfile '${target}'\n`]) {
      const path = write('disguised.avi', aviWithInnerFile(Buffer.from(inner)))
      const batches = await readFrames(decoder, path)
      assert.equal(frameCount(batches) > 0, true, 'the carrier itself is a video')
      assert.ok(
        batches.every(({ pixels }) => pixels.every((value) => value === 0)),
        'only the black picture',
      )
      await assert.rejects(readSamples(decoder, path), { code: 'media-no-audio' })
    }
  }
  assert.equal(requests, 0)
})

test('a playlist behind the header of another format is not followed', async () => {
  const tails = [hlsPlaylist(at('canary.ts')), hlsPlaylist(url)]
  const heads = [
    'RIFF\xff\xff\xff\xffAVI ',
    'ID3\x04\0\0\0\0\0\0',
    '\x1a\x45\xdf\xa3',
    'OggS',
    'FLV\x01',
    '\0\0\0\x08free',
  ]
  for (const head of heads) {
    for (const tail of tails) {
      const path = write('behind.bin', Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(tail)]))
      await assert.rejects(decoder.probe(path), /./)
      await assert.rejects(readFrames(decoder, path), /./)
      await assert.rejects(readSamples(decoder, path), /./)
    }
  }
  assert.equal(requests, 0)
})

test('a QuickTime file whose samples lie in another file gives none of them', async () => {
  await ffmpeg(...silence(2), '-c:a', 'pcm_s16le', at('carrier.mov'))
  const path = write('external.mov', movWithExternalData(readFileSync(at('carrier.mov')), at('canary.mov')))
  const unlocked = ['-enable_drefs', '1', '-use_absolute_path', '1', '-i', path, '-f', 's16le', 'pipe:1']
  assert.ok(
    (await ffmpeg(...unlocked)).some((byte) => byte !== 0),
    'control: without the locks the canary is heard',
  )
  const heard = await readSamples(decoder, path).catch((error: { code: string }) => {
    assert.match(error.code, /^media-(no-audio|unreadable|format)$/)
    return []
  })
  assert.ok(isSilent(heard))
})

test('a name with options, patterns or shell words in it is only a name', async () => {
  await ffmpeg(...picture(1), at('plain.mp4'))
  for (const name of [
    '-i.mp4',
    '%03d.mp4',
    'a b; touch x.mp4',
    '$(touch y).mp4',
    'http:--x.mp4',
    'concat:a|b.mp4',
    'q\'"\n.mp4',
  ]) {
    copyFileSync(at('plain.mp4'), at(name))
    assert.equal(frameCount(await readFrames(decoder, at(name))), 6, name)
  }
})

test('what is no regular file is refused without being opened', { skip: process.platform === 'win32' }, async () => {
  execFileSync('mkfifo', [at('pipe.mp4')])
  mkdirSync(at('folder.mp4'))
  await ffmpeg(...picture(1), at('real.mp4'))
  symlinkSync(at('real.mp4'), at('link.mp4'))
  for (const path of [at('pipe.mp4'), at('folder.mp4'), at('link.mp4'), '/dev/zero', '/dev/stdin']) {
    await assertRefused(path, 'media-unreadable', /regular file/)
  }
  await assertRefused(at('../nowhere/../none.mp4'), 'media-unreadable', /not there/)
})
