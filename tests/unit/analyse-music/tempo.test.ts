import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MusicDsp } from '../../../processors/analyse-music/dsp/music-dsp.ts'
import { addClick, addKick, mix, noise, seededRandom, silence, sine } from './synthetic-audio.ts'

function tempoOf(audio: Float32Array) {
  const dsp = new MusicDsp()
  dsp.push(audio)
  return dsp.finish().tempo
}

function clicks(bpm: number, seconds = 24): Float32Array {
  const audio = silence(seconds)
  const random = seededRandom(bpm)
  for (let beat = 0; (beat * 60) / bpm < seconds; beat++) addClick(audio, 0.2 + (beat * 60) / bpm, 0.5, random)
  return audio
}

/** Bass drum on every beat, snare on every second, hi-hats between; off-beats late by `swing` of a beat. */
function drums(bpm: number, swing: number, seconds = 24): Float32Array {
  const audio = silence(seconds)
  const random = seededRandom(bpm)
  for (let beat = 0; (beat * 60) / bpm < seconds; beat++) {
    addKick(audio, (beat * 60) / bpm, 0.6)
    if (beat % 2 === 1) addClick(audio, (beat * 60) / bpm, 0.4, random)
    addClick(audio, ((beat + 0.5 + swing) * 60) / bpm, 0.1, random)
  }
  return audio
}

function assertNear(actual: number, expected: number, share: number) {
  assert.ok(Math.abs(actual / expected - 1) <= share, `${actual} bpm is not within ${share * 100} % of ${expected}`)
}

describe('tempo', () => {
  for (const bpm of [72, 85, 93, 100, 110, 123.4, 137, 150, 165]) {
    test(`a click track at ${bpm} bpm is heard within 1 %`, () => {
      const { bpm: heard, confidence } = tempoOf(clicks(bpm))
      assertNear(heard, bpm, 0.01)
      assert.ok(confidence > 0.5, `confidence ${confidence}`)
    })
  }

  for (const bpm of [52, 60, 180, 205]) {
    test(`a bare click track at ${bpm} bpm is heard as it is or an octave away`, () => {
      const { bpm: heard } = tempoOf(clicks(bpm))
      const octave = 2 ** Math.round(Math.log2(heard / bpm))
      assertNear(heard, bpm * octave, 0.01)
    })
  }

  for (const bpm of [76, 98, 118, 132]) {
    test(`swung drums at ${bpm} bpm are heard at the beat, not at the triplet`, () => {
      assertNear(tempoOf(drums(bpm, 1 / 6)).bpm, bpm, 0.01)
    })
  }

  test('a beat under noise as loud as itself is still heard', () => {
    const audio = mix(drums(104, 0), noise(24, 0.1, seededRandom(5)))
    assertNear(tempoOf(audio).bpm, 104, 0.01)
  })

  test('a dotted 3-3-2 pattern is heard at its beat', () => {
    const [bpm, audio, random] = [100, silence(24), seededRandom(3)]
    for (let bar = 0; bar * 2.4 < 24; bar++) {
      for (const eighth of [0, 3, 6]) addClick(audio, bar * 2.4 + eighth * 0.3, 0.5, random)
      for (const beat of [0, 1, 2, 3]) addKick(audio, bar * 2.4 + beat * 0.6, 0.5)
      for (let eighth = 0; eighth < 8; eighth++) addClick(audio, bar * 2.4 + eighth * 0.3, 0.08, random)
    }
    assertNear(tempoOf(audio).bpm, bpm, 0.01)
  })

  test('a player who hurries and drags by some 15 ms is still heard', () => {
    const [audio, random] = [silence(24), seededRandom(11)]
    for (let beat = 0; beat * 0.55 < 24; beat++) addClick(audio, beat * 0.55 + 0.03 * (random() - 0.5), 0.5, random)
    assertNear(tempoOf(audio).bpm, 60 / 0.55, 0.02)
  })

  test('noise has no beat: its confidence is far below that of a click track', () => {
    assert.ok(tempoOf(noise(24, 0.3, seededRandom(1))).confidence < 0.2)
  })

  test('a steady tone has no beat', () => {
    assert.ok(tempoOf(sine(24, 440, -12)).confidence < 0.2)
  })

  test('silence has no tempo', () => {
    assert.deepEqual(tempoOf(silence(20)), { bpm: 0, confidence: 0 })
  })

  test('less than 4 s is too short for a tempo', () => {
    assert.deepEqual(tempoOf(clicks(120, 3)), { bpm: 0, confidence: 0 })
  })

  test('5 s of clicks at 120 bpm are enough', () => {
    assertNear(tempoOf(clicks(120, 5)).bpm, 120, 0.02)
  })
})
