/** Redis is away, or silent, for a while: stages wait with a flat memory, requests are told in time, all is caught up. */
import { setTimeout as delay } from 'node:timers/promises'
import type { RssSample } from '../../support/fleet.ts'
import { ALL_STAGES, type Chaos, IN_THREE, type Scenario } from '../run-scenario.ts'

/** Requests may be told this much later than their deadline, on a busy machine. */
const GRACE_MS = 1_000
const FLAT = 1.2

export const redisStopped: Scenario = {
  name: 'redis-stopped',
  shows: 'while Redis is away or silent stages wait, memory is flat, requests fail in time, and all is caught up',
  servers: { own: ['redis'] },
  layout: IN_THREE,
  sessionMs: 6_000,
  short: { faults: 2, calmMs: 2_000, outageMs: 10_000, rate: 15, poisonEvery: 25 },
  long: { faults: 4, calmMs: 20_000, outageMs: 120_000, rate: 15, poisonEvery: 100 },
  async faults(chaos, { faults, calmMs, outageMs }) {
    const { servers, fleet, moment, struck, figure, wrong } = chaos
    let worst = 0
    for (let done = 0; done < faults; done++) {
      await moment(calmMs)
      const fromMs = performance.now()
      // Away: connections are refused. Silent: they stand, and nothing answers.
      const isSilent = done % 2 === 1
      await (isSilent ? servers.server('redis').kill('SIGSTOP') : servers.server('redis').stop())
      await delay(outageMs)
      const metrics = await fetch(`${fleet.of('gateway')[0]!.url}/metrics`)
      if (metrics.status !== 200) wrong(`the metrics were ${metrics.status} while Redis was away`)
      const toMs = performance.now()
      await (isSilent ? servers.server('redis').kill('SIGCONT') : servers.server('redis').start())
      worst = Math.max(worst, growth(fleet.rss, fromMs, toMs))
      await struck(ALL_STAGES, performance.now())
      toldInTime(chaos, fromMs, toMs)
    }
    figure('RSS in the outage ×', Math.round(worst * 100) / 100)
    if (worst > FLAT) wrong(`a process grew by ${worst.toFixed(2)} while Redis was away`)
  },
}

/** The largest of all processes: the end of the outage by the time before it. */
function growth(samples: readonly RssSample[], fromMs: number, toMs: number): number {
  const ratios = [...new Set(samples.map(({ pid }) => pid))].map((pid) => {
    const bytes = (when: (atMs: number) => boolean) =>
      samples.filter((sample) => sample.pid === pid && when(sample.atMs)).map((sample) => sample.bytes)
    const before = bytes((atMs) => atMs < fromMs).slice(-5)
    const after = bytes((atMs) => atMs > fromMs && atMs <= toMs).slice(-5)
    return before.length === 0 || after.length === 0 ? 0 : Math.max(...after) / Math.max(...before)
  })
  return Math.max(...ratios)
}

/** No request of the outage is answered, all are settled by their deadline, each with a problem that has a code. */
function toldInTime({ requests, deadlineMs, wrong, figure }: Chaos, fromMs: number, toMs: number): void {
  const asked = requests.requests.filter(({ atMs }) => atMs > fromMs + deadlineMs && atMs < toMs - deadlineMs)
  const codes = new Map<string, number>()
  for (const { status, code, ms } of asked) {
    codes.set(`${status} ${code}`, (codes.get(`${status} ${code}`) ?? 0) + 1)
    if (ms > deadlineMs + GRACE_MS) wrong(`a request was told ${code} after ${Math.round(ms)} ms, past its deadline`)
    if (status !== 503 && status !== 504) wrong(`a request was told ${status} ${code} while Redis was away`)
  }
  if (asked.length === 0) wrong('nobody asked while Redis was away')
  figure('told in the outage', [...codes].map(([code, count]) => `${count} × ${code}`).join(', '))
}
