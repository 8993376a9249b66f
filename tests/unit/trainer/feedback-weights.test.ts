import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FeedbackAction } from '../../../schemas/types.ts'
import { FeedbackLedger, weighPairs } from '../../../trainer/data/feedback-weights.ts'

const RECEIVED_AT = 1_000
const LATER = 2_000

type Told = readonly [request: string, action: FeedbackAction, recordedAt?: number]

/** The weight of track `t` for video `v`; 0 where it makes no pair. */
function weightOf(told: readonly Told[]): number {
  const ledger = new FeedbackLedger()
  for (const [requestId, action, recordedAt = LATER] of told) {
    ledger.add({ videoId: 'v', trackId: 't', requestId, action, recordedAt })
  }
  return weighPairs(ledger.chosen(), () => RECEIVED_AT)[0]?.weight ?? 0
}

const times = (count: number, action: FeedbackAction): Told[] =>
  Array.from({ length: count }, (_, i) => [`${action} ${i}`, action])

describe('feedback', () => {
  test('of one choice weighs as much as a soundtrack', () => assert.equal(weightOf(times(1, 'chosen')), 1))

  test('of more choices weighs more, twice a soundtrack at most', () => {
    assert.equal(weightOf(times(2, 'chosen')).toFixed(3), Math.log2(3).toFixed(3))
    assert.equal(weightOf(times(3, 'chosen')), 2)
    assert.equal(weightOf(times(1_000, 'chosen')), 2)
  })

  test('of previews raises a choice a little, and makes no pair by itself', () => {
    assert.equal(weightOf([...times(1, 'chosen'), ...times(2, 'previewed')]), Math.log2(2.5))
    assert.equal(weightOf(times(50, 'previewed')), 0)
  })

  test('of skips lowers a choice, and two undo it', () => {
    assert.equal(weightOf([...times(1, 'chosen'), ...times(1, 'skipped')]), Math.log2(1.5))
    assert.equal(weightOf([...times(1, 'chosen'), ...times(2, 'skipped')]), 0)
    assert.equal(weightOf([...times(1, 'chosen'), ...times(9, 'skipped')]), 0)
  })

  test('of being shown says nothing', () => {
    assert.equal(weightOf([...times(1, 'chosen'), ...times(90, 'shown')]), 1)
  })

  test('of one request counts once, by the strongest of what it told', () => {
    const again = Array.from({ length: 100 }, (): Told => ['one', 'chosen'])
    assert.equal(weightOf(again), 1)
    assert.equal(
      weightOf([
        ['one', 'previewed'],
        ['one', 'skipped'],
        ['one', 'chosen'],
        ['one', 'skipped'],
      ]),
      1,
    )
  })

  test('that was told before the upload was received anew is of another', () => {
    assert.equal(weightOf([['old', 'chosen', RECEIVED_AT - 1]]), 0)
    assert.equal(
      weightOf([
        ['old', 'skipped', RECEIVED_AT - 1],
        ['new', 'chosen'],
      ]),
      1,
    )
  })

  test('about one video weighs four soundtracks together at most', () => {
    const ledger = new FeedbackLedger()
    for (let track = 0; track < 100; track++) {
      for (let request = 0; request < 3; request++) {
        const ids = { videoId: 'v', trackId: `t${track}`, requestId: `${track}/${request}` }
        ledger.add({ ...ids, action: 'chosen', recordedAt: LATER })
      }
    }
    const pairs = weighPairs(ledger.chosen(), () => RECEIVED_AT)
    assert.equal(pairs.length, 100)
    assert.ok(Math.abs(pairs.reduce((sum, { weight }) => sum + weight, 0) - 4) < 1e-9, 'the sum is 4')
  })

  test('about what was taken down makes no pair', () => {
    const ledger = new FeedbackLedger()
    for (const trackId of ['gone', 'there']) {
      ledger.add({ videoId: 'v', trackId, requestId: 'r', action: 'chosen', recordedAt: LATER })
    }
    const pairs = weighPairs(ledger.chosen(), (id) => (id === 'gone' ? undefined : RECEIVED_AT))
    assert.deepEqual(pairs, [{ videoId: 'v', trackId: 'there', weight: 1 }])
  })
})
