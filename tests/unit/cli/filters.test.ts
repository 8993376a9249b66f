import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseFilters } from '../../../cli/commands/recommend.ts'
import { toFilterConditions } from '../../../gateway/filters.ts'
import type { InvalidRequestError } from '../../../ports/errors.ts'

describe('filters of the command line', () => {
  test('every form is one that the gateway takes', () => {
    const given = [
      'genre=rock,folk',
      'mood!=sad',
      'instrument=piano',
      'vocals=vocal',
      'bpm=90..120',
      'key=C,Bb',
      'mode=minor',
      'durationSeconds=30..',
      'explicit=no',
      'licence=MIT',
      'territory=de,FR',
    ]
    const fields = toFilterConditions(parseFilters(given)).map(({ field }) => field)
    assert.deepEqual(
      [...new Set(fields)],
      given.map((filter) => /^\w+/.exec(filter)![0]),
    )
  })

  test('words of a field that is given twice add up', () => {
    assert.deepEqual(parseFilters(['genre=rock', 'genre=folk,jazz', 'genre!=pop', 'territory=DE', 'territory=FR']), {
      genre: { anyOf: ['rock', 'folk', 'jazz'], not: ['pop'] },
      territory: ['DE', 'FR'],
    })
  })

  test('a range has one end or both', () => {
    assert.deepEqual(parseFilters(['bpm=90..']), { bpm: { min: 90 } })
    assert.deepEqual(parseFilters(['bpm=..120.5']), { bpm: { max: 120.5 } })
  })

  for (const filter of [
    'bpm',
    'bpm=120',
    'bpm=..',
    'bpm=fast',
    'bpm!=1..2',
    'bpm>=90',
    'explicit=maybe',
    'territory!=DE',
    'genre=',
  ]) {
    test(`${filter} is refused and named`, () => {
      assert.throws(
        () => parseFilters([filter]),
        (error: InvalidRequestError) =>
          error.code === 'bad-filter' && error.message.startsWith(`The filter ${filter} `),
      )
    })
  }
})
