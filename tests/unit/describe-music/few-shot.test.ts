import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { seededRandom } from '../../../model/random.ts'
import { SetupError } from '../../../ports/errors.ts'
import { vocabulary } from '../../../processors/analyse-music/vocabulary.ts'
import { checkText } from '../../../processors/describe-music/check-text.ts'
import { choosePairs, defaultPool, type FewShotPool, readPool } from '../../../processors/describe-music/few-shot.ts'
import { tagId } from '../../../processors/describe-music/select-tags.ts'
import type { Tag } from '../../../schemas/types.ts'

const tag = (category: string, name: string, confidence = 0.9): Tag => ({ category, tag: name, confidence })
const random = () => seededRandom(1)

describe('the pool that comes with Cuestream', () => {
  const { pairs, licence, sha256 } = defaultPool()

  test('has at least 100 pairs under a licence, each text once', () => {
    assert.ok(pairs.length >= 100)
    assert.equal(licence, 'Apache-2.0')
    assert.match(sha256, /^[0-9a-f]{64}$/)
    assert.equal(new Set(pairs.map(({ text }) => text)).size, pairs.length)
    assert.equal(defaultPool(), defaultPool())
  })

  test('speaks of every tag of the vocabulary, and of no other', () => {
    const spoken = new Set(pairs.flatMap(({ tags }) => tags.map(tagId)))
    assert.deepEqual([...spoken].sort(), vocabulary.map(tagId).sort())
  })

  test('names nothing that its tags do not have, and most of what they have', () => {
    let [kept, omitted] = [0, 0]
    for (const { tags, text } of pairs) {
      const check = checkText(text, tags, {})
      assert.deepEqual(check.faults, [], text)
      assert.deepEqual(check.invented, [], text)
      assert.ok(check.kept.length >= tags.length / 2, `${text} keeps ${check.kept}, not ${check.omitted}`)
      kept += check.kept.length
      omitted += check.omitted.length
    }
    assert.ok(kept / (kept + omitted) > 0.75, `${kept} of ${kept + omitted}`)
  })

  test('is as varied as people are: 6 to 40 words, few openings twice', () => {
    const lengths = pairs.map(({ text }) => text.split(/\s+/).length)
    assert.ok(
      Math.min(...lengths) >= 6 && Math.max(...lengths) <= 40,
      `${Math.min(...lengths)} ${Math.max(...lengths)}`,
    )
    const openings = new Set(pairs.map(({ text }) => text.split(' ').slice(0, 2).join(' ')))
    assert.ok(openings.size > pairs.length * 0.8, `${openings.size} openings of ${pairs.length}`)
    for (const { tags } of pairs) {
      for (const { confidence } of tags) assert.ok(confidence >= 0.2 && confidence <= 0.99)
    }
  })
})

describe('a pool from a file', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'few-shot-'))
  })
  after(() => rm(folder, { recursive: true }))

  const read = async (name: string, content: string | Uint8Array, atLeast?: number) => {
    const path = join(folder, name)
    await writeFile(path, content)
    return readPool(path, atLeast)
  }
  const fails = (name: string, content: string | Uint8Array, message: RegExp, atLeast?: number) =>
    assert.rejects(read(name, content, atLeast), (error: SetupError) => {
      assert.ok(error instanceof SetupError)
      assert.equal(error.code, 'bad-few-shot-pool')
      assert.match(error.message, message)
      return true
    })

  const line = 'Genre: jazz (71.2%), blues; mood: calm (50%)'
  const tags = [tag('genre', 'jazz', 0.712), tag('genre', 'blues', 1), tag('mood', 'calm', 0.5)]
  const text = 'Calm jazz with a lot of blues.'

  test('is read from JSON, JSON Lines and CSV alike', async () => {
    const json = await read(
      'a.json',
      JSON.stringify({
        licence: 'CC0-1.0',
        pairs: [
          { tags: line, text },
          { tags, text },
        ],
      }),
    )
    const lines = await read(
      'a.jsonl',
      `\uFEFF${JSON.stringify({ tags: line, text })}\r\n\n${JSON.stringify({ tags, text })}\n`,
    )
    const csv = await read('a.csv', `\uFEFFid,Text,tags\r\n1,${text},"${line}"\n2,"${text}","${line}"\r`)
    for (const pool of [json, lines, csv]) {
      assert.deepEqual(pool.pairs, [
        { tags, text },
        { tags, text },
      ])
      assert.equal(pool.untagged, 0)
      assert.match(pool.sha256, /^[0-9a-f]{64}$/)
    }
    assert.equal(json.licence, 'CC0-1.0')
    assert.equal('licence' in csv, false)
  })

  test('takes the tags that a text names where it has none, and leaves out and counts a text that names none', async () => {
    const pool = await read('b.csv', 'text\nA calm piano piece.\nI like it.\n')
    assert.equal(pool.pairs.length, 1)
    assert.equal(pool.untagged, 1)
    assert.deepEqual(pool.pairs[0]!.tags.map(tagId).sort(), ['instrument:piano', 'mood:calm'])
  })

  test('has texts of one line', async () => {
    const pool = await read('c.csv', `text,tags\n"  Calm\n  jazz. ",genre: jazz\n`)
    assert.equal(pool.pairs[0]!.text, 'Calm jazz.')
  })

  test('says at once what is wrong with every row, and where it is', async () => {
    const rows = [
      'text,tags',
      'Fine.,genre: jazz',
      ',genre: jazz',
      `${'x'.repeat(601)},genre: jazz`,
      'No category.,jazz',
      'Other category.,tempo: fast',
      'Bad name.,genre: <jazz>',
      'Bad confidence.,genre: jazz (120%)',
      'Marks a [Input]: part.,genre: jazz',
      'Too,many,columns',
    ]
    const message = await read('d.csv', rows.join('\n')).then(
      () => assert.fail('it was read'),
      (error: Error) => error.message,
    )
    assert.match(message, /8 bad rows/)
    assert.match(message, /line 3: no text/)
    assert.match(message, /line 4: a text of 601 characters/)
    assert.match(message, /line 5: tags without a category: 'jazz'/)
    assert.match(message, /line 6: a category 'tempo'/)
    assert.match(message, /line 7: a tag '<jazz>'/)
    assert.match(message, /line 8: a confidence of 'jazz'/)
    assert.match(message, /line 9: a text with \[Input\]/)
    assert.match(message, /line 10: 3 columns where the first line has 2/)
  })

  test('of JSON says so too, by line or by pair', async () => {
    const good = JSON.stringify({ tags: line, text })
    await fails(
      'e.jsonl',
      `${good}\nnot json\n\n{"text":"x","tags":7}\n`,
      /line 2: no pair[\s\S]*line 4: tags that are neither/,
    )
    await fails('e.json', JSON.stringify({ pairs: [{ tags: line, text }, 'x'] }), /pair 2: no pair of tags and text/)
    await fails('f.json', '{', /no JSON of/)
  })

  test('is refused when it is too large, too small, of no known kind, or cannot be read', async () => {
    await fails('g.jsonl', new Uint8Array(10 * 2 ** 20 + 1), /more than 10485760/)
    await fails('g.csv', `text,tags\n${'Jazz.,genre: jazz\n'.repeat(20_001)}`, /20001 pairs, more than 20000/)
    await fails('h.csv', 'text,tags\nJazz.,genre: jazz\n', /has 1 pairs with tags: 5 are needed/, 5)
    await fails('i.txt', 'x', /is no \.json, \.jsonl or \.csv/)
    await fails('j.csv', 'words,tags\nx,y\n', /no column 'text'/)
    await fails('k.csv', 'text,tags\n"open,genre: jazz\n', /is no CSV/)
    await fails('l.csv', new Uint8Array([0x74, 0xff, 0xfe]), /is not UTF-8/)
    await assert.rejects(readPool(join(folder, 'missing.csv')), /cannot be read/)
  })
})

