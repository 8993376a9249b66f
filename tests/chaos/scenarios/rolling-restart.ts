/** Every process is restarted in order, one after the other, as a deployment rolls. */
import { until } from '../../support/until.ts'
import { ALL_STAGES, apart, type Scenario } from '../run-scenario.ts'

export const rollingRestart: Scenario = {
  name: 'rolling-restart',
  shows: 'a rolling restart of all processors under load loses nothing',
  servers: { own: [] },
  layout: { ...apart(1), 'answer-recommendations': 2 },
  sessionMs: 6_000,
  short: { faults: 1, calmMs: 0, outageMs: 0, rate: 10, poisonEvery: 25 },
  long: { faults: 10, calmMs: 2_000, outageMs: 0, rate: 8, poisonEvery: 100 },
  async faults({ fleet, requests, moment, struck, wrong, figure }, { faults, calmMs }) {
    const answered = () => requests.requests.filter(({ status }) => status === 200)
    const p99 = (from: number) => {
      const times = answered()
        .slice(from)
        .map(({ ms }) => ms)
        .sort((a, b) => a - b)
      return times[Math.ceil(times.length * 0.99) - 1] ?? 0
    }
    const first = answered().length
    const enough = 20 * faults
    await until(
      'enough answers to compare with',
      async () => answered().length >= first + enough,
      30_000 + enough * 500,
    )
    const calm = p99(first)
    const rolling = answered().length
    for (let done = 0; done < faults; done++) {
      for (const stage of ALL_STAGES) {
        for (const slot of fleet.of(stage)) {
          await moment(calmMs)
          const code = await slot.terminate()
          const sinceMs = performance.now()
          if (code !== 0) wrong(`${slot.name} ended with ${code} when it was told to`)
          await slot.up()
          await struck([stage], sinceMs)
        }
      }
    }
    figure('p99 calm, ms', Math.round(calm))
    figure('p99 rolling, ms', Math.round(p99(rolling)))
    figure('p99 rolling by calm', (p99(rolling) / calm).toFixed(1))
  },
}
