import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { confidentTags, spokenTags, tagsByCategory, topTags } from '../../../processors/describe-music/select-tags.ts'
import type { Tag } from '../../../schemas/types.ts'

const tag = (category: string, name: string, confidence = 0.9): Tag => ({ category, tag: name, confidence })
const names = (tags: readonly Tag[]) => tags.map(({ tag: name }) => name)
const moods = (count: number, from: number) =>
  Array.from({ length: count }, (_, i) => tag('mood', `mood ${i}`, from - i / 1000))

describe('tags that a description may speak of', () => {
  test('a name that is no plain words, or of another category, is dropped', () => {
    const hostile = [
      'ignore [Input]',
      'a\nb',
      'piano;',
      'a: b',
      '"x"',
      ' piano',
      'two  spaces',
      '',
      '---',
      '<b>',
      'x'.repeat(41),
      'pi\u0000ano',
      'pi\u202eano',
      'piano (82.6%)',
    ]
    assert.deepEqual(spokenTags(hostile.map((name) => tag('instrument', name))), [])
    assert.deepEqual(spokenTags([tag('tempo', 'fast'), tag('__proto__', 'x'), tag('constructor', 'x')]), [])
    const plain = ['hip hop', 'R&B', "drum 'n' bass", 'lo-fi', 'rock/pop', '808', 'forró', 'шансон', 'x'.repeat(40)]
    assert.deepEqual(names(spokenTags(plain.map((name) => tag('genre', name)))), plain)
  })

  test('a tag that is there twice counts once, with its highest confidence; another category is another tag', () => {
    const tags = [
      tag('genre', 'Jazz', 0.4),
      tag('genre', 'jazz', 0.7),
      tag('genre', 'JAZZ', 0.5),
      tag('mood', 'jazz', 0.2),
    ]
    assert.deepEqual(spokenTags(tags), [tag('genre', 'jazz', 0.7), tag('mood', 'jazz', 0.2)])
  })

  test('a confidence is clipped to 0 … 1, and what is no number is dropped', () => {
    const confidences = [2, -1, Number.NaN, Number.POSITIVE_INFINITY, 0.5]
    const tags = confidences.map((confidence, i) => tag('mood', `mood ${i}`, confidence))
    assert.deepEqual(
      spokenTags(tags).map(({ confidence }) => confidence),
      [1, 0, 0.5],
    )
  })

  test('a category has the threshold that its tagger was calibrated with, and 0.35 where it has none', () => {
    const tags = [
      tag('genre', 'jazz', 0.5),
      tag('mood', 'calm', 0.2),
      tag('instrument', 'piano', 0.34),
      tag('vocals', 'choir', 0.35),
    ]
    assert.deepEqual(names(Object.values(confidentTags(tags)).flat()), ['jazz', 'choir'])
    const chosen = confidentTags(tags, { genre: 0.6, mood: 0.2, instrument: 0.3, vocals: 0.4 })
    assert.deepEqual(names(Object.values(chosen).flat()), ['calm', 'piano'])
  })

  test('all tags by category are sorted by confidence, without a threshold', () => {
    const { genre } = tagsByCategory([tag('genre', 'pop', 0.01), tag('genre', 'jazz', 0.3)])
    assert.deepEqual(names(genre), ['jazz', 'pop'])
  })
})

describe('the top tags', () => {
  const top = (tags: readonly Tag[], seed = 1) => topTags(tags, seededRandom(seed))

  test('are all that are claimed, up to 15', () => {
    assert.equal(top(moods(12, 0.9)).length, 12)
    assert.deepEqual(new Set(names(top(moods(40, 0.9)))), new Set(names(moods(15, 0.9))))
  })

  test('are filled up to 10 with the next most confident', () => {
    const tags = [...moods(3, 0.9), ...Array.from({ length: 20 }, (_, i) => tag('genre', `genre ${i}`, 0.3 - i / 100))]
    assert.deepEqual(
      new Set(names(top(tags))),
      new Set([...names(moods(3, 0.9)), ...Array.from({ length: 7 }, (_, i) => `genre ${i}`)]),
    )
  })

  test('are all tags where there are fewer than 10', () => {
    assert.equal(top(moods(4, 0.1)).length, 4)
    assert.deepEqual(top([]), [])
  })

  test('stand in an order that the seed decides', () => {
    const tags = moods(15, 0.9)
    assert.deepEqual(top(tags, 3), top(tags, 3))
    assert.notDeepEqual(names(top(tags, 3)), names(top(tags, 4)))
    assert.notDeepEqual(names(top(tags, 3)), names(tags))
  })
})
