import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LoudnessMeter, PEAK_FLOOR_DBFS, SILENCE_LUFS } from '../../../processors/analyse-music/dsp/loudness.ts'
import { SAMPLE_RATE_HZ } from '../../../processors/analyse-music/dsp/music-dsp.ts'
import { join, silence, sine } from './synthetic-audio.ts'

function loudnessOf(audio: Float32Array) {
  const meter = new LoudnessMeter(SAMPLE_RATE_HZ)
  meter.push(audio)
  return meter.finish()
}

function assertNear(actual: number, expected: number, tolerance: number) {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`)
}

describe('loudness', () => {
  // BS.1770-4: a 997 Hz sine at 0 dBFS in one channel reads -3.01 LUFS.
  for (const lufs of [-3.01, -23, -33]) {
    test(`a 997 Hz sine with a peak of ${(lufs + 3.01).toFixed(2)} dBFS reads ${lufs} LUFS`, () => {
      assertNear(loudnessOf(sine(20, 997, lufs + 3.01)).integratedLufs, lufs, 0.1)
    })
  }

  test('the meter reads the same at 48 kHz, the rate of the standard', () => {
    const meter = new LoudnessMeter(48_000)
    meter.push(new Float32Array(48_000 * 10).map((_, n) => 0.1 * Math.sin((2 * Math.PI * 997 * n) / 48_000)))
    assertNear(meter.finish().integratedLufs, -23.01, 0.1)
  })

  // The response of the filters which BS.1770-4 tabulates for 48 kHz, relative to 997 Hz.
  for (const [hz, gainDb] of [
    [38, -6.69],
    [100, -1.82],
    [2000, 2.38],
    [4000, 3.28],
  ] as const) {
    test(`a sine at ${hz} Hz is weighted by ${gainDb} dB against 997 Hz`, () => {
      const gain = loudnessOf(sine(10, hz, -20)).integratedLufs - loudnessOf(sine(10, 997, -20)).integratedLufs
      assertNear(gain, gainDb, 0.15)
    })
  }

  test('quiet passages 10 LU below the rest are gated out (EBU Tech 3341, case 3)', () => {
    const audio = join(sine(10, 1000, -33), sine(60, 1000, -20), sine(10, 1000, -33))
    assertNear(loudnessOf(audio).integratedLufs, -23, 0.1)
  })

  test('silence before and after does not lower the loudness', () => {
    assertNear(loudnessOf(join(silence(30), sine(20, 997, -20), silence(30))).integratedLufs, -23, 0.1)
  })

  test('a step of 10 LU has a loudness range of 10 LU (EBU Tech 3342, case 1)', () => {
    assertNear(loudnessOf(join(sine(20, 1000, -17), sine(20, 1000, -27))).rangeLu, 10, 1)
  })

  test('a steady tone has no loudness range', () => {
    assertNear(loudnessOf(sine(20, 1000, -20)).rangeLu, 0, 0.1)
  })

  test('the peak is that of the greatest sample, of either sign', () => {
    const audio = silence(1)
    audio[500] = -0.5
    assertNear(loudnessOf(audio).peakDbfs, -6.02, 0.01)
  })

  for (const [name, audio] of [
    ['silence', silence(5)],
    ['no audio', silence(0)],
    ['a sine at -90 dBFS', sine(5, 997, -90)],
  ] as const) {
    test(`${name} is silent and reads the floor, not minus infinity`, () => {
      const { integratedLufs, rangeLu, silent, peakDbfs } = loudnessOf(audio)
      assert.deepEqual({ integratedLufs, rangeLu, silent }, { integratedLufs: SILENCE_LUFS, rangeLu: 0, silent: true })
      assert.ok(peakDbfs >= PEAK_FLOOR_DBFS)
    })
  }

  test('300 ms, shorter than a gating block, still have a loudness', () => {
    assertNear(loudnessOf(sine(0.3, 997, -20)).integratedLufs, -23, 0.5)
  })
})
