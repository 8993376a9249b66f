import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TONICS } from '../../../processors/analyse-music/dsp/key.ts'
import { MusicDsp } from '../../../processors/analyse-music/dsp/music-dsp.ts'
import {
  addClick,
  MAJOR_CADENCES,
  MINOR_CADENCES,
  mix,
  noise,
  progression,
  seededRandom,
  silence,
} from './synthetic-audio.ts'

function keyOf(audio: Float32Array) {
  const dsp = new MusicDsp()
  dsp.push(audio)
  return dsp.finish().key
}

function name({ tonic, mode }: { tonic: string; mode: string }): string {
  return `${tonic} ${mode}`
}

describe('key', () => {
  TONICS.forEach((tonic, root) => {
    test(`cadences in ${tonic} major are heard in ${tonic} major`, () => {
      assert.equal(name(keyOf(progression(MAJOR_CADENCES, root))), `${tonic} major`)
    })

    test(`cadences in ${tonic} minor are heard in ${tonic} minor`, () => {
      assert.equal(name(keyOf(progression(MINOR_CADENCES, root))), `${tonic} minor`)
    })
  })

  for (const cents of [-40, -25, 15, 35]) {
    test(`an instrument tuned ${cents} cents off A4 = 440 Hz keeps its key, and its tuning is measured`, () => {
      const key = keyOf(progression(MAJOR_CADENCES, 2, cents))
      assert.equal(name(key), 'D major')
      assert.ok(Math.abs(key.tuningCents - cents) < 6, `${key.tuningCents} cents`)
    })
  }

  test('drums as loud as the chords do not hide the key', () => {
    const random = seededRandom(7)
    const drums = silence(8)
    for (let n = 0; n < 32; n++) addClick(drums, n / 4, 0.5, random)
    assert.equal(name(keyOf(mix(progression(MINOR_CADENCES, 9), drums))), 'A minor')
  })

  test('noise has a low confidence, cadences a high one', () => {
    assert.ok(keyOf(noise(20, 0.3, seededRandom(2))).confidence < 0.25)
    assert.ok(keyOf(progression(MAJOR_CADENCES, 0)).confidence > 0.5)
  })

  test('silence has confidence 0', () => {
    assert.equal(keyOf(silence(5)).confidence, 0)
  })
})
