import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCsv } from '../../../trainer/data/csv.ts'
import { fitLine, labelPlaces, shrink, usageOf } from '../../../trainer/mood-places.ts'

test('fields of a CSV file may hold commas, quotes and line breaks', () => {
  assert.deepEqual(readCsv('a,b\n"1, ""x""\ny",2\r\n3,\n'), [
    { a: '1, "x"\ny', b: '2' },
    { a: '3', b: '' },
  ])
})

test('a word that stands beside fast words oftener than others do is aroused', () => {
  const clips = [
    ...Array(8).fill('punk, uptempo'),
    ...Array(2).fill('punk, slow tempo'),
    ...Array(10).fill('slow tempo'),
  ]
  const usage = usageOf('punk', clips)
  assert.equal(usage.clips, 10)
  assert.ok(usage.arousal > 0.5)
  assert.ok(usageOf('slow', clips).arousal < 0)
})

test('a word is no witness for its own pleasantness', () => {
  assert.ok(Math.abs(usageOf('happy', ['happy tune', 'happy tune', 'a tune', 'a tune']).valence) < 1e-9)
  assert.ok(usageOf('tune', ['happy tune', 'happy tune', 'sad song', 'sad song']).valence > 0.2)
})

test('what was seen seldom stays near what was expected', () => {
  assert.equal(shrink(1, 0, 0), 0)
  assert.equal(shrink(1, 0, 30), 0.5)
  assert.ok(shrink(1, 0, 3000) > 0.98)
})

test('a line is fitted through points on it, whatever their weights', () => {
  const line = fitLine([0, 1, 5].map((x) => ({ x, y: 2 * x - 1, weight: x + 1 })))
  assert.ok(Math.abs(line(10) - 19) < 1e-9)
})

test('labels take the places of their bare names; seldom said ones and those that name no sound have none', () => {
  const clips = [...Array(20).fill('upbeat punk, a film'), ...Array(20).fill('slow tempo, a tune')]
  const places = labelPlaces(['genre---punkrock', 'msd:punk', 'mood/theme---film', 'genre---polka'], clips)
  assert.deepEqual(Object.keys(places), ['genre---punkrock', 'msd:punk'])
  assert.deepEqual(places['genre---punkrock'], places['msd:punk'])
  assert.ok(places['msd:punk']![1] > 0.2)
})
