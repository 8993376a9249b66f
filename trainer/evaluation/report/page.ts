/**
 * The report of an experiment: one HTML file that asks for nothing from anywhere. Its policy lets in its own style and
 * script alone, by their hashes; ids and texts of the pairs are escaped.
 */
import { createHash } from 'node:crypto'
import type { Pairs } from '../../data/pairs.ts'
import type { Experiment, MeasuredPools } from '../experiments.ts'
import type { Method } from '../methods.ts'
import { dropoutPlot, rankPlot, recallIntervals, recallPlot, trainingPlots } from './curves.ts'
import { type Example, examplesOf, type RankedExample, wordsOf } from './examples.ts'
import { catalogueMap } from './map.ts'
import { tableCells } from './markdown.ts'
import { type Content, html, Markup } from './markup.ts'
import { STYLES } from './styles.ts'

export interface ReportInput {
  readonly experiment: Experiment
  /** That were measured. */
  readonly pairs: Pairs
  /** Lines on what was done: data, encoders, time. */
  readonly about: readonly string[]
  /** @returns a picture of a video as a data: URL, where there is one. */
  frameOf(videoId: string): string | undefined
}

/** The note of the track that is pointed at; without it, titles tell. */
const SCRIPT = `
const readout = document.querySelector('.readout')
let chosen
const show = (event) => {
  const note = event.target.dataset?.note
  if (note === undefined) return
  chosen?.classList.remove('chosen')
  chosen = event.target
  chosen.classList.add('chosen')
  readout.textContent = note
}
for (const kind of ['pointerover', 'click']) document.querySelector('.map')?.addEventListener(kind, show)
`

export function reportPage(input: ReportInput): string {
  const { experiment, about } = input
  const sections: [id: string, title: string, body: Content][] = [
    ['figures', 'Figures', experiment.measured.map((pools) => figures(experiment, pools))],
    ['curves', 'Recall and ranks', curves(experiment)],
    ['training', 'Training', html`<div class="plots">${trainingPlots(experiment)}</div>`],
    ...looks(input),
  ]
  const links = sections.map(([id, title]) => html`<a href="#${id}">${title}</a>`)
  const bodies = sections.map(
    ([id, title, body]) => html`<section id="${id}"><h2>${title}</h2>${body}</section>
`,
  )
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cuestream: evaluation on pairs</title>
<style>${new Markup(STYLES)}</style>
</head>
<body>
<h1>Music found for videos</h1>
${about.map((line) => html`<p class="soft">${line}</p>`)}
<nav>${links}</nav>
${bodies}
<script>${new Markup(SCRIPT)}</script>
</body>
</html>
`
  return page.text
}

function policy(): string {
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  return `default-src 'none'; style-src ${hash(STYLES)}; script-src ${hash(SCRIPT)}; img-src data:; base-uri 'none'; form-action 'none'`
}

function figures(experiment: Experiment, pools: MeasuredPools): Content {
  const intro = html`<p>Each query ranks N = ${pools.size} tracks, of which one is its own, in ${pools.pools.length} pools drawn at random. Figures are means over ${experiment.seeds} ${experiment.seeds === 1 ? 'training' : 'trainings'}; intervals of 95 % are by bootstrap over the queries, differences on the same queries.</p>`
  const tables = pools.tables.map((table) => {
    const [head, ...rows] = tableCells(table, experiment)
    return html`<h3>${table.title}, N = ${pools.size}</h3><div class="scroll"><table><thead><tr>${head!.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead><tbody>${rows.map(([name, ...cells]) => html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody></table></div>
`
  })
  return [intro, tables]
}

function curves(experiment: Experiment): Content {
  const [first, ...others] = experiment.measured
  const rows = (...ids: string[]) => first!.tables.filter(({ id }) => ids.includes(id)).flatMap((table) => table.rows)
  const plots: Content[] = experiment.measured.map(recallPlot)
  const main = rows('main', 'ensembles')
  if (main.length > 0) plots.push(recallIntervals(`Models and ensembles, N = ${first!.size}`, main, experiment, first!))
  if (rows('dropout').length > 0) plots.push(dropoutPlot(first!))
  for (const [id, title] of [
    ['fusion', 'Fusion'],
    ['temperature', 'Temperature'],
  ] as const) {
    if (rows(id).length > 0) plots.push(recallIntervals(`${title}, N = ${first!.size}`, rows(id), experiment, first!))
  }
  plots.push([first!, ...others].map(rankPlot))
  return html`<p>Dots are means over trainings, rings are single trainings, lines are intervals of 95 % over queries. The dashed line is ${experiment.reference.label}.</p><div class="plots">${plots}</div>`
}

/** The map and the examples, of the first training of ViML; of MVPt+ where there are no words. */
function looks({ experiment, pairs, frameOf }: ReportInput): [string, string, Content][] {
  const worded = experiment.reference.parts[0].ask === 'video+text'
  const asking = (ask: 'video' | 'video+text'): Method => ({
    ...experiment.reference,
    parts: [{ ...experiment.reference.parts[0], ask }],
  })
  const scores = experiment.scoresOf(experiment.reference, 0)
  const without = experiment.scoresOf(asking('video'), 0)
  const { drawn, helped, hurt } = examplesOf(pairs, scores, without)
  const vectors = experiment.resultOf(experiment.reference.parts[0].model, 0).vectors.get(experiment.set)!
  const map = catalogueMap(
    pairs,
    vectors,
    worded ? 'video+text' : 'video',
    drawn.map(({ pair }) => pair),
  )
  const cards = (examples: readonly Example[]) =>
    html`<div class="cards">${examples.map((example) => card(example, pairs, frameOf))}</div>`
  const sections: [string, string, Content][] = [['map', 'The catalogue', map]]
  if (drawn.length === 0) return sections
  const queries = html`<p>Each ranks all ${pairs.count} tracks by ViML, once with its words and once without.</p><h3>Drawn at random</h3>${cards(drawn)}${helped.length > 0 ? html`<h3>Where words helped most</h3>${cards(helped)}` : ''}${hurt.length > 0 ? html`<h3>Where words hurt most</h3>${cards(hurt)}` : ''}`
  return [...sections, ['queries', 'Queries', queries]]
}

function card({ pair, withWords, withoutWords }: Example, pairs: Pairs, frameOf: ReportInput['frameOf']): Markup {
  const id = pairs.videoIds[pair]!
  const frame = frameOf(id)
  const list = (title: string, { rank, top }: Example['withWords']) =>
    html`<div><h4>${title}: own track at ${rank}</h4><ol>${top.map((one) => item(one, pairs))}</ol></div>`
  return html`<article class="card"><h3>${id}</h3><p class="soft">${wordsOf(pairs, pair)}</p>${frame === undefined ? undefined : html`<img src="${frame}" alt="A frame of ${id}">`}<div class="lists">${list('With words', withWords)}${list('Without words', withoutWords)}</div></article>
`
}

function item({ pair, score, right }: RankedExample, pairs: Pairs): Markup {
  const name = html`${pairs.trackIds[pair]!} <span class="soft">${wordsOf(pairs, pair)}</span>`
  return html`<li><span class="right">${right ? '✓' : ''}</span><span>${score.toFixed(3)}</span><span class="words">${name}</span></li>`
}
