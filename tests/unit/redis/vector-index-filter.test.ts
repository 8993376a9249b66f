import assert from 'node:assert/strict'
import { test } from 'node:test'
import { partitionForKey } from '../../../adapters/partitioner.ts'
import { attributeFields, filterQuery, numericFields, SAMPLED_OF } from '../../../adapters/redis/vector-index-filter.ts'
import { InvalidRequestError } from '../../../ports/errors.ts'
import type { Attributes } from '../../../ports/vector-index.ts'

function tagsOf(attributes: Attributes): string[] {
  const fields = attributeFields('a row', attributes)
  return fields[fields.indexOf('tags') + 1]!.split(',').slice(1)
}

test('no two fields and tags are written alike, whatever characters they hold', () => {
  const texts = [
    '',
    'a',
    'A',
    'a b',
    'a_b',
    'a__b',
    '_',
    '__',
    '_20',
    ' ',
    'a,b',
    'a|b',
    '{a}',
    'ロ',
    'ロック',
    '\0',
    '\n',
    'é',
  ]
  const seen = new Map<string, string>()
  for (const field of texts) {
    for (const tag of texts) {
      const [token, ...more] = tagsOf({ [field]: [tag] })
      assert.equal(more.length, 0)
      assert.match(token!, /^[A-Za-z0-9_]+$/)
      const pair = JSON.stringify([field, tag])
      assert.equal(seen.get(token!), undefined, `${pair} is written as ${seen.get(token!)}`)
      seen.set(token!, pair)
    }
  }
})

test('a tag too long for the engine still differs from another that begins alike', () => {
  const long = 'x'.repeat(5_000)
  const [one] = tagsOf({ genre: [`${long}1`] })
  const [other] = tagsOf({ genre: [`${long}2`] })
  assert.notEqual(one, other)
  assert.ok(one!.length < 600)
  assert.equal(filterQuery([{ field: 'genre', anyOf: [`${long}1`] }])!.text, `@tags:{${one}}`)
})

test('numbers and tags of one name are two fields', () => {
  assert.deepEqual(attributeFields('a row', { bpm: 120, genre: ['rock'] }), [
    'tags',
    'row,t_genre__rock',
    'n_bpm',
    '120',
  ])
  assert.deepEqual(tagsOf({ bpm: ['120'] }), ['t_bpm__120'])
  assert.deepEqual(numericFields({ bpm: 120, genre: ['rock'], 'a b': 1 }), ['n_bpm', 'n_a_20b'])
})

test('RediSearch/RediSearch#5212: an exclusion alone does not walk every document id ever given', () => {
  const query = filterQuery([{ field: 'genre', noneOf: ['rock', 'pop'] }])
  assert.equal(query!.text, '@tags:{row} -@tags:{t_genre__rock|t_genre__pop}')
})

test('a filter that no row can pass asks nothing, and one that all rows pass asks for all', () => {
  assert.equal(filterQuery([{ field: 'genre', anyOf: [] }]), undefined)
  assert.equal(filterQuery([{ field: 'bpm', min: 3, max: 2 }]), undefined)
  assert.equal(filterQuery([{ field: 'bpm', min: Infinity }]), undefined)
  assert.equal(filterQuery([{ field: 'genre', noneOf: [] }])!.text, '@tags:{row}')
})

test('ranges are closed, may be open to one side, and are refused when they are no numbers', () => {
  const text = (min?: number, max?: number) =>
    filterQuery([{ field: 'bpm', ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) }])!.text
  assert.equal(text(-1.5, 1e21), '@n_bpm:[-1.5 1e+21]')
  assert.equal(text(3), '@n_bpm:[3 +inf]')
  assert.equal(text(undefined, 3), '@n_bpm:[-inf 3]')
  assert.equal(text(), '@n_bpm:[-inf +inf]')
  assert.throws(() => text(Number.NaN), InvalidRequestError)
  assert.deepEqual(filterQuery([{ field: 'bpm', min: 1 }])!.numericFields, ['n_bpm'])
})

test('one row of 256 is in the sample, whichever server its id leads to', () => {
  const ids = Array.from({ length: 40_000 }, (_, i) => `track-${i}`)
  const isSampled = (id: string) => attributeFields(id, {})[1] === 'row,sample'
  for (const shard of [0, 1, 2, 3]) {
    const own = ids.filter((id) => partitionForKey(id, 4) === shard)
    const share = own.filter(isSampled).length / own.length
    assert.ok(share > 0.5 / SAMPLED_OF && share < 1.5 / SAMPLED_OF, `server ${shard} has ${share} in its sample`)
  }
})
