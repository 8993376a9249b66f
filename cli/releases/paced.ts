/** Towers that leave room for what answers: of a release that is being prepared, one call at a time, with a rest. */
import { setTimeout as sleep } from 'node:timers/promises'
import pLimit from 'p-limit'
import type { ReleaseTowers } from '../../ports/encoder.ts'

/** Between two calls, at least. */
const REST_MS = 5

/** @param isPaced asked before each call: once the release answers, it takes all it can get. */
export function paced(towers: ReleaseTowers, isPaced: () => boolean): ReleaseTowers {
  const oneAtATime = pLimit(1)
  async function atPace<T>(call: () => Promise<T>): Promise<T> {
    if (!isPaced()) return call()
    return oneAtATime(async () => {
      const startedAt = performance.now()
      const result = await call()
      if (isPaced()) await sleep(Math.max(REST_MS, performance.now() - startedAt))
      return result
    })
  }
  const { release, dims, encoders } = towers
  return {
    release,
    dims,
    encoders,
    query: (input) => atPace(() => towers.query(input)),
    music: (features) => atPace(() => towers.music(features)),
  }
}
