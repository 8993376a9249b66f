/** A member is frozen past its session, others take over, and it goes on where it was: its commit is void. */
import { pick } from '../../../model/random.ts'
import { apart, type Scenario } from '../run-scenario.ts'

/** Stages that produce in transactions, those with the most of them first. */
const STAGES = [
  'analyse-music',
  'embed-music',
  'describe-music',
  'materialize-triplets',
  'embed-video',
  'analyse-video',
]

export const zombieProducer: Scenario = {
  name: 'zombie-producer',
  shows: 'a producer that was frozen past its session and wakes up commits nothing a second time',
  servers: { own: [] },
  layout: { ...apart(1), 'analyse-music': 2, 'embed-music': 2, 'describe-music': 2 },
  sessionMs: 6_000,
  short: { faults: 3, calmMs: 2_000, outageMs: 0, rate: 15, poisonEvery: 25 },
  long: { faults: 60, calmMs: 4_000, outageMs: 0, rate: 12, poisonEvery: 100 },
  async faults({ fleet, random, moment, struck }, { faults, calmMs }) {
    for (let done = 0; done < faults; done++) {
      await moment(calmMs)
      const slot = pick(fleet.of(STAGES[done % 3]!), random)
      const sinceMs = performance.now()
      slot.freeze()
      try {
        await struck([slot.what], sinceMs) // the others have its partitions
      } finally {
        slot.thaw()
      }
    }
  },
}
