import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MusicDsp, SAMPLE_RATE_HZ } from '../../../processors/analyse-music/dsp/music-dsp.ts'
import {
  addClick,
  join,
  MAJOR_CADENCES,
  mix,
  noise,
  progression,
  seededRandom,
  silence,
  sine,
} from './synthetic-audio.ts'

function describeAudio(audio: Float32Array, options?: { segmentSeconds?: number }) {
  const dsp = new MusicDsp(options)
  dsp.push(audio)
  return dsp.finish()
}

function clicksPerSecond(rate: number, seconds: number): Float32Array {
  const audio = silence(seconds)
  const random = seededRandom(rate)
  for (let n = 0; n < rate * seconds; n++) addClick(audio, (n + 0.5) / rate, 0.5, random)
  return audio
}

function assertNear(actual: number, expected: number, tolerance: number) {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`)
}

describe('music descriptors', () => {
  test('the way a track is cut into chunks does not change them', () => {
    const audio = mix(progression(MAJOR_CADENCES, 4), clicksPerSecond(2, 8))
    const pieces = new MusicDsp()
    const random = seededRandom(21)
    for (let at = 0; at < audio.length; ) {
      const length = Math.floor(random() * 5000)
      pieces.push(audio.subarray(at, at + length))
      at += length
    }
    assert.deepEqual(pieces.finish(), describeAudio(audio))
  })

  test('silence is marked, and every number is finite', () => {
    const { silent, tempo, key, energy, loudness } = describeAudio(silence(12))
    assert.equal(silent, true)
    assert.equal(tempo.confidence, 0)
    assert.equal(key.confidence, 0)
    for (const value of [...Object.values(energy), loudness.integratedLufs, loudness.rangeLu, loudness.peakDbfs]) {
      assert.ok(Number.isFinite(value))
    }
  })

  test('a track without samples is silent and has no segments', () => {
    const { seconds, silent, segments } = describeAudio(silence(0))
    assert.deepEqual({ seconds, silent, segments }, { seconds: 0, silent: true, segments: [] })
  })

  test('samples that are not finite count as 0', () => {
    const audio = sine(2, 440, -12)
    audio[100] = Number.NaN
    audio[200] = Number.POSITIVE_INFINITY
    const { loudness, energy } = describeAudio(audio)
    assert.ok(Number.isFinite(loudness.integratedLufs))
    assertNear(loudness.peakDbfs, -12, 0.1)
    assert.ok(Number.isFinite(energy.rmsDbfs))
  })

  test('segments cover the track, the last one what is left', () => {
    const { segments } = describeAudio(sine(25, 440, -12))
    assert.deepEqual(
      segments.map(({ startSeconds, seconds }) => [startSeconds, seconds]),
      [
        [0, 10],
        [10, 10],
        [20, 5],
      ],
    )
  })

  test('a segment is described by its own audio alone', () => {
    const { segments } = describeAudio(join(sine(5, 200, -20), noise(5, 0.5, seededRandom(4))), { segmentSeconds: 5 })
    const [tone, hiss] = segments
    assertNear(tone!.rmsDbfs, -23, 0.7)
    assert.ok(hiss!.rmsDbfs > -12)
    assert.ok(tone!.centroidHz < 500 && hiss!.centroidHz > 3000)
  })

  test('the level of a full-scale sine is -3.01 dBFS and does not vary', () => {
    const { energy } = describeAudio(sine(10, 1000, 0))
    assertNear(energy.rmsDbfs, -3.01, 0.1)
    assertNear(energy.dynamicsDb, 0, 1)
  })

  test('loud and quiet halves 20 dB apart have dynamics of 20 dB', () => {
    assertNear(describeAudio(join(sine(5, 500, -6), sine(5, 500, -26))).energy.dynamicsDb, 20, 1)
  })

  test('the centroid of a tone lies near it, that of white noise in the middle of the band', () => {
    assertNear(describeAudio(sine(5, 3000, -12)).energy.centroidHz, 3000, 60)
    assertNear(describeAudio(noise(5, 0.5, seededRandom(6))).energy.centroidHz, 4000, 100)
  })

  test('white noise is flat (0.56) and a tone is not', () => {
    assertNear(describeAudio(noise(5, 0.5, seededRandom(6))).energy.flatness, 0.56, 0.03)
    assert.ok(describeAudio(sine(5, 1000, -12)).energy.flatness < 0.01)
  })

  test('low and high shares tell a bass tone from a treble tone', () => {
    const bass = describeAudio(sine(5, 80, -12)).energy
    const treble = describeAudio(sine(5, 5000, -12)).energy
    assert.ok(bass.lowShare > 0.99 && bass.highShare < 0.01 && bass.lowHighRatioDb > 20)
    assert.ok(treble.lowShare < 0.01 && treble.highShare > 0.99 && treble.lowHighRatioDb < -20)
  })

  for (const rate of [1, 2, 4, 8]) {
    test(`${rate} clicks a second are ${rate} onsets a second`, () => {
      assertNear(describeAudio(clicksPerSecond(rate, 20)).energy.onsetRateHz, rate, 0.06 * rate)
    })
  }

  test('a steady tone has no onsets, and steady noise fewer than music has', () => {
    assert.ok(describeAudio(sine(20, 440, -12)).energy.onsetRateHz < 0.2)
    assert.ok(describeAudio(noise(20, 0.3, seededRandom(9))).energy.onsetRateHz < 1.5)
  })

  test('clicks are percussive, a chord progression is not', () => {
    assert.ok(describeAudio(clicksPerSecond(4, 8)).energy.percussiveness > 0.8)
    assert.ok(describeAudio(progression(MAJOR_CADENCES, 0)).energy.percussiveness < 0.2)
  })

  test('a track can be finished once, and not be fed after', () => {
    const dsp = new MusicDsp()
    dsp.push(sine(1, 440, -12))
    dsp.finish()
    assert.throws(() => dsp.push(silence(1)), /push after finish/)
    assert.throws(() => dsp.finish(), /finish was called before/)
  })

  test('segments shorter than 0.1 s are refused', () => {
    assert.throws(() => new MusicDsp({ segmentSeconds: 0 }), RangeError)
  })

  test('of five minutes far less is kept than their samples', () => {
    const dsp = new MusicDsp()
    const second = noise(1, 0.2, seededRandom(3))
    const before = process.memoryUsage().arrayBuffers
    for (let n = 0; n < 300; n++) dsp.push(second)
    const kept = process.memoryUsage().arrayBuffers - before
    assert.ok(kept < (300 * SAMPLE_RATE_HZ * 4) / 8, `${kept} bytes after 300 s`)
    assertNear(dsp.finish().seconds, 300, 1e-9)
  })
})
