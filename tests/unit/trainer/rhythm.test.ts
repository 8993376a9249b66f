import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextTime, parseRhythm } from '../../../cli/train/rhythm.ts'

const running = new AbortController().signal

/** A clock that goes on only while somebody waits. */
function clock(start: number) {
  const waits: number[] = []
  let now = start
  return {
    waits,
    now: () => now,
    async wait(ms: number, signal: AbortSignal) {
      signal.throwIfAborted()
      waits.push(ms)
      now += ms
    },
  }
}

test('a rhythm is a time or a number of new triplets, and nothing else', () => {
  assert.deepEqual(parseRhythm('90m'), { everyMs: 5_400_000 })
  assert.deepEqual(parseRhythm('7d'), { everyMs: 604_800_000 })
  assert.deepEqual(parseRhythm('500'), { newTriplets: 500 })
  for (const bad of ['', '0', '0h', '-1h', '1.5h', '10 h', 'h', '1w', '500 triplets']) {
    assert.throws(() => parseRhythm(bad), { code: 'bad-rhythm' }, bad)
  }
})

test('time is counted from when the last run began, and a long one is followed at once', async () => {
  const none = async () => 0
  const early = clock(1_000)
  await nextTime({ everyMs: 10_000 }, 0, { ...early, signal: running, tripletsSince: none })
  assert.deepEqual(early.waits, [9_000])
  const late = clock(50_000)
  await nextTime({ everyMs: 10_000 }, 0, { ...late, signal: running, tripletsSince: none })
  assert.deepEqual(late.waits, [])
})

test('a wait that no timer can hold is waited in parts', async () => {
  const long = clock(0)
  await nextTime({ everyMs: 60 * 86_400_000 }, 0, { ...long, signal: running, tripletsSince: async () => 0 })
  assert.equal(long.now(), 60 * 86_400_000)
  assert.ok(
    long.waits.every((ms) => ms < 2 ** 31),
    String(long.waits),
  )
})

test('triplets are counted from when the last run began, until enough came', async () => {
  const counts = [0, 3, 5]
  const asked: number[] = []
  const looking = clock(0)
  const tripletsSince = async (since: number) => {
    asked.push(since)
    return counts.shift()!
  }
  await nextTime({ newTriplets: 5 }, 42, { ...looking, signal: running, tripletsSince })
  assert.deepEqual(asked, [42, 42, 42])
  assert.equal(looking.waits.length, 2)
})

test('waiting ends at once with the reason it is stopped for', async () => {
  const stop = new AbortController()
  const waiting = nextTime({ everyMs: 1_000_000 }, 0, {
    now: () => 0,
    signal: stop.signal,
    tripletsSince: async () => 0,
  })
  stop.abort(new Error('stopped'))
  await assert.rejects(waiting, { message: 'stopped' })
})
