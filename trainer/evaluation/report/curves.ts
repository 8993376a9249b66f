/** The plots that are drawn of an experiment's figures. */
import type { EpochReport } from '../../train.ts'
import { bootstrapCurve } from '../bootstrap.ts'
import type { Experiment, MeasuredMethod, MeasuredPools } from '../experiments.ts'
import { DROPOUTS, dropoutMethods, type Method, type ModelName } from '../methods.ts'
import type { Markup } from './markup.ts'
import { barPlot, type Interval, intervalPlot, linePlot, type Point, type Series } from './plots.ts'

/** Those that stand for the others where a plot has room for few, each always in one colour. */
const MAIN = [
  { id: 'viml, video+text', colour: 0 },
  { id: 'viml, video', colour: 3 },
  { id: 'mvpt+, video', colour: 1 },
  { id: 'mt, text', colour: 2 },
  { id: 'ViML & MT', colour: 4 },
  { id: 'cca video, video', colour: 5 },
] as const
const MOST = 100
const RANKS = [1, 5, 10, 20, 50, 100, 500, 2_000]

export function rowsOf({ tables }: MeasuredPools): MeasuredMethod[] {
  const rows = tables.flatMap((table) => table.rows)
  return rows.filter((row, i) => rows.findIndex(({ method }) => method.id === row.method.id) === i)
}

function mainRows(pools: MeasuredPools) {
  const rows = rowsOf(pools)
  return MAIN.flatMap(({ id, colour }) => {
    const row = rows.find(({ method }) => method.id === id)
    return row === undefined ? [] : [{ row, colour }]
  })
}

const ranksOf = ({ bySeed }: MeasuredMethod) => bySeed.flatMap(({ pools }) => pools)

export function recallPlot(pools: MeasuredPools): Markup {
  const series = mainRows(pools).map(
    ({ row, colour }): Series => ({
      label: row.method.label,
      colour,
      dashed: row.method.id.startsWith('cca'),
      points: bootstrapCurve(ranksOf(row), Math.min(MOST, pools.size), { resamples: 200 }).map(
        ({ value, low, high }, i): Point => ({ x: i + 1, y: 100 * value, low: 100 * low, high: 100 * high }),
      ),
    }),
  )
  const ticks = [1, 2, 5, 10, 20, 50, 100].filter((k) => k <= pools.size)
  return linePlot(`Recall among the first K, N = ${pools.size}, with 95 % bands`, series, {
    x: { label: 'K', log: true, ticks },
    y: { label: 'recall, %', from: 0, to: 100 },
  })
}

/** Where the true tracks stand. */
export function rankPlot(pools: MeasuredPools): Markup {
  const ends = [...RANKS.filter((rank) => rank < pools.size), pools.size]
  const names = ends.map((end) => (end === 1 ? '1' : `to ${end}`))
  const bars = mainRows(pools)
    .filter(({ row }) => row.method.parts.length === 1 && !row.method.id.startsWith('cca'))
    .map(({ row, colour }) => {
      const counts = new Array<number>(ends.length).fill(0)
      const ranks = ranksOf(row).flatMap((pool) => [...pool.ranks])
      for (const rank of ranks) counts[ends.findIndex((end) => rank <= end)]! += 1
      return { label: row.method.label, colour, values: counts.map((count) => (100 * count) / ranks.length) }
    })
  return barPlot(`Where the true track stands, N = ${pools.size}`, names, bars, { x: 'rank', y: 'queries, %' })
}

/** @param rows of one plot; the reference is drawn as a line through it. */
export function recallIntervals(
  title: string,
  rows: readonly MeasuredMethod[],
  experiment: Experiment,
  pools: MeasuredPools,
): Markup {
  const intervals = rows.map(({ method, mean, bySeed }): Interval => {
    const { value, low, high } = mean.recall[10]
    return {
      label: method.label,
      value: 100 * value,
      low: 100 * low,
      high: 100 * high,
      seeds: bySeed.map(({ figures }) => 100 * figures.recall[10]),
      colour: colourOf(method),
    }
  })
  const reference = rowsOf(pools).find(({ method }) => method.id === experiment.reference.id)
  const at = reference === undefined ? undefined : 100 * reference.mean.recall[10].value
  return intervalPlot(title, intervals, { label: 'R@10, %' }, at)
}

function colourOf({ id, parts }: Method): number {
  const main = MAIN.find((one) => one.id === id)
  if (main !== undefined) return main.colour
  if (parts.length === 2) return 4
  if (parts[0].model.startsWith('cca')) return 5
  return parts[0].ask === 'video' ? 3 : 0
}

export function dropoutPlot(pools: MeasuredPools): Markup {
  const rows = rowsOf(pools)
  const series = (['video alone', 'video + words'] as const).map(
    (label, way): Series => ({
      label,
      colour: way === 0 ? 3 : 0,
      marked: true,
      points: DROPOUTS.flatMap((p): Point[] => {
        const row = rows.find(({ method }) => method.id === dropoutMethods(p)[way]!.id)
        if (row === undefined) return []
        const { value, low, high } = row.mean.recall[10]
        return [{ x: p, y: 100 * value, low: 100 * low, high: 100 * high }]
      }),
    }),
  )
  return linePlot('Words left out in training', series, {
    x: { label: 'text dropout p', from: 0, to: 1, ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] },
    y: { label: 'R@10, %', from: 0 },
  })
}

const CURVES: readonly { readonly model: ModelName; readonly label: string; readonly colour: number }[] = [
  { model: 'viml', label: 'ViML', colour: 0 },
  { model: 'mvpt+', label: 'MVPt+', colour: 1 },
  { model: 'mt', label: 'MT', colour: 2 },
]

/** Loss, and what training is stopped by, of every seed. */
export function trainingPlots({ models, seeds, resultOf }: Experiment): Markup[] {
  const curves = (read: (epoch: EpochReport) => number): Series[] =>
    CURVES.filter(({ model }) => models.includes(model)).flatMap(({ model, label, colour }) =>
      Array.from({ length: seeds }, (_, seed): Series => {
        const { epochs } = resultOf(model, seed).training!
        const points = epochs.map((epoch) => ({ x: epoch.epoch, y: read(epoch) }))
        return { label: seeds === 1 ? label : `${label}, training ${seed + 1}`, colour, dashed: seed > 0, points }
      }),
    )
  const x = { label: 'epoch' }
  const score = { label: 'mean of R@1, 5 and 10, %' }
  return [
    linePlot(
      'Loss by epoch',
      curves(({ loss }) => loss),
      { x, y: { label: 'InfoNCE' } },
    ),
    linePlot(
      'Validation by epoch',
      curves((epoch) => 100 * epoch.score),
      { x, y: score },
    ),
  ]
}
