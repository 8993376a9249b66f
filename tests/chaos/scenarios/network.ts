/** The network to Kafka and to Redis is slow, resets connections, and swallows what is sent. */
import { pick } from '../../../model/random.ts'
import { ALL_STAGES, IN_THREE, type Scenario } from '../run-scenario.ts'

const SLOWEST_MS = 120

export const network: Scenario = {
  name: 'network',
  shows: 'a network that is slow, resets connections or swallows what is sent loses and repeats nothing',
  servers: { own: ['kafka', 'redis'], proxied: true },
  layout: IN_THREE,
  sessionMs: 6_000,
  short: { faults: 3, calmMs: 1_500, outageMs: 4_000, rate: 10, poisonEvery: 25 },
  long: { faults: 60, calmMs: 5_000, outageMs: 15_000, rate: 10, poisonEvery: 100 },
  async faults({ servers, random, moment, struck, say }, { faults, calmMs, outageMs }) {
    const proxies = servers.proxies!
    for (let done = 0; done < faults; done++) {
      await moment(calmMs)
      const [name, proxy] = pick(Object.entries(proxies), random)
      const fault = (['cut', 'swallow', 'slow'] as const)[done % 3]!
      say(`${fault} ${name}`)
      if (fault === 'cut') proxy.cut()
      else if (fault === 'swallow') proxy.blackhole(true)
      else proxy.delayMs = Math.ceil(random() * SLOWEST_MS)
      await moment(outageMs)
      if (fault === 'cut') proxy.restore()
      else if (fault === 'swallow') proxy.blackhole(false)
      else proxy.delayMs = 0
      await struck(ALL_STAGES, performance.now())
    }
  },
}
