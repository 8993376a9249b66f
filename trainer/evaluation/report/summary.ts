/** The figures of an experiment for programs: what the tables say, unrounded, and each training's own. */
import type { Experiment } from '../experiments.ts'

export function summaryOf({ set, seeds, reference, measured }: Experiment): object {
  return {
    measured: set,
    seeds,
    reference: reference.label,
    pools: measured.map(({ size, pools, tables }) => ({
      size,
      count: pools.length,
      tables: tables.map(({ id, title, rows }) => ({
        id,
        title,
        rows: rows.map(({ method, a, bySeed, mean, difference }) => ({
          method: method.label,
          a,
          mean,
          difference,
          bySeed: bySeed.map(({ figures, tiedShare }) => ({ ...figures, tiedShare })),
        })),
      })),
    })),
  }
}
