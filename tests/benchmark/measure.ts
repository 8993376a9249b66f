/** What the benchmarks share: options, load, quantiles, and the form of what they print. */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { say, table } from '../../cli/terminal.ts'

/** @returns `--name value` of the command line, numbers where the default is one. */
export function readOptions<T extends Record<string, number | string>>(defaults: T): T {
  const options = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' as const }]))
  const { values } = parseArgs({ options })
  const given = Object.entries(values).map(([name, value]) => {
    const number = Number(value)
    if (typeof defaults[name] === 'string') return [name, value]
    if (!(number > 0)) throw new RangeError(`--${name} ${value}: a number above 0 is needed`)
    return [name, number]
  })
  return { ...defaults, ...Object.fromEntries(given) }
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** `width` at a time, each begun when one before it ends. @returns how many ended a second. */
export async function closedLoop(options: {
  width: number
  seconds: number
  work: (i: number) => Promise<unknown>
}): Promise<number> {
  const { width, seconds, work } = options
  const startedAt = performance.now()
  let next = 0
  let done = 0
  const worker = async () => {
    while (performance.now() - startedAt < seconds * 1_000) {
      await work(next++)
      done++
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  return (done / (performance.now() - startedAt)) * 1_000
}

/** @returns when each begins, ms from the start: a Poisson process, as of many users who know nothing of each other. */
export function poissonArrivals(perSecond: number, seconds: number, random: () => number): number[] {
  const arrivals: number[] = []
  for (let at = 0; ; arrivals.push(at)) {
    at += (-Math.log(1 - random()) / perSecond) * 1_000
    if (at >= seconds * 1_000) return arrivals
  }
}

/**
 * Begins each at its time, whether or not those before have ended.
 * @param work gets the time at which it was meant to begin (performance.now()): measured from there, a wait that the
 * system itself imposes on the next ones is not left out.
 */
export async function openLoop(
  arrivals: readonly number[],
  work: (i: number, intendedAt: number) => Promise<unknown>,
): Promise<void> {
  const startedAt = performance.now()
  const running: Promise<unknown>[] = []
  for (const [i, at] of arrivals.entries()) {
    const early = startedAt + at - performance.now()
    if (early > 0) await sleep(early)
    running.push(work(i, startedAt + at))
  }
  await Promise.all(running)
}

/** As openLoop. @returns ms of each from when it was meant to begin. */
export async function openLoopMs(
  arrivals: readonly number[],
  work: (i: number) => Promise<unknown>,
): Promise<number[]> {
  const latencies: number[] = []
  await openLoop(arrivals, async (i, intendedAt) => {
    await work(i)
    latencies.push(performance.now() - intendedAt)
  })
  return latencies
}

/** The table, then one line for machines. */
export function report(
  title: string,
  rows: readonly (readonly string[])[],
  figures: Readonly<Record<string, number>>,
): void {
  say(`${title}\nNode ${process.version}\n`)
  say(table(rows))
  const words = Object.entries(figures).map(([name, value]) => `${name}=${Number(value.toPrecision(4))}`)
  say(`\nRESULT ${words.join(' ')}`)
}
