/** Counts what goes through a loop from its first batch to its last commit, so that joining the group is left out. */
import { prefixedBroker } from '../../adapters/prefixed-broker.ts'
import type { Broker } from '../../ports/broker.ts'

export interface Progress {
  begun(): void
  committed(records: number): void
  /** Resolves once all were committed. */
  readonly done: Promise<Pace>
}

export interface Pace {
  readonly perSecond: number
  /** Of this process, whatever else the machine does. */
  readonly cpuMicroseconds: number
}

export function countProgress(records: number): Progress {
  let [startedAt, committed] = [0, 0]
  let before: NodeJS.CpuUsage
  let finish: (pace: Pace) => void
  const done = new Promise<Pace>((resolve) => {
    finish = resolve
  })
  return {
    done,
    begun() {
      if (startedAt > 0) return
      startedAt = performance.now()
      before = process.cpuUsage()
    },
    committed(count) {
      committed += count
      if (committed < records) return
      const { user, system } = process.cpuUsage(before)
      const perSecond = (committed / (performance.now() - startedAt)) * 1_000
      finish({ perSecond, cpuMicroseconds: (user + system) / committed })
    },
  }
}

/** @param prefix of the topics and groups, not empty. @returns a broker whose consumers show in `progress`. */
export function observedBroker(broker: Broker, prefix: string, progress: Progress): Broker {
  const prefixed = prefixedBroker(broker, prefix)
  const consume: Broker['consume'] = (options) =>
    prefixed.consume({
      ...options,
      onBatch(batch) {
        progress.begun()
        let from = batch.records[0]!.offset
        const commit: typeof batch.commit = async (nextOffset, outputs) => {
          await batch.commit(nextOffset, outputs)
          progress.committed(batch.records.filter(({ offset }) => offset >= from && offset < nextOffset).length)
          from = nextOffset
        }
        return options.onBatch({ ...batch, commit }) // a plain object, as prefixedBroker makes them
      },
    })
  return { ...prefixed, consume }
}
