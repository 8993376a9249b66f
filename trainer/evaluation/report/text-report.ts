/** The tables of a text experiment, as Markdown and as a page: rows by what was trained on, columns by what asks. */
import type { TextExperiment, TextRow } from '../text-experiment.ts'
import { documentOf, tableOf } from './document.ts'
import { differenceText, intervalText, markdownTable, percent } from './markdown.ts'
import { html, type Markup } from './markup.ts'
import { intervalPlot } from './plots.ts'

const labelsOf = ({ rows }: TextExperiment) => [...new Set(rows.map(({ label }) => label))]

/** @returns cells, the head first. */
function cellsOf(rows: readonly TextRow[]): string[][] {
  const head = [
    'trained on',
    'asked with',
    'R@1',
    'R@5',
    'R@10 (95 %)',
    'R@10 by seed',
    'median rank',
    'against the first',
  ]
  return [
    head,
    ...rows.map(({ trainedOn, askedWith, mean, bySeed, difference }, i) => [
      trainedOn,
      askedWith === '' ? 'no words' : askedWith,
      percent(mean.recall[1].value),
      percent(mean.recall[5].value),
      intervalText(mean.recall[10]),
      bySeed.map(({ figures }) => percent(figures.recall[10])).join(', '),
      mean.medianRank.value.toFixed(1),
      i === 0 ? '' : differenceText(difference.recall[10]),
    ]),
  ]
}

export function textMarkdown(experiment: TextExperiment): string {
  return labelsOf(experiment)
    .map((label) => `### ${label}\n\n${markdownTable(cellsOf(rowsOf(experiment, label)))}\n`)
    .join('\n')
}

export function textReport(experiment: TextExperiment, about: readonly string[]): string {
  return documentOf({
    title: 'Cuestream: which text trains best',
    heading: 'Which text trains best',
    about,
    sections: labelsOf(experiment).map((label, i) => {
      const rows = rowsOf(experiment, label)
      return {
        id: `asked-${i}`,
        title: label,
        body: html`<div class="plots">${plotOf(label, rows)}</div>${tableOf(cellsOf(rows))}`,
      }
    }),
  })
}

function rowsOf({ rows }: TextExperiment, label: string): TextRow[] {
  return rows.filter((row) => row.label === label)
}

function plotOf(label: string, rows: readonly TextRow[]): Markup {
  const trained = [...new Set(rows.map(({ trainedOn }) => trainedOn))]
  const intervals = rows.map(({ trainedOn, askedWith, mean, bySeed }) => {
    const { value, low, high } = mean.recall[10]
    return {
      label: askedWith === '' ? trainedOn : `${trainedOn}, asked with ${askedWith}`,
      value: 100 * value,
      low: 100 * low,
      high: 100 * high,
      seeds: bySeed.map(({ figures }) => 100 * figures.recall[10]),
      colour: trained.indexOf(trainedOn),
    }
  })
  return intervalPlot(label, intervals, { label: 'R@10, %' })
}
