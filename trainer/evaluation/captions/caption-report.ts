/** The report on captions: one HTML file that asks for nothing from anywhere, under the policy of all reports. */
import { documentOf, type Section, tableOf } from '../report/document.ts'
import { type Content, html } from '../report/markup.ts'
import {
  closenessPlots,
  costPlots,
  diversityPlots,
  faultPlots,
  fidelityPlots,
  lengthPlots,
  retrievalPlots,
} from './caption-plots.ts'
import { SAMPLE_STYLES, sampleSection } from './caption-samples.ts'
import { captionTables, frechetNote } from './caption-tables.ts'
import type { MeasuredCaptions } from './measure-captions.ts'

/** @param about lines on what was done: data, methods, time. */
export function captionReport(measured: MeasuredCaptions, about: readonly string[]): string {
  const { rows, dims } = measured
  const tables = captionTables(measured).map(
    ({ title, note, cells }) => html`<h3>${title}</h3><p class="soft">${note}</p>${tableOf(cells)}`,
  )
  const close = [...closenessPlots(rows), ...retrievalPlots(measured)]
  const faults = faultPlots(rows)
  const sections: Section[] = [
    { id: 'methods', title: 'The methods', body: tables },
    { id: 'tags', title: 'Kept and invented', body: plots(fidelityPlots(measured)) },
    { id: 'variety', title: 'Length and variety', body: plots([...lengthPlots(rows), ...diversityPlots(rows)]) },
    {
      id: 'closeness',
      title: "Closeness to people's captions",
      body: [
        html`<p>Rings are splits of the tracks into halves, dots their means; the dashed line is people against people. ${frechetNote(rows, dims)}</p>`,
        close.length > 0 ? plots(close) : html`<p>There are too few tracks to tell.</p>`,
      ],
    },
    { id: 'cost', title: 'Cost and speed', body: plots(costPlots(rows)) },
    {
      id: 'failures',
      title: 'What the checks caught',
      body: [
        html`<p>Shares of a set's texts by kind of fault. People's captions are read by the same checks, which were made for short descriptions from tags.</p>`,
        faults.length > 0 ? plots(faults) : html`<p>Nothing.</p>`,
      ],
    },
    { id: 'samples', title: 'Texts side by side', body: sampleSection(measured) },
  ]
  return documentOf({
    title: 'Cuestream: descriptions from tags',
    heading: 'Descriptions from tags beside captions of people',
    about,
    sections,
    styles: SAMPLE_STYLES,
  })
}

function plots(drawn: Content): Content {
  return html`<div class="plots">${drawn}</div>`
}
