/** Records that can never work, of every kind, among good ones. */
import { until } from '../../support/until.ts'
import { IN_THREE, type Scenario } from '../run-scenario.ts'

export const poison: Scenario = {
  name: 'poison',
  shows: 'a poison record every so often goes to the dead letters with its cause, and its neighbours are untouched',
  servers: { own: [] },
  layout: IN_THREE,
  sessionMs: 6_000,
  short: { faults: 12, calmMs: 0, outageMs: 0, rate: 30, poisonEvery: 20 },
  long: { faults: 100, calmMs: 0, outageMs: 0, rate: 30, poisonEvery: 100 },
  async faults({ load, struck }, { faults }) {
    const bad = () => [...load.ledger.values()].filter(({ poison }) => poison !== undefined).length
    await until('every poison record to be asked for', async () => bad() >= faults, 600_000)
    for (let done = 0; done < faults; done++) await struck([], 0)
  },
}
