import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toFilterConditions } from '../../../gateway/filters.ts'

const none = { anyOf: [], noneOf: [], min: null, max: null }

test('each kind of filter becomes a condition on the attribute of its name', () => {
  assert.deepEqual(
    toFilterConditions({
      genre: 'Folk',
      mood: ['calm', 'tender'],
      instrument: { anyOf: 'piano', not: ['drums', 'choir'] },
      vocals: { not: 'female vocals' },
      bpm: { min: 80, max: 100 },
      durationSeconds: { max: 60 },
      mode: 'Minor',
      explicit: false,
      licence: 'CC BY 4.0',
    }),
    [
      { ...none, field: 'genre', anyOf: ['folk'] },
      { ...none, field: 'mood', anyOf: ['calm', 'tender'] },
      { ...none, field: 'instrument', anyOf: ['piano'], noneOf: ['drums', 'choir'] },
      { ...none, field: 'vocals', noneOf: ['female vocals'] },
      { ...none, field: 'bpm', min: 80, max: 100 },
      { ...none, field: 'durationSeconds', max: 60 },
      { ...none, field: 'mode', anyOf: ['minor'] },
      { ...none, field: 'explicit', anyOf: ['no'] },
      { ...none, field: 'licence', anyOf: ['CC BY 4.0'] },
    ],
  )
})

test('a key is found under whichever name the pitch is given', () => {
  const [condition] = toFilterConditions({ key: ['a#', 'Db', 'g♯', 'E'] })
  assert.deepEqual(condition?.anyOf, ['Bb', 'C#', 'Ab', 'E'])
})

test('rights must cover every territory that is named, and worldwide rights cover all', () => {
  assert.deepEqual(toFilterConditions({ territory: ['de', 'FR'] }), [
    { ...none, field: 'territory', anyOf: ['DE', 'worldwide'] },
    { ...none, field: 'territory', anyOf: ['FR', 'worldwide'] },
  ])
})

test('no filters are no conditions', () => {
  assert.deepEqual(toFilterConditions(undefined), [])
  assert.deepEqual(toFilterConditions({}), [])
})

test('an unknown filter is named, with the list of those that are known', () => {
  for (const name of ['gnere', 'constructor', '__proto__x']) {
    assert.throws(
      () => toFilterConditions({ [name]: 'rock' }),
      (error: Error & { code: string; members: { filter: string; known: string[] } }) =>
        error.code === 'unknown-filter' && error.members.filter === name && error.members.known.includes('genre'),
    )
  }
})

for (const [what, filters] of Object.entries({
  'a range upside down': { bpm: { min: 120, max: 90 } },
  'a range without bounds': { bpm: {} },
  'a tempo that is text': { bpm: { min: '90' } },
  'an infinite tempo': { bpm: { max: Number.POSITIVE_INFINITY } },
  'a number for a genre': { genre: 7 },
  'an empty list': { genre: [] },
  'an object that asks nothing': { genre: {} },
  'a field that words do not have': { genre: { only: 'rock' } },
  'a key that does not exist': { key: 'H' },
  'a mode that does not exist': { mode: 'dorian' },
  'a territory that is a name': { territory: 'Germany' },
  'text for explicit': { explicit: 'no' },
  'fifty-one words': { genre: Array.from({ length: 51 }, (_, index) => `g${index}`) },
  'a list of filters': ['genre'],
})) {
  test(`${what} is an invalid filter`, () => {
    assert.throws(() => toFilterConditions(filters), { code: 'invalid-filter', status: 400 })
  })
}
