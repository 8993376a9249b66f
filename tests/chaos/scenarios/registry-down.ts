/** The registry is killed and comes back; processes that start meanwhile wait for it, and condemn no record. */
import { ALL_STAGES, IN_THREE, type Scenario } from '../run-scenario.ts'

export const registryDown: Scenario = {
  name: 'registry-down',
  shows: 'while the registry is away processes work with what they know, start and wait, and condemn no record',
  servers: { own: ['registry'] },
  layout: IN_THREE,
  sessionMs: 6_000,
  short: { faults: 1, calmMs: 2_000, outageMs: 4_000, rate: 12, poisonEvery: 10 },
  long: { faults: 20, calmMs: 10_000, outageMs: 20_000, rate: 12, poisonEvery: 50 },
  async faults({ servers, fleet, moment, struck, random }, { faults, calmMs, outageMs }) {
    for (let done = 0; done < faults; done++) {
      await moment(calmMs)
      await servers.server('registry').kill('SIGKILL')
      await moment(outageMs)
      // Those that start now know no schema.
      for (const slot of fleet.slots) if (slot.what !== 'gateway' && random() < 0.7) await slot.kill()
      await moment(outageMs)
      await servers.server('registry').start()
      await struck(ALL_STAGES, performance.now())
    }
  },
}
