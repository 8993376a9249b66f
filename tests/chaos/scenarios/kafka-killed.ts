/** Kafka is killed −9 and started again; what was acknowledged before, and what is asked meanwhile, arrives. */
import { ALL_STAGES, IN_THREE, type Scenario } from '../run-scenario.ts'

export const kafkaKilled: Scenario = {
  name: 'kafka-killed',
  shows: 'Kafka killed −9 and started again under load loses no acknowledged record',
  servers: { own: ['kafka'] },
  layout: IN_THREE,
  sessionMs: 6_000,
  short: { faults: 2, calmMs: 2_000, outageMs: 4_000, rate: 12, poisonEvery: 25 },
  long: { faults: 30, calmMs: 10_000, outageMs: 20_000, rate: 12, poisonEvery: 100 },
  async faults({ servers, moment, struck }, { faults, calmMs, outageMs }) {
    for (let done = 0; done < faults; done++) {
      await moment(calmMs)
      await servers.server('kafka').kill('SIGKILL')
      await moment(outageMs)
      await servers.server('kafka').start()
      await struck(ALL_STAGES, performance.now())
    }
  },
}
