/** The tables of an experiment as Markdown, and the rows that the page shows too. Shares are in %. */
import type { Interval } from '../bootstrap.ts'
import type { Experiment, MeasuredMethod, MeasuredPools, MeasuredTable } from '../experiments.ts'
import type { RetrievalFigures } from '../retrieval.ts'

export const percent = (share: number) => (100 * share).toFixed(1)

const HEAD = ['', 'R@1', 'R@5', 'R@10', '95 %', 'R@10 by seed', 'median rank']

/** @returns cells, the head first. */
export function tableCells({ rows }: MeasuredTable, { reference, seeds }: Experiment): string[][] {
  const tuned = rows.some(({ a }) => a !== undefined)
  const head = [...HEAD, `R@10 against ${reference.label}`, ...(tuned ? ['a by seed'] : [])]
  return [head, ...rows.map((row) => [...rowCells(row, seeds), ...(tuned ? [weights(row)] : [])])]

  function rowCells(row: MeasuredMethod, seeds: number): string[] {
    const { recall, medianRank } = row.mean
    return [
      row.method.label,
      percent(recall[1].value),
      percent(recall[5].value),
      percent(recall[10].value),
      range(recall[10]),
      bySeed(row, seeds).join(', '),
      medianRank.value.toFixed(1),
      row.method.id === reference.id ? '' : differenceText(row.difference.recall[10]),
    ]
  }
}

/** The linear baseline is one fit whatever the seed. */
function bySeed({ bySeed }: MeasuredMethod, seeds: number): string[] {
  const values = bySeed.map(({ figures }: { figures: RetrievalFigures }) => figures.recall[10])
  return seeds > 1 && values.every((value) => value === values[0]) ? [] : values.map(percent)
}

/** The value and its ends. */
export function intervalText(interval: Interval): string {
  return `${percent(interval.value)} (${range(interval)})`
}

function range({ low, high }: Interval): string {
  return `${percent(low)}–${percent(high)}`
}

/** With its sign, and its ends. */
export function differenceText({ value, low, high }: Interval): string {
  return `${signed(value)} (${signed(low)} to ${signed(high)})`
}

function signed(share: number): string {
  const text = percent(share)
  return share > 0 ? `+${text}` : text.replace('-', '−')
}

function weights({ a }: MeasuredMethod): string {
  return a === undefined ? '' : [...new Set(a)].map((value) => value.toFixed(2)).join(', ')
}

export function markdownOf(experiment: Experiment): string {
  return experiment.measured.map((pools) => markdownOfPools(pools, experiment)).join('\n')
}

function markdownOfPools({ size, pools, tables }: MeasuredPools, experiment: Experiment): string {
  const parts = tables.map(
    (table) => `### ${table.title}, N = ${size}\n\n${markdownTable(tableCells(table, experiment))}\n`,
  )
  return `${pools.length} pools of ${size}.\n\n${parts.join('\n')}`
}

/** @param cells the head first. */
export function markdownTable([head, ...rows]: readonly (readonly string[])[]): string {
  return [head!, head!.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}
