import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { EmbeddedBroker } from '../../../adapters/embedded/broker.ts'
import { parseReplayFrom, seekTo } from '../../../cli/rebuild/replay-from.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const START = Date.parse('2026-11-22T14:00:00Z')
const group = 'replay'
const topic = 'replayed'

describe('where a replay begins', () => {
  let broker: EmbeddedBroker
  before(async () => {
    broker = await EmbeddedBroker.open({ dataFolder: temporaryFolder() })
    await broker.ensureTopics([
      { name: topic, partitions: 2, retention: 'compacted', maxRecordBytes: 1_000 },
      { name: 'empty', partitions: 2, retention: 'compacted', maxRecordBytes: 1_000 },
    ])
    // A record a second; keys come again, so that compaction leaves gaps.
    for (let i = 0; i < 40; i++) {
      const key = `key-${i % 15}`
      await broker.produce([{ topic, key, value: Buffer.from(`${i}`), partition: 0, timestamp: START + i * 1_000 }])
    }
  })
  after(() => broker.close())

  const sought = async (...words: string[]) => {
    await seekTo(broker, group, [topic, 'empty'], parseReplayFrom(words))
    const [first, second] = await broker.lag(group, [topic])
    return [first!.committedOffset, second!.committedOffset]
  }
  /** Of the first record that is left at or after `i`. */
  const kept = (i: number) => Math.max(i, 25)

  test('at a moment it is the first record of that moment or later, across the gaps of compaction', async () => {
    for (const i of [0, 24, 25, 26, 33, 39]) {
      assert.deepEqual(await sought(new Date(START + i * 1_000).toISOString()), [kept(i), 0], `second ${i}`)
    }
    assert.deepEqual(await sought(new Date(START + 30_500).toISOString()), [31, 0], 'between two records')
    assert.deepEqual(await sought(new Date(START + 3_600_000).toISOString()), [40, 0], 'after all of them: the end')
    assert.deepEqual(await sought('2026-11-22'), [25, 0], 'a day is its first moment')
  })

  test('at positions it is these, several at once', async () => {
    assert.deepEqual(await sought(`${topic}/0/30`, `${topic}/1/0`), [30, 0])
    assert.deepEqual(await sought(`${topic}/0/40`), [40, 0])
  })

  test('earliest and nothing said are the start, whatever the group has committed', () => {
    assert.deepEqual(parseReplayFrom([]), { kind: 'earliest' })
    assert.deepEqual(parseReplayFrom(['earliest']), { kind: 'earliest' })
  })

  for (const words of [
    ['latest'],
    ['earliest', 'earliest'],
    ['2026-99-99'],
    ['2026-11-22', '2026-11-23'],
    [`${topic}/0`],
    [`${topic}/0/-1`],
    ['12'],
  ]) {
    test(`${words.join(' ')} is refused, and what may be said is named`, () => {
      assert.throws(() => parseReplayFrom(words), {
        code: 'bad-position',
        message: /earliest.*topic\/partition\/offset/,
      })
    })
  }

  test('a position past the end, or on what is not replayed, is refused', async () => {
    await assert.rejects(sought(`${topic}/0/41`), { code: 'bad-position', message: /ends at 40, before 41/ })
    await assert.rejects(sought(`${topic}/9/0`), { code: 'bad-position', message: /no partition that is replayed/ })
    await assert.rejects(sought('other/0/0'), { code: 'bad-position' })
  })
})
