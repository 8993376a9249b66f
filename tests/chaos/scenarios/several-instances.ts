/** Three instances of each processor share the partitions; they are added, taken away and killed under load. */
import { pick, shuffled } from '../../../model/random.ts'
import { until } from '../../support/until.ts'
import { ALL_STAGES, apart, killAndRecover, type Scenario } from '../run-scenario.ts'

export const severalInstances: Scenario = {
  name: 'several-instances',
  shows: 'three instances of each processor, added and killed under load, share the partitions and lose nothing',
  servers: { own: [] },
  layout: apart(2),
  sessionMs: 6_000,
  short: { faults: 4, calmMs: 1_500, outageMs: 0, rate: 10, poisonEvery: 25 },
  long: { faults: 60, calmMs: 4_000, outageMs: 0, rate: 8, poisonEvery: 100 },
  async faults(chaos, { faults, calmMs }) {
    const { fleet, random, moment, struck } = chaos
    const third = shuffled(ALL_STAGES, random).map((stage) => fleet.add(stage))
    await Promise.all(third.map((slot) => slot.up()))
    for (const stage of ALL_STAGES) await sharedByThree(chaos, stage)
    for (let done = 0; done < faults; done++) {
      await moment(calmMs)
      const slot = pick(fleet.of(pick(ALL_STAGES, random)), random)
      if (random() < 0.5) await killAndRecover(chaos, slot)
      else {
        // One goes for good, −9 or in order, and another comes: a node is drained.
        await slot.remove(random() < 0.5 ? 'SIGKILL' : 'SIGTERM')
        const sinceMs = performance.now()
        fleet.add(slot.what)
        await struck([slot.what], sinceMs)
      }
    }
    for (const stage of ALL_STAGES) await sharedByThree(chaos, stage)
  },
}

/** Each of the three has some of the six partitions, and none has two owners. */
async function sharedByThree({ members, say }: Parameters<Scenario['faults']>[0], stage: string): Promise<void> {
  const shares = await until(`three instances of ${stage} to share its partitions`, async () => {
    const owned = await members(stage)
    const all = owned.flat()
    return owned.length === 3 && owned.every((share) => share.length > 0) && new Set(all).size === all.length && owned
  })
  say(`${stage}: ${shares.map((share) => share.length).join(' + ')} partitions`)
}
