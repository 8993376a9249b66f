/** The plots of captions. Each writer has one colour throughout. */
import type { Interval } from '../bootstrap.ts'
import type { Markup } from '../report/markup.ts'
import { type Bars, barPlot, intervalPlot, linePlot } from '../report/plots.ts'
import { SHOWN } from './caption-tables.ts'
import type { Distance } from './closeness.ts'
import type { PrecisionRecall } from './fidelity.ts'
import type { MeasuredCaptions, MeasuredSet } from './measure-captions.ts'

/** Groups of bars of a length histogram. */
const BINS = 10

/** Two plots: precision and recall, by category. */
export function fidelityPlots({ rows, categories }: MeasuredCaptions): Markup[] {
  const plot = (title: string, of: (pair: PrecisionRecall) => Interval | undefined) =>
    barPlot(
      title,
      categories,
      barsOf(rows, (row) => row.fidelity.byCategory.map((one) => 100 * (of(one)?.value ?? 0))),
      {
        x: 'category',
        y: '%',
      },
    )
  return [
    plot('Precision: tags said that were given', ({ precision }) => precision),
    plot('Recall: tags given that are said', ({ recall }) => recall),
    wholePlot('Precision over all tags, with 95 % intervals', rows, ({ precision }) => precision),
    wholePlot('Recall over all tags, with 95 % intervals', rows, ({ recall }) => recall),
  ]
}

function wholePlot(
  title: string,
  rows: readonly MeasuredSet[],
  of: (pair: PrecisionRecall) => Interval | undefined,
): Markup {
  const intervals = rows.flatMap(({ set: { label, colour }, fidelity }) => {
    const interval = of(fidelity)
    if (interval === undefined) return []
    const { value, low, high } = interval
    return [{ label, colour, value: 100 * value, low: 100 * low, high: 100 * high, seeds: [] }]
  })
  return intervalPlot(title, intervals, { label: '%' })
}

/** One plot a writer, beside people. */
export function lengthPlots([people, ...others]: readonly MeasuredSet[]): Markup[] {
  const all = [people!, ...others].flatMap(({ diversity }) => [...diversity.lengths]).sort((a, b) => a - b)
  const most = all[Math.floor(0.98 * (all.length - 1))] ?? 0
  const width = Math.max(1, Math.ceil((most + 1) / BINS))
  const names = Array.from({ length: BINS }, (_, bin) => `${bin * width}${bin === BINS - 1 ? '+' : ''}`)
  const shares = ({ diversity: { lengths } }: MeasuredSet) => {
    const counts = new Array<number>(BINS).fill(0)
    for (const length of lengths) counts[Math.min(BINS - 1, Math.floor(length / width))]! += 1
    return counts.map((count) => (100 * count) / Math.max(1, lengths.length))
  }
  return others.map((row) =>
    barPlot(`Length: ${row.set.label} beside people`, names, barsOf([people!, row], shares), {
      x: `words, in steps of ${width}`,
      y: 'texts, %',
    }),
  )
}

export function diversityPlots(rows: readonly MeasuredSet[]): Markup[] {
  const words = rows[0]!.diversity.atEqualWords.words
  return [
    barPlot(
      `Different n-grams among ${words} words`,
      ['distinct-1', 'distinct-2', 'distinct-3'],
      barsOf(rows, ({ diversity }) => diversity.atEqualWords.distinct.map((share) => 100 * share)),
      { x: '', y: '%' },
    ),
    barPlot(
      'Sameness within a set: lower is more varied',
      ['self-BLEU-4', 'repeated texts'],
      barsOf(rows, ({ diversity }) => [100 * (diversity.selfBleu ?? 0), 100 * diversity.repeatedShare]),
      { x: '', y: '%' },
    ),
  ]
}

/** Rings are splits; the dashed line is the floor. */
export function closenessPlots([people, ...others]: readonly MeasuredSet[]): Markup[] {
  const plot = (kind: 'frechet' | 'mmd', title: string): Markup[] => {
    const times = SHOWN[kind]
    const rows = [people!, ...others].flatMap(({ set: { label, colour }, closeness }) => {
      const distance: Distance | undefined = closeness?.[kind]
      if (distance === undefined) return []
      const seeds = distance.bySplit.map((value) => times * value)
      return [{ label, colour, value: times * distance.mean, low: Math.min(...seeds), high: Math.max(...seeds), seeds }]
    })
    const floor = people!.closeness?.[kind]
    if (rows.length < 2 || floor === undefined) return []
    return [intervalPlot(`${title} to people's captions`, rows, { label: `× ${times}` }, times * floor.mean)]
  }
  return [...plot('frechet', 'Fréchet distance'), ...plot('mmd', 'Squared MMD')]
}

