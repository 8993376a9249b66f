import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ffmpegDecoder } from '../../../adapters/media/ffmpeg-decoder.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
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
const decoder = ffmpegDecoder(binaries)
const at = (name: string) => join(folder, name)

/** Processes that we started and that are still there, zombies too. Linux only. */
function decoderProcesses(): string[] {
  const children = `/proc/${process.pid}/task/${process.pid}/children`
  if (!existsSync(children)) return []
  const names = readFileSync(children, 'utf8')
    .trim()
    .split(' ')
    .filter((pid) => pid !== '' && existsSync(`/proc/${pid}/comm`))
    .map((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim())
  return names.filter((name) => /ffmpeg|ffprobe|prlimit|ld-linux|sh$/.test(name))
}

/** Runs with a temporary folder of its own and returns what is left in it. */
async function leftovers(body: () => Promise<void>): Promise<string[]> {
  const own = join(folder, 'tmp')
  mkdirSync(own, { recursive: true })
  const before = tmpdir()
  process.env.TMPDIR = own
  try {
    await body()
  } finally {
    process.env.TMPDIR = before
  }
  return readdirSync(own)
}

test('a sample video gives 6 frames a second in batches with their times', async () => {
  const batches = await readFrames(decoder, 'samples/video/big-buck-bunny-030s.mp4')
  assert.equal(frameCount(batches), 120)
  assert.deepEqual(
    batches.slice(0, 3).map(({ count, startSeconds, pixels }) => [count, startSeconds, pixels.length]),
    [0, 1, 2].map((batch) => [10, (batch * 10) / 6, 10 * 224 * 224 * 3]),
  )
})

test('a sample video is probed as what it is', async () => {
  const info = await decoder.probe('samples/video/big-buck-bunny-030s.mp4')
  assert.deepEqual(info.video, { codec: 'h264', width: 640, height: 360 })
  assert.deepEqual(info.audio, { codec: 'aac', sampleRateHz: 44_100, channels: 2 })
  assert.ok(Math.abs(info.durationSeconds! - 20) < 0.1)
})

test('a sample track gives its 32 s as 16 kHz mono in whole chunks', async () => {
  const chunks = await readSamples(decoder, 'samples/music/calm_acoustic_1.opus')
  assert.ok(Math.abs(sampleCount(chunks) / 16_000 - 32.3) < 0.05)
  assert.ok(chunks.slice(0, -1).every(({ length }) => length === 4_000))
  assert.ok(chunks.flatMap((chunk) => [...chunk]).every((value) => Number.isFinite(value) && Math.abs(value) < 1.5))
})

for (const name of ['a.wav', 'a.mp3', 'a.flac', 'a.ogg', 'a.opus', 'a.m4a', 'a.aac', 'a.aiff', 'a.mkv', 'a.webm']) {
  test(`a 440 Hz tone in ${name} comes out as a 440 Hz tone`, async () => {
    const codec = name === 'a.ogg' ? ['-c:a', 'libvorbis'] : []
    await ffmpeg(...tone(2), '-ar', '48000', ...codec, at(name))
    const samples = (await readSamples(decoder, at(name))).flatMap((chunk) => [...chunk]).slice(8_000, 24_000)
    const rising = samples.filter((value, i) => i > 0 && value >= 0 && samples[i - 1]! < 0).length
    assert.ok(Math.abs(rising - 440) <= 2, `${rising} Hz`)
  })
}

for (const name of ['v.mp4', 'v.mov', 'v.mkv', 'v.webm', 'v.avi', 'v.ts', 'v.flv']) {
  test(`2 s of pictures in ${name} come out as 12 frames`, async () => {
    await ffmpeg(...picture(2), at(name))
    const frames = frameCount(await readFrames(decoder, at(name)))
    assert.ok(Math.abs(frames - 12) <= 1, `${frames} frames`)
  })
}

test('stereo is mixed down to the mean of its sides', async () => {
  await ffmpeg('-f', 'lavfi', '-i', 'aevalsrc=0.5|0.1:s=16000:d=1', '-c:a', 'pcm_f32le', at('stereo.wav'))
  const [first] = await readSamples(decoder, at('stereo.wav'))
  assert.ok(Math.abs(first![100]! - 0.3) < 1e-4, `${first![100]}`)
})

test('a picture is squashed to 224 × 224 in RGB, not cropped', async () => {
  await ffmpeg(
    ...['-f', 'lavfi', '-i', 'color=red:size=400x100:rate=6:duration=1', '-f', 'lavfi'],
    ...[
      '-i',
      'color=blue:size=400x100:rate=6:duration=1',
      '-filter_complex',
      '[0][1]hstack',
      '-c:v',
      'png',
      at('two.mov'),
    ],
  )
  const { pixels } = (await readFrames(decoder, at('two.mov')))[0]!
  const pixel = (x: number, y: number) => [...pixels.subarray((y * 224 + x) * 3, (y * 224 + x) * 3 + 3)]
  assert.deepEqual([pixel(2, 2), pixel(2, 221)], [pixel(100, 112), pixel(100, 112)])
  assert.ok(pixel(2, 112)[0]! > 240 && pixel(2, 112)[2]! < 15, `left is red: ${pixel(2, 112)}`)
  assert.ok(pixel(221, 112)[2]! > 240 && pixel(221, 112)[0]! < 15, `right is blue: ${pixel(221, 112)}`)
})

test('a video that lies on its side is turned upright', async () => {
  const halves = '[0][1]hstack'
  await ffmpeg(
    ...['-f', 'lavfi', '-i', 'color=red:size=32x64:rate=6:duration=1', '-f', 'lavfi'],
    ...[
      '-i',
      'color=blue:size=32x64:rate=6:duration=1',
      '-filter_complex',
      halves,
      '-c:v',
      'mpeg4',
      '-q:v',
      '1',
      at('flat.mp4'),
    ],
  )
  // Rotation of 90° is a matrix in the track header (tkhd); the identity is patched, as build options differ.
  const bytes = readFileSync(at('flat.mp4'))
  const matrix = bytes.indexOf('tkhd') + 4 + 40
  for (const [i, value] of [0, 0x10000, 0, -0x10000, 0, 0].entries()) {
    bytes.writeInt32BE(value, matrix + [0, 4, 8, 12, 16, 20][i]!)
  }
  writeFileSync(at('turned.mp4'), bytes)
  const { pixels } = (await readFrames(decoder, at('turned.mp4')))[0]!
  const red = (x: number, y: number) => pixels[(y * 224 + x) * 3]!
  assert.ok(red(10, 10) > 200 && red(213, 10) > 200, 'the top is red from side to side')
  assert.ok(red(10, 213) < 50 && red(213, 213) < 50, 'the bottom is blue from side to side')
})

test('a video of variable frame rate is sampled by time', async () => {
  await ffmpeg(...picture(4, '64x48', 24), '-vf', 'select=lt(t\\,2)+not(mod(n\\,12))', '-vsync', 'vfr', at('vfr.mkv'))
  const frames = frameCount(await readFrames(decoder, at('vfr.mkv')))
  assert.ok(frames >= 21 && frames <= 25, `${frames} frames of 4 s`)
})

test('a video of a single picture gives one frame', async () => {
  await ffmpeg(...picture(1, '64x48', 25), '-frames:v', '1', at('one.mp4'))
  assert.equal(frameCount(await readFrames(decoder, at('one.mp4'))), 1)
})

test('subtitles and a time code beside the pictures do not matter', async () => {
  writeFileSync(at('s.srt'), '1\n00:00:00,000 --> 00:00:01,000\nwords\n')
  await ffmpeg(...picture(1), '-i', at('s.srt'), '-c:s', 'mov_text', '-timecode', '00:00:00:00', at('titled.mov'))
  assert.equal(frameCount(await readFrames(decoder, at('titled.mov'))), 6)
})

test('the cover of a song is not a video', async () => {
  await ffmpeg(...picture(1), '-frames:v', '1', at('cover.png'))
  for (const name of ['cover.mp3', 'cover.flac', 'cover.m4a']) {
    const attach = ['-map', '0', '-map', '1', '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p', '-disposition:v', 'attached_pic']
    await ffmpeg(...tone(1), '-i', at('cover.png'), ...attach, at(name))
    assert.equal((await decoder.probe(at(name))).video, undefined, name)
    await assert.rejects(readFrames(decoder, at(name)), { code: 'media-no-video' }, name)
    assert.ok(sampleCount(await readSamples(decoder, at(name))) >= 15_900, name)
  }
})

test('a consumer that stops early leaves no process and no file behind', async () => {
  await ffmpeg(...picture(60), ...tone(60), at('long.mp4'))
  const left = await leftovers(async () => {
    for await (const batch of decoder.frames(at('long.mp4'), { framesPerSecond: 6, framesPerBatch: 2 })) {
      assert.equal(batch.count, 2)
      assert.equal(decoderProcesses().length, existsSync('/proc/self') ? 1 : 0, 'it runs while it is read')
      break
    }
  })
  assert.deepEqual(decoderProcesses(), [])
  assert.deepEqual(left, [])
})

test('an abort ends the stream with its reason and leaves nothing behind', async () => {
  await ffmpeg(...tone(60), at('long.wav'))
  const left = await leftovers(async () => {
    const abort = new AbortController()
    const reason = new Error('the partition was lost')
    const stream = decoder.samples(at('long.wav'), { sampleRateHz: 16_000, samplesPerChunk: 100, signal: abort.signal })
    await assert.rejects(async () => {
      for await (const _ of stream) abort.abort(reason)
    }, reason)
    await assert.rejects(decoder.probe(at('long.wav'), abort.signal), reason)
  })
  assert.deepEqual(decoderProcesses(), [])
  assert.deepEqual(left, [])
})

test('a decoder that delivers nothing is killed and the file gets media-timeout', async () => {
  await ffmpeg(...silence(1), at('short.wav'))
  const stuck = at('stuck')
  writeFileSync(stuck, '#!/bin/sh\nexec sleep 1000\n')
  chmodSync(stuck, 0o755)
  const limits = { probeTimeoutMs: 50, decodeFloorMs: 50 }
  const stuckProbe = ffmpegDecoder({ ...binaries, ffprobe: { ...binaries.ffprobe, path: stuck } }, limits)
  await assert.rejects(stuckProbe.probe(at('short.wav')), { code: 'media-timeout' })
  const stuckDecoder = ffmpegDecoder(
    { ...binaries, ffmpeg: { ...binaries.ffmpeg, path: stuck } },
    { decodeFloorMs: 50, decodeMsPerSecond: 0 },
  )
  await assert.rejects(readSamples(stuckDecoder, at('short.wav')), { code: 'media-timeout' })
  assert.deepEqual(decoderProcesses(), [])
})

test('a consumer that takes its time does not run into the time limit', async () => {
  await ffmpeg(...tone(20), at('slow.wav'))
  const slow = ffmpegDecoder(binaries, { decodeFloorMs: 5_000, decodeMsPerSecond: 0 })
  const clock = performance.now.bind(performance)
  let aheadMs = 0
  performance.now = () => clock() + aheadMs
  try {
    let samples = 0
    for await (const chunk of slow.samples(at('slow.wav'), { sampleRateHz: 16_000, samplesPerChunk: 16_000 })) {
      samples += chunk.length
      aheadMs += 10_000 // the consumer was busy for 10 s
    }
    assert.equal(samples, 20 * 16_000)
  } finally {
    performance.now = clock
  }
})

test('memory does not grow with the length of the video', async () => {
  await ffmpeg(...picture(600, '64x48', 6), '-c:v', 'libx264', '-preset', 'ultrafast', at('ten-minutes.mp4'))
  let frames = 0
  let peakEarly = 0
  let peakLate = 0
  for await (const batch of decoder.frames(at('ten-minutes.mp4'), { framesPerSecond: 6, framesPerBatch: 6 })) {
    frames += batch.count
    const { rss } = process.memoryUsage()
    if (frames < 900) peakEarly = Math.max(peakEarly, rss)
    else peakLate = Math.max(peakLate, rss)
  }
  assert.equal(frames, 3_600) // 542 MB of pixels
  assert.ok(peakLate - peakEarly < 64 * 2 ** 20, `${peakEarly} → ${peakLate} bytes`)
})
