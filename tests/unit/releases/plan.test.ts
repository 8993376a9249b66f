import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { openCatalogue } from '../../../adapters/embedded/catalogue.ts'
import { changePlan } from '../../../cli/releases/change-plan.ts'
import {
  answering,
  assigned,
  beginEmbedding,
  cancel,
  carriedBy,
  complete,
  embedding,
  endTrial,
  fail,
  firstPlan,
  letGo,
  named,
  request,
  rollBack,
  stands,
} from '../../../cli/releases/plan.ts'
import { pick, seededRandom } from '../../../model/random.ts'
import { InvalidRequestError } from '../../../ports/errors.ts'
import type { ReleasePlan } from '../../../ports/release-plan.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const asked = (plan: ReleasePlan, release: string, trialShare: number | null = null) =>
  request(plan, { release, trialShare, at: 5 })
const rolledOut = (plan: ReleasePlan, release: string, trialShare: number | null = null) =>
  complete(beginEmbedding(asked(plan, release, trialShare)), 9)
const refusal = (code: string) => (error: unknown) => error instanceof InvalidRequestError && error.code === code
const first = firstPlan('a', 1)

describe('the release plan', () => {
  test('a release is embedded by once it was checked, and answers once it is whole', () => {
    const requested = asked(first, 'b')
    assert.deepEqual([embedding(requested), answering(requested), named(requested)], [['a'], ['a'], ['a', 'b']])
    const embedded = beginEmbedding(requested)
    assert.deepEqual([embedding(embedded), answering(embedded)], [['a', 'b'], ['a']])
    const switched = complete(embedded, 9)
    assert.deepEqual([switched.serving, switched.previous, switched.preparing], ['b', 'a', null])
    assert.deepEqual(
      [embedding(switched), answering(switched)],
      [
        ['b', 'a'],
        ['b', 'a'],
      ],
    )
    assert.deepEqual(switched.lastRollOut, { release: 'b', outcome: 'done', failure: null, endedAt: 9 })
  })

  test('the release before the previous one is named no more', () => {
    assert.deepEqual(named(rolledOut(rolledOut(first, 'b'), 'c')), ['c', 'b'])
  })

  test('a roll-back is one change, and another one goes forth again', () => {
    const back = rollBack(rolledOut(first, 'b'), 10)
    assert.deepEqual([back.serving, back.previous], ['a', 'b'])
    assert.equal(rollBack(back, 11).serving, 'b')
    assert.throws(() => rollBack(first, 10), refusal('no-previous-release'))
  })

  test('a roll-back to what is being rolled out, or on trial, ends that: it serves', () => {
    const back = rollBack(asked(rolledOut(rolledOut(first, 'b'), 'a', 0.5), 'a'), 10)
    assert.deepEqual([back.serving, back.previous, back.trial, back.preparing], ['a', 'b', null, null])
    assert.equal(back.lastRollOut?.outcome, 'cancelled')
  })

  test('a trial answers beside what serves, is replaced by another, and serves when it is rolled out', () => {
    const tried = rolledOut(first, 'b', 0.25)
    assert.deepEqual([tried.serving, tried.previous, tried.trial], ['a', null, { release: 'b', share: 0.25 }])
    const other = rolledOut(tried, 'c', 0.5)
    assert.deepEqual([other.trial, named(other)], [{ release: 'c', share: 0.5 }, ['a', 'c']])
    const promoted = rolledOut(tried, 'b')
    assert.deepEqual([promoted.serving, promoted.previous, promoted.trial], ['b', 'a', null])
    assert.equal(endTrial(tried).trial, null)
    assert.throws(() => endTrial(first), refusal('no-trial'))
  })

  test('one is rolled out at a time, and not what serves', () => {
    assert.throws(() => asked(asked(first, 'b'), 'c'), refusal('roll-out-running'))
    assert.throws(() => asked(first, 'a'), refusal('already-serving'))
    assert.throws(() => cancel(first, 1), refusal('no-roll-out'))
  })

  test('what fails or is cancelled leaves what serves, and says so', () => {
    const failed = fail(beginEmbedding(asked(first, 'b')), { code: 'unusable-release', message: 'NaN' }, 7)
    const cancelled = cancel(asked(first, 'b'), 8)
    for (const plan of [failed, cancelled]) assert.deepEqual([named(plan), plan.serving], [['a'], 'a'])
    assert.deepEqual(failed.lastRollOut?.failure, { code: 'unusable-release', message: 'NaN' })
    assert.equal(cancelled.lastRollOut?.outcome, 'cancelled')
  })

  test('a roll-out that was cancelled and asked for again is another one', () => {
    const one = asked(first, 'b').preparing!
    const again = request(cancel(asked(first, 'b'), 6), { release: 'b', trialShare: null, at: 7 })
    assert.equal(stands(asked(first, 'b'), one), true)
    assert.equal(stands(again, one), false)
  })

  test('one process carries it out until it lets go or its time is over', () => {
    const held = carriedBy(first, 'one', 100, 50)
    assert.equal(carriedBy(held, 'other', 149, 50), held)
    assert.deepEqual(carriedBy(held, 'one', 149, 50).carrier, { id: 'one', until: 199 })
    assert.equal(carriedBy(held, 'other', 150, 50).carrier?.id, 'other')
    assert.equal(letGo(held, 'other'), held)
    assert.equal(letGo(held, 'one').carrier, null)
  })

  test('a request has the same release each time, and of many the trial has its share', () => {
    const tried = rolledOut(first, 'b', 0.2)
    const ids = Array.from({ length: 20_000 }, (_, i) => `request-${i}`)
    const drawn = ids.map((id) => assigned(tried, id))
    assert.deepEqual(
      ids.map((id) => assigned(tried, id)),
      drawn,
    )
    const share = drawn.filter((release) => release === 'b').length / ids.length
    assert.ok(Math.abs(share - 0.2) < 0.012, `${share}`) // 4 standard deviations
    const more = rolledOut(first, 'b', 0.4)
    assert.ok(
      ids.every((id, i) => drawn[i] === 'a' || assigned(more, id) === 'b'),
      'a larger share took a request away from the trial',
    )
    assert.ok(ids.every((id) => assigned(first, id) === 'a'))
  })

  test('whatever is asked in whatever order, what answers is whole, and no more than four releases are in use', () => {
    const random = seededRandom('plans')
    let plan = first
    const wholeSince = new Set(['a'])
    for (let step = 0; step < 5_000; step++) {
      const release = pick(['a', 'b', 'c', 'd', 'e'], random)
      const before = plan
      try {
        const change = pick(
          [
            () => asked(plan, release),
            () => asked(plan, release, 0.1),
            () => beginEmbedding(plan),
            () => (plan.preparing?.phase === 'embedding' ? complete(plan, step) : plan),
            () => fail(plan, { code: 'c', message: 'm' }, step),
            () => cancel(plan, step),
            () => rollBack(plan, step),
            () => endTrial(plan),
          ],
          random,
        )
        plan = change()
      } catch (error) {
        assert.ok(error instanceof InvalidRequestError, String(error))
      }
      if (before.preparing?.phase === 'embedding' && plan.lastRollOut?.endedAt === step)
        wholeSince.add(before.preparing.release)
      assert.ok(
        answering(plan).every((one) => wholeSince.has(one)),
        `${JSON.stringify(before)} → ${JSON.stringify(plan)}`,
      )
      for (const one of wholeSince) if (!embedding(plan).includes(one)) wholeSince.delete(one)
      assert.notEqual(plan.serving, plan.previous)
      assert.notEqual(plan.serving, plan.trial?.release)
      assert.notEqual(plan.serving, plan.preparing?.release)
      assert.ok(embedding(plan).length <= 4, `${embedding(plan)}`)
    }
  })
})

describe('changes of the plan that stands', () => {
  const catalogue = openCatalogue({ folder: join(temporaryFolder(), 'catalogue') })
  after(() => catalogue.close())

  test('of many at the same time none is lost, and a change that is refused changes nothing', async () => {
    await assert.rejects(
      changePlan(catalogue, (plan) => plan),
      { code: 'no-release-plan' },
    )
    await catalogue.replaceReleasePlan(0, first)
    const count = (plan: ReleasePlan) => ({ ...plan, serving: `${plan.serving}+` })
    await Promise.all(Array.from({ length: 25 }, () => changePlan(catalogue, count)))
    const plan = await catalogue.releasePlan()
    assert.deepEqual([plan?.serving, plan?.revision], [`a${'+'.repeat(25)}`, first.revision + 25])
    await assert.rejects(
      changePlan(catalogue, (standing) => endTrial(standing)),
      refusal('no-trial'),
    )
    assert.deepEqual(await changePlan(catalogue, (standing) => standing), plan)
  })
})
