/** Precision and recall of tags in texts, by hand. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fidelity, type TagRow } from '../../../trainer/evaluation/captions/fidelity.ts'

const categories = ['genre', 'mood', 'vocals']
const categoryOf = (tag: string) => (['rock', 'jazz'].includes(tag) ? 'genre' : tag === 'choir' ? 'vocals' : 'mood')
const options = { categories, categoryOf, resamples: 200, seed: 1 }

const rows: readonly TagRow[] = [
  { given: ['rock', 'sad', 'calm'], kept: ['rock', 'sad'], invented: ['choir'] },
  { given: ['jazz'], kept: ['jazz'], invented: [] },
  { given: ['happy', 'jazz'], kept: [], invented: ['rock'] },
  { given: ['sad', 'sad'], kept: ['sad', 'sad'], invented: [] },
]

describe('fidelity', () => {
  test('precision is over what is said and recall over what was given, over all tags of all texts', () => {
    const { precision, recall, noInvention, keepAll, keptShare } = fidelity(rows, options)
    assert.equal(precision!.value, 4 / 6)
    assert.equal(recall!.value, 4 / 7) // a tag that stands twice counts once
    assert.equal(noInvention!.value, 2 / 4)
    assert.equal(keepAll!.value, 2 / 4)
    assert.equal(keptShare!.value, (2 / 3 + 1 + 0 + 1) / 4)
  })

  test('each category has its own, and a share of nothing is none', () => {
    const found = fidelity(rows, options).byCategory.map(({ category, given, precision, recall }) => {
      return [category, given, precision?.value, recall?.value]
    })
    assert.deepEqual(found, [
      ['genre', 3, 2 / 3, 2 / 3],
      ['mood', 4, 1, 2 / 4],
      ['vocals', 0, 0, undefined],
    ])
  })

  test('intervals hold the value, are the same again, and are narrower with more tracks', () => {
    const { precision } = fidelity(rows, options)
    assert.ok(precision!.low < precision!.value && precision!.value < precision!.high)
    assert.deepEqual(fidelity(rows, options).precision, precision)
    const many = fidelity(
      Array.from({ length: 400 }, (_, i) => rows[i % rows.length]!),
      options,
    ).precision!
    assert.equal(many.value, precision!.value)
    assert.ok(many.high - many.low < (precision!.high - precision!.low) / 4)
  })

  test('texts that say nothing have no precision, and keep nothing', () => {
    const { precision, recall, noInvention } = fidelity([{ given: ['rock'], kept: [], invented: [] }], options)
    assert.deepEqual([precision, recall!.value, noInvention!.value], [undefined, 0, 1])
  })
})
