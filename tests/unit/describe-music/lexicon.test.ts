import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { tagsOfAspects } from '../../../processors/describe-music/aspects.ts'
import { findClaims } from '../../../processors/describe-music/find-claims.ts'
import {
  allThatIs,
  conceptOfTag,
  entailedBy,
  lexicon,
  nearestTagged,
} from '../../../processors/describe-music/lexicon.ts'

const vocabulary: readonly { category: string; tag: string }[] = JSON.parse(
  readFileSync(new URL('../../../processors/analyse-music/vocabulary.json', import.meta.url), 'utf8'),
).tags
const concepts = [...lexicon.values()]
const names = (aspects: readonly string[]) => tagsOfAspects(aspects).map(({ tag }) => tag)

describe('the lexicon', () => {
  test('every tag of the vocabulary is a concept of the same category, and no concept has another tag', () => {
    assert.equal(vocabulary.length, 95)
    for (const tag of vocabulary) assert.equal(conceptOfTag(tag)?.tag, tag.tag, `${tag.category}/${tag.tag}`)
    const tags = new Set(vocabulary.map(({ category, tag }) => `${category}/${tag}`))
    for (const { category, tag } of concepts) if (tag) assert.ok(tags.has(`${category}/${tag}`), tag)
  })

  test('a tag that stands alone is found as itself, so a list of tags says all of them', () => {
    for (const { category, tag } of vocabulary) {
      const [claim, ...more] = findClaims(tag)
      assert.deepEqual({ tag: claim?.tag, category: claim?.category, more }, { tag, category, more: [] })
    }
  })

  test('it names more than 150 instruments, 200 genres and the 28 moods', () => {
    const count = (category: string) => concepts.filter((concept) => concept.category === category).length
    assert.ok(count('instrument') > 150, `${count('instrument')}`)
    assert.ok(count('genre') > 200, `${count('genre')}`)
    assert.equal(count('mood'), 28)
  })

  test('what a concept is or implies is a concept, and nothing is a kind of itself', () => {
    for (const { name, is, implies } of concepts) {
      for (const other of [...is, ...implies]) assert.ok(lexicon.has(other), `${name}: ${other}`)
      for (const parent of is) assert.ok(!allThatIs(parent).has(name), `${name} is ${parent} and the reverse`)
    }
  })

  test('no words name two concepts, and each concept has some', () => {
    const owner = new Map<string, string>()
    for (const { name, words, weak } of concepts) {
      assert.ok(words.length + weak.length > 0, name)
      for (const term of [...words, ...weak]) {
        assert.equal(owner.get(term), undefined, `${term}: ${owner.get(term)} and ${name}`)
        owner.set(term, name)
      }
    }
  })

  test('every word of a concept is found as that concept', () => {
    for (const { name, words } of concepts) {
      for (const term of words) {
        const found = findClaims(term).map(({ concept }) => concept)
        assert.deepEqual(found, [name], term)
      }
    }
  })

  test('a kind of a thing covers the thing, not the reverse', () => {
    assert.ok(entailedBy('acoustic drumset').has('percussion'))
    assert.ok(entailedBy('acoustic drumset').has('snare drum'))
    assert.ok(!entailedBy('drumset').has('acoustic drumset'))
    assert.ok(entailedBy('orchestra').has('brass') && !allThatIs('orchestra').has('brass'))
  })

  test('the nearest tags stand for a concept without one', () => {
    const nearest = (name: string) => nearestTagged(lexicon.get(name)!).map(({ name }) => name)
    assert.deepEqual(nearest('bongos'), ['hand drums'])
    assert.deepEqual(nearest('deep house'), ['dance', 'electronic'])
    assert.deepEqual(nearest('theremin'), [])
  })
})

describe('aspects of people', () => {
  test('free words become tags, each once, and those of other things become none', () => {
    assert.deepEqual(
      names(['soft female vocal', 'female singer', 'slow tempo', 'low quality', 'fiddle', 'deep house']),
      ['female vocals', 'slow', 'violin', 'dance', 'electronic'],
    )
    assert.deepEqual(tagsOfAspects(['fiddle']), [{ category: 'instrument', tag: 'violin', confidence: 1 }])
    assert.deepEqual(names([]), [])
  })

  test('no voice is instrumental; other denials are nothing', () => {
    for (const aspect of ['no voice', 'no vocals', 'instrumental', 'no singer', 'without vocals', 'non-vocal']) {
      assert.deepEqual(names([aspect]), ['instrumental'], aspect)
    }
    assert.deepEqual(names(['no drums', 'no other instruments', 'no female vocals']), [])
  })
})