describe('the pairs that a prompt shows', () => {
  const track = [tag('genre', 'jazz', 0.8), tag('instrument', 'saxophone', 0.7), tag('mood', 'relaxing', 0.5)]

  test('are the most similar, the most similar last', () => {
    const pairs = choosePairs(defaultPool(), track, { k: 5, choice: 'similar', random: random() })
    assert.equal(new Set(pairs).size, 5)
    const shared = (pair: { tags: readonly Tag[] }) => {
      const ids = new Set(pair.tags.map(tagId))
      return track.filter((one) => ids.has(tagId(one))).length
    }
    assert.equal(shared(pairs.at(-1)!), 3)
    assert.ok(pairs.every((pair) => shared(pair) > 0))
  })

  test('are no near duplicates of each other where others are nearly as similar', () => {
    const pool: FewShotPool = {
      sha256: '',
      pairs: [
        { tags: track, text: 'a' },
        { tags: track, text: 'a again' },
        {
          tags: [tag('genre', 'jazz', 0.8), tag('instrument', 'saxophone', 0.7), tag('vocals', 'choir', 0.5)],
          text: 'b',
        },
        { tags: [tag('genre', 'metal')], text: 'c' },
      ],
    }
    const pairs = choosePairs(pool, track, { k: 2, choice: 'similar', random: random() })
    assert.deepEqual(new Set(pairs.map(({ text }) => text[0])), new Set(['a', 'b']))
    assert.equal(pairs.at(-1)!.text[0], 'a')
  })

  test('are the same for the same seed; the seed decides between equals', () => {
    const equals: FewShotPool = {
      sha256: '',
      pairs: Array.from({ length: 50 }, (_, i) => ({ tags: [tag('genre', 'jazz')], text: String(i) })),
    }
    for (const choice of ['similar', 'random'] as const) {
      const chosen = (seed: number, tags: readonly Tag[]) =>
        choosePairs(equals, tags, { k: 3, choice, random: seededRandom(seed) }).map(({ text }) => text)
      for (const tags of [track, []]) {
        assert.deepEqual(chosen(1, tags), chosen(1, tags))
        assert.notDeepEqual(chosen(1, tags), chosen(2, tags))
      }
    }
  })

  test('drawn at random are all different and any of the pool', () => {
    const seen = new Set<string>()
    const pool = defaultPool()
    for (let seed = 0; seed < 400; seed++) {
      const pairs = choosePairs(pool, track, { k: 5, choice: 'random', random: seededRandom(seed) })
      assert.equal(new Set(pairs).size, 5)
      for (const { text } of pairs) seen.add(text)
    }
    assert.equal(seen.size, pool.pairs.length)
    const every = choosePairs(pool, track, { k: pool.pairs.length, choice: 'random', random: random() })
    assert.equal(new Set(every).size, pool.pairs.length)
  })

  test('are refused where the pool has fewer', () => {
    const pool: FewShotPool = { sha256: '', pairs: [] }
    assert.throws(() => choosePairs(pool, track, { k: 1, choice: 'random', random: random() }), {
      code: 'small-few-shot-pool',
    })
  })
})
