/** When a trainer that goes on trains again: after a time, or once enough triplets came. */
import { setTimeout as delay } from 'node:timers/promises'
import { InvalidRequestError } from '../../ports/errors.ts'

export type Rhythm = { readonly everyMs: number } | { readonly newTriplets: number }

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

/** @param text `90m`, `12h`, `7d`; or a number of new triplets. @throws InvalidRequestError 'bad-rhythm' */
export function parseRhythm(text: string): Rhythm {
  const [, digits, unit] = /^([1-9]\d{0,8})([mhd]?)$/.exec(text) ?? []
  if (digits === undefined) {
    throw new InvalidRequestError('bad-rhythm', `--every is a time such as 90m, 12h, 7d, or a number of new triplets.`)
  }
  return unit === '' ? { newTriplets: Number(digits) } : { everyMs: Number(digits) * UNIT_MS[unit!]! }
}

export interface RhythmDeps {
  readonly now: () => number
  readonly signal: AbortSignal
  /** How many triplets came later than `since`, in ms. */
  tripletsSince(since: number): Promise<number>
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>
}

const LOOK_AGAIN_MS = 60_000
/** What a timer can hold. */
const LONGEST_WAIT_MS = 2 ** 31 - 1

/** Resolves when it is time again. @param startedAt of the latest run, in ms. @throws the signal's reason */
export async function nextTime(rhythm: Rhythm, startedAt: number, deps: RhythmDeps): Promise<void> {
  const { now, signal, tripletsSince, wait = abortableDelay } = deps
  if ('everyMs' in rhythm) {
    for (;;) {
      const left = startedAt + rhythm.everyMs - now()
      if (left <= 0) return
      await wait(Math.min(left, LONGEST_WAIT_MS), signal)
    }
  }
  while ((await tripletsSince(startedAt)) < rhythm.newTriplets) await wait(LOOK_AGAIN_MS, signal)
}

async function abortableDelay(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted())
}
