/** Each processor is killed −9 at random points, some while it starts or comes back. */
import { seededRandom } from '../../../model/random.ts'
import { ALL_STAGES, apart, killAndRecover, type Scenario } from '../run-scenario.ts'

/** So often the successor is killed too before it has done anything. */
const TWICE_SHARE = 0.2
/** Longest life of such a successor. */
const YOUNG_MS = 3_000

export const killProcessors: Scenario = {
  name: 'kill-processors',
  shows: 'processors killed −9 at random points lose, repeat and skip nothing',
  servers: { own: [] },
  layout: apart(1),
  sessionMs: 6_000,
  short: { faults: 2, calmMs: 3_000, outageMs: 0, rate: 12, poisonEvery: 25 },
  long: { faults: 100, calmMs: 4_000, outageMs: 0, rate: 8, poisonEvery: 100 },
  async faults(chaos, { faults, calmMs }) {
    const { fleet, seed, moment, struck } = chaos
    await Promise.all(
      ALL_STAGES.map(async (stage) => {
        const random = seededRandom(`${seed}/${stage}`)
        const slot = fleet.of(stage)[0]!
        for (let done = 0; done < faults; done++) {
          await moment(calmMs, random)
          if (random() < TWICE_SHARE && done + 1 < faults) {
            await slot.kill()
            await struck([], 0)
            done++
            await moment(YOUNG_MS, random)
          }
          await killAndRecover(chaos, slot)
          if (done % 10 === 9) chaos.say(`${stage} was killed ${done + 1} times`)
        }
      }),
    )
  },
}
