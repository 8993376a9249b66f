/**
 * How long a stage stands still after a fault, from the offsets that its group commits.
 *
 * A stage has recovered when every partition of its main input that had records waiting at the fault has moved on; of
 * several members those of the others count too, so this is an upper bound for the partitions of the one that died.
 */
import type { Broker, PartitionLag } from '../../ports/broker.ts'

const LOOK_EVERY_MS = 150

export interface Progress {
  /**
   * @param sinceMs of performance.now(), when the fault was.
   * @returns ms from the fault to the commit that ended the standstill.
   * @throws Error when that takes longer than `withinMs`.
   */
  recovered(stage: string, sinceMs: number, withinMs: number): Promise<number>
  /** Resolves once the stage has committed anything at all. */
  started(stage: string, withinMs: number): Promise<void>
  stop(): Promise<void>
}

interface Sample {
  readonly askedAtMs: number
  readonly atMs: number
  readonly partitions: ReadonlyMap<number, PartitionLag>
}

export function behindOn(lags: readonly PartitionLag[]): PartitionLag[] {
  return lags.filter(({ lagRecords }) => lagRecords > 0)
}

export function placesOf(lags: readonly PartitionLag[]): string {
  return lags.map((lag) => `${lag.topic}/${lag.partition} ${lag.committedOffset} of ${lag.endOffset}`).join(', ')
}

/** @param watched by stage: its group, as it is now, and its main input. */
export function watchProgress(
  broker: Broker,
  watched: Readonly<Record<string, { group: () => Promise<string>; topic: string }>>,
): Progress {
  const samples = new Map<string, Sample[]>(Object.keys(watched).map((stage) => [stage, []]))
  let stopped = false

  async function look(stage: string): Promise<void> {
    const { group, topic } = watched[stage]!
    const askedAtMs = performance.now()
    const lags = await broker.lag(await group(), [topic])
    const sample = { askedAtMs, atMs: performance.now(), partitions: new Map(lags.map((lag) => [lag.partition, lag])) }
    const known = samples.get(stage)!
    known.push(sample)
    if (known.length > 2_000) known.splice(0, 500)
  }

  async function watch(): Promise<void> {
    while (!stopped) {
      // While a server is away there is nothing to see.
      for (const stage of Object.keys(watched)) await look(stage).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }
  const watching = watch()

  /** Where a stage stands by the last look, for who waited in vain. */
  function standing(stage: string): string {
    const last = samples.get(stage)!.at(-1)
    if (last === undefined) return 'it was never seen'
    const seconds = ((performance.now() - last.atMs) / 1_000).toFixed(1)
    return `seen ${seconds} s ago, behind on: ${placesOf(behindOn([...last.partitions.values()])) || 'nothing'}`
  }

  async function until<T>(stage: string, what: string, withinMs: number, find: () => T | undefined): Promise<T> {
    const deadline = performance.now() + withinMs
    for (;;) {
      const found = find()
      if (found !== undefined) return found
      if (stopped || performance.now() > deadline)
        throw new Error(`Waited ${Math.round(withinMs)} ms for ${what} of ${stage}; ${standing(stage)}`)
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS / 3))
    }
  }

  return {
    recovered(stage, sinceMs, withinMs) {
      return until(stage, 'another commit', withinMs + performance.now() - sinceMs, () => {
        // From the first look that began after the fault: what was committed before is no recovery.
        const since = samples.get(stage)!.filter(({ askedAtMs }) => askedAtMs >= sinceMs)
        const base = since[0]?.partitions
        // What waited then; where nothing did, what was the first to wait.
        let waiting: number[] = []
        for (const { atMs, partitions } of since) {
          if (waiting.length === 0) {
            waiting = [...partitions.values()]
              .filter(({ lagRecords }) => lagRecords > 0)
              .map(({ partition }) => partition)
          }
          const moved = (partition: number) =>
            partitions.get(partition)!.committedOffset > (base?.get(partition)?.committedOffset ?? 0)
          if (waiting.length > 0 && waiting.every(moved)) return atMs - sinceMs
        }
        return undefined
      })
    },
    async started(stage, withinMs) {
      await until(stage, 'the first commit', withinMs, () => {
        const last = samples.get(stage)!.at(-1)
        return last && [...last.partitions.values()].some(({ committedOffset }) => committedOffset > 0)
          ? true
          : undefined
      })
    },
    async stop() {
      stopped = true
      await watching
    },
  }
}