export function retrievalPlots({ rows, poolSizes }: MeasuredCaptions): Markup[] {
  return poolSizes.map((size) => {
    const series = rows.flatMap(({ set: { label, colour }, retrieval }) => {
      const found = retrieval.find((one) => one.size === size)
      if (found === undefined) return []
      const points = found.curve.map(({ value, low, high }, i) => {
        return { x: i + 1, y: 100 * value, low: 100 * low, high: 100 * high }
      })
      return [{ label, colour, points }]
    })
    const most = Math.min(100, size)
    const chance = Array.from({ length: most }, (_, i) => ({ x: i + 1, y: (100 * (i + 1)) / size }))
    return linePlot(
      `The right caption among the first K, N = ${size}, with 95 % bands`,
      [...series, { label: 'chance', colour: 5, dashed: true, points: chance }],
      {
        x: { label: 'K', log: true, ticks: [1, 2, 5, 10, 20, 50, 100].filter((k) => k <= most) },
        y: { label: 'recall, %', from: 0, to: 100 },
      },
    )
  })
}

export function costPlots(rows: readonly MeasuredSet[]): Markup[] {
  // Texts that were kept from before took no time and cost nothing.
  const written = rows.flatMap(({ set: { label, colour, cost }, diversity }) => {
    const texts = diversity.texts - (cost?.cached ?? 0)
    return cost === undefined || texts === 0 ? [] : [{ label, colour, cost, texts }]
  })
  const points = (of: (row: (typeof written)[number]) => number) =>
    written.map((row) => {
      const value = of(row)
      return { label: row.label, colour: row.colour, value, low: value, high: value, seeds: [] }
    })
  const plots: Markup[] = []
  if (written.length > 0) {
    const rates = points(({ texts, cost }) => texts / cost.seconds)
    plots.push(intervalPlot('Speed', rates, { label: 'texts a second', log: true, ...decades(rates) }))
  }
  if (written.some(({ cost }) => cost.usd > 0)) {
    const prices = points(({ texts, cost }) => (1_000 * cost.usd) / texts)
    plots.push(intervalPlot('Price of 1,000 texts', prices, { label: 'US$' }))
  }
  return plots
}

/** Ends of a logarithmic axis, which has none of its own for a single value. */
function decades(rows: readonly { readonly value: number }[]): { from: number; to: number; ticks: number[] } {
  const logs = rows.map(({ value }) => Math.log10(value))
  const from = Math.floor(Math.min(...logs))
  const to = Math.max(from + 1, Math.ceil(Math.max(...logs)))
  const ticks = Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i))
  return { from: 10 ** from, to: 10 ** to, ticks }
}

/** What the checks say of what the model wrote first, beside people's captions; and why another method stood in. */
export function faultPlots(rows: readonly MeasuredSet[]): Markup[] {
  const share = (count: number, { diversity }: MeasuredSet) => (100 * count) / Math.max(1, diversity.texts)
  const people = rows.find(({ set }) => set.kind === 'people')
  const plots: Markup[] = []
  for (const draft of rows.filter(({ set, faults }) => set.kind === 'draft' && faults.length > 0)) {
    const ofPeople = new Map(people?.faults)
    const found = shares(draft.faults, (count) => share(count, draft), draft.set.colour).map((row) => ({
      ...row,
      seeds: people === undefined ? [] : [share(ofPeople.get(row.label) ?? 0, people)],
    }))
    plots.push(
      intervalPlot(`Faults of ${draft.set.label} (rings: people's captions)`, found, { label: 'texts, %', from: 0 }),
    )
  }
  for (const row of rows.filter(({ fallbacks }) => fallbacks.count > 0)) {
    const { codes, faults } = row.fallbacks
    const why = shares([...codes, ...faults], (count) => share(count, row), row.set.colour)
    plots.push(intervalPlot(`Why another method stood in for ${row.set.label}`, why, { label: 'texts, %', from: 0 }))
  }
  return plots
}

/** The most frequent first. */
function shares(counts: readonly (readonly [string, number])[], share: (count: number) => number, colour: number) {
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([label, count]) => {
      const value = share(count)
      return { label, value, low: value, high: value, seeds: [] as number[], colour }
    })
}

function barsOf(rows: readonly MeasuredSet[], values: (row: MeasuredSet) => readonly number[]): Bars[] {
  return rows.map((row) => ({ label: row.set.label, colour: row.set.colour, values: values(row) }))
}
