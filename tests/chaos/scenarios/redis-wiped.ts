/** Redis is wiped under load: index, catalogue and joins grow again from the topics, with the same members. */
import { connect } from 'node:net'
import { until } from '../../support/until.ts'
import { type Chaos, IN_THREE, type Scenario } from '../run-scenario.ts'

const REBUILT_WITHIN_MS = 120_000

export const redisWiped: Scenario = {
  name: 'redis-wiped',
  shows: 'a Redis that is wiped under load is filled again from the topics, with the same members',
  servers: { own: ['redis'] },
  layout: IN_THREE,
  sessionMs: 6_000,
  joinsBeginAnew: true,
  short: { faults: 2, calmMs: 4_000, outageMs: 0, rate: 15, poisonEvery: 25 },
  long: { faults: 20, calmMs: 20_000, outageMs: 0, rate: 15, poisonEvery: 100 },
  async faults(chaos, { faults, calmMs }) {
    let slowest = 0
    for (let done = 0; done < faults; done++) {
      await chaos.moment(calmMs)
      const before = await rows(chaos)
      const sinceMs = performance.now()
      await flushAll(chaos.servers.server('redis').port)
      await until('as many rows as before', async () => (await rows(chaos)) >= before * 0.9, REBUILT_WITHIN_MS)
      slowest = Math.max(slowest, performance.now() - sinceMs)
      await chaos.struck([], sinceMs)
    }
    chaos.figure('rows were back within, s', (slowest / 1_000).toFixed(1))
  },
}

/** What is there while a generation begins does not count. */
async function rows({ backends: { index } }: Chaos): Promise<number> {
  const all = await index.indexes().catch(() => [])
  return all.reduce((sum, { rows }) => sum + rows, 0)
}

function flushAll(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', reject)
    socket.on('data', (answer) => {
      socket.destroy()
      if (String(answer).startsWith('+OK')) resolve()
      else reject(new Error(String(answer)))
    })
    socket.write('FLUSHALL\r\n')
  })
}
