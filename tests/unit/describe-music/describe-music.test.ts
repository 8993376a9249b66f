import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { data2text } from '../../../processors/describe-music/data2text.ts'
import { describeMusic } from '../../../processors/describe-music/describe-music.ts'
import { confidentTags } from '../../../processors/describe-music/select-tags.ts'
import { wire } from '../../../runtime/define-processor.ts'
import { createTestDriver } from '../../../runtime/test-driver.ts'
import type { MusicTagged, Tag } from '../../../schemas/types.ts'
import { musicDescribed, musicTagged } from '../../../topics/topics.ts'

const tag = (category: string, name: string, confidence = 0.9): Tag => ({ category, tag: name, confidence })

const tags = [
  tag('genre', 'country', 0.8),
  tag('genre', 'rock', 0.7),
  tag('mood', 'happy', 0.9),
  tag('mood', 'nostalgic', 0.6),
  tag('instrument', 'guitar', 0.95),
  tag('instrument', 'acoustic guitar', 0.9),
  tag('instrument', 'drumset', 0.8),
  tag('vocals', 'male vocals', 0.7),
]

const heard = (trackId: string, given: readonly Tag[] = tags): MusicTagged => ({
  trackId,
  source: 'track',
  tags: given,
  segments: [],
  tempo: { bpm: 100, confidence: 1 },
  key: { tonic: 'C', mode: 'major', confidence: 1 },
  loudnessLufs: -14,
  durationSeconds: 30,
  tagger: { id: 't', sha256: 't' },
  taggedAt: 1,
})

async function described(method: 'data2text' | 'tags', seed: number, records: readonly MusicTagged[]) {
  const driver = createTestDriver([wire(describeMusic, { method, seed, now: () => 2 })])
  for (const record of records) await driver.pipe(musicTagged.record(record.trackId, record))
  return (await driver.records(musicDescribed)).map(({ value }) => value!)
}

describe('descriptions from tags', () => {
  test('data2text keeps every tag it was given and names no other, in sentences, whatever the seed', () => {
    const chosen = confidentTags(tags)
    const given = Object.values(chosen).flat()
    const vocabulary = [
      'country',
      'rock',
      'happy',
      'nostalgic',
      'acoustic guitar',
      'drumset',
      'male vocals',
      'jazz',
      'piano',
    ]
    for (let seed = 0; seed < 300; seed++) {
      const text = data2text(chosen, seededRandom(seed))
      for (const word of vocabulary) {
        assert.equal(
          text.includes(word),
          given.some((one) => one.tag === word),
          `${word} in: ${text}`,
        )
      }
      assert.match(text, /^[A-Z].*\.$/)
      assert.ok(!/[{}]|undefined| {2}|\.\./.test(text), text)
    }
  })

  test('an instrumental track is called instrumental, never "with instrumental"', () => {
    const chosen = confidentTags([
      ...tags.filter(({ category }) => category !== 'vocals'),
      tag('vocals', 'instrumental'),
    ])
    for (let seed = 0; seed < 300; seed++) {
      const text = data2text(chosen, seededRandom(seed))
      assert.match(text, /(It|The track) is instrumental\./)
      assert.ok(!/(with|has|and|are|features) instrumental/i.test(text), text)
    }
  })

  test('the words vary with the seed', () => {
    const texts = new Set(Array.from({ length: 100 }, (_, seed) => data2text(confidentTags(tags), seededRandom(seed))))
    assert.ok(texts.size > 30, `${texts.size} different texts`)
  })

  test('a general tag is left out beside a special one, and what is below the threshold is not claimed', () => {
    const chosen = confidentTags([...tags, tag('mood', 'sad', 0.1)])
    assert.deepEqual(
      chosen.instrument.map(({ tag: name }) => name),
      ['acoustic guitar', 'drumset'],
    )
    assert.deepEqual(
      chosen.mood.map(({ tag: name }) => name),
      ['happy', 'nostalgic'],
    )
  })

  test('the same seed and track give the same text, another track another', async () => {
    const records = [heard('a'), heard('b'), heard('c'), heard('d')]
    const texts = async () => (await described('data2text', 7, records)).map(({ text }) => text)
    const first = await texts()
    assert.deepEqual(await texts(), first)
    assert.ok(new Set(first).size > 1)
  })

  test('the record says which tags were kept and which were left out', async () => {
    const [record] = await described('data2text', 1, [heard('a', [...tags, tag('mood', 'sad', 0.21)])])
    assert.equal(record?.method, 'data2text')
    assert.ok(record?.tagsKept.includes('acoustic guitar'))
    assert.deepEqual([...(record?.tagsOmitted ?? [])].sort(), ['guitar', 'sad'])
    assert.deepEqual(record?.tagsInvented, [])
  })

  test('the method of tags joins the top tags by commas, in an order that the seed decides', async () => {
    const many = Array.from({ length: 30 }, (_, i) => tag('mood', `mood-${i}`, 1 - i / 100))
    const [record] = await described('tags', 1, [heard('a', many)])
    const words = record!.text.split(', ')
    assert.equal(words.length, 12)
    assert.deepEqual(
      [...words].sort(),
      many
        .slice(0, 12)
        .map(({ tag: name }) => name)
        .sort(),
    )
    const [other] = await described('tags', 2, [heard('a', many)])
    assert.notEqual(other!.text, record!.text)
  })

  test('a track with no confident tag is described by its strongest ones', async () => {
    const [record] = await described('data2text', 1, [
      heard('a', [tag('mood', 'sad', 0.22), tag('genre', 'folk', 0.21)]),
    ])
    assert.deepEqual(record!.text.split(', ').sort(), ['folk', 'sad'])
  })
})
