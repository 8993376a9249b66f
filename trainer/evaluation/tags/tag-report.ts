/** The report of thresholds: tables in Markdown and one HTML page with a plot or two a category. */
import { documentOf, tableOf } from '../report/document.ts'
import { markdownTable } from '../report/markdown.ts'
import { type Content, html, type Markup } from '../report/markup.ts'
import { linePlot, type Series } from '../report/plots.ts'
import type { MeasuredCategory } from './measure-tags.ts'
import { GRID, type LabelScore } from './thresholds.ts'

export const METHOD = [
  'Base rate: the least threshold at which no more tags a track are claimed than musicians name of the category in a description. It bounds over-claiming; it is no accuracy, and says nothing of whether the right tags are claimed.',
  'Labels: where tracks are labelled, precision, recall and F1 over pairs of track and tag, and the threshold of the best F1. They may raise the threshold of the base rate and never lower it, and count from 30 labelled tracks on.',
] as const

/** The head first. */
export function thresholdCells(categories: readonly MeasuredCategory[]): string[][] {
  const clips = Object.keys(categories[0]?.claimedOfClips ?? {})
  const head = [
    'category',
    'tags',
    'named',
    'by base rate (95 %)',
    'by labels',
    'threshold',
    'claimed before',
    'claimed',
  ]
  return [
    [...head, ...clips.map((clip) => `in ${clip}`), 'none claimed', 'none named'],
    ...categories.map((one) => [
      one.category,
      `${one.tags}`,
      one.named.toFixed(2),
      `${one.baseRate.threshold.toFixed(2)} (${one.interval.map((end) => end.toFixed(2)).join('–')})${STATES[one.baseRate.state]}`,
      one.best === undefined ? '' : `${one.best.threshold.toFixed(2)}, ${one.labelled} tracks`,
      one.threshold.toFixed(2),
      one.claimedBefore.toFixed(2),
      one.claimed.toFixed(2),
      ...clips.map((clip) => one.claimedOfClips[clip]!.toFixed(2)),
      percent(one.none),
      percent(one.noneNamed),
    ]),
  ]
}

const STATES = { met: '', 'always-fewer': ', fewer at any', 'always-more': ', more at any' } as const

/** The head first; only the categories with labels. */
export function labelCells(categories: readonly MeasuredCategory[]): string[][] {
  const scored = (score: LabelScore | undefined) =>
    score === undefined ? ['', '', ''] : [percent(score.precision), percent(score.recall), score.f1.toFixed(2)]
  return [
    ['category', 'tracks', 'best F1', 'at', 'precision', 'recall', 'F1', 'held out: precision', 'recall', 'F1'],
    ...categories
      .filter(({ labelled, heldOut }) => labelled > 0 || heldOut.score !== undefined)
      .map((one) => [
        one.category,
        `${one.labelled}`,
        one.best?.f1.toFixed(2) ?? '',
        one.best?.threshold.toFixed(2) ?? '',
        ...scored(one.atThreshold),
        ...scored(one.heldOut.score),
      ]),
  ]
}

/** Tags by how often they are claimed beside named, the head first. */
export function tagCells({ byTag }: MeasuredCategory): string[][] {
  const rows = byTag.toSorted((a, b) => b.claimed - a.claimed || b.named - a.named)
  return [
    ['tag', 'named, of descriptions', 'claimed, of tracks'],
    ...rows.map(({ tag, named, claimed }) => [tag, percent(named), percent(claimed)]),
  ]
}

export function tagMarkdown(categories: readonly MeasuredCategory[], about: readonly string[]): string {
  const labels = labelCells(categories)
  return [
    '# Thresholds of the tags',
    ...about,
    ...METHOD,
    markdownTable(thresholdCells(categories)),
    ...(labels.length > 1 ? ['## Against labels', markdownTable(labels)] : []),
    ...categories.flatMap((one) => [`## ${one.category}`, markdownTable(tagCells(one))]),
  ]
    .join('\n\n')
    .concat('\n')
}

export function tagReport(categories: readonly MeasuredCategory[], about: readonly string[]): string {
  const labels = labelCells(categories)
  return documentOf({
    title: 'Cuestream: thresholds of the tags',
    heading: 'From which confidence a tag is claimed',
    about,
    sections: [
      {
        id: 'thresholds',
        title: 'Thresholds',
        body: [METHOD.map((line) => html`<p>${line}</p>`), tableOf(thresholdCells(categories))],
      },
      ...(labels.length > 1 ? [{ id: 'labels', title: 'Against labels', body: tableOf(labels) }] : []),
      ...categories.map((one) => ({ id: one.category, title: one.category, body: categoryBody(one) })),
    ],
  })
}

function categoryBody(one: MeasuredCategory): Content {
  return [
    html`<div class="plots">${claimPlot(one)}${one.scores && scorePlot(one, one.scores)}</div>`,
    tableOf(tagCells(one)),
  ]
}

function claimPlot({ claims, named, threshold, category }: MeasuredCategory): Markup {
  const series: Series[] = [
    { label: 'claimed a track', colour: 0, points: GRID.map((x, i) => ({ x, y: claims[i]! })) },
    {
      label: 'named a description',
      colour: 1,
      dashed: true,
      points: [GRID[0]!, GRID.at(-1)!].map((x) => ({ x, y: named })),
    },
    mark('the threshold', 2, threshold, claims[nearest(threshold)]!),
  ]
  return linePlot(`${category}: tags claimed by threshold`, series, {
    x: { label: 'threshold', from: 0, to: 1 },
    y: { label: 'tags', from: 0 },
  })
}

function scorePlot({ category, threshold }: MeasuredCategory, scores: readonly LabelScore[]): Markup {
  const line = (label: 'precision' | 'recall' | 'f1', colour: number): Series => ({
    label: label === 'f1' ? 'F1' : label,
    colour,
    points: scores.map((score) => ({ x: score.threshold, y: score[label] })),
  })
  const series = [line('precision', 0), line('recall', 1), line('f1', 3)]
  return linePlot(
    `${category}: against labels`,
    [...series, mark('the threshold', 2, threshold, scores[nearest(threshold)]!.f1)],
    { x: { label: 'threshold', from: 0, to: 1 }, y: { label: 'share', from: 0, to: 1 } },
  )
}

function mark(label: string, colour: number, x: number, y: number): Series {
  return { label, colour, marked: true, points: [{ x, y }] }
}

function nearest(threshold: number): number {
  return GRID.findIndex((one) => one >= threshold - 1e-9)
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`
}
